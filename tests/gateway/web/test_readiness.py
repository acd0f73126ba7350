"""`/readyz`: what is broken, whether jobs can be done all the same, and that the figures say so too."""

from typing import Any

import pytest

from gateway.web.observe.readiness import Readiness
from tests.support.fakes import HttpWorld, serving

pytestmark = pytest.mark.looptime


def broken(code: str, detail: str, blocks: bool) -> dict[str, Any]:
    return {"code": code, "detail": detail, "blocks": blocks}


async def test_readyz_tells_what_is_broken_and_fails_only_when_no_job_can_be_done() -> None:
    trouble: dict[str, str] = {}
    async with serving(HttpWorld()) as world:
        readiness: Readiness = world.readiness
        readiness.add("workers", lambda: trouble.get("workers"))
        readiness.add("tasks", lambda: trouble.get("tasks"), blocks=False)
        answer = await world.get("/readyz")
        assert (answer.status, answer.body) == (200, {"status": "ok", "reasons": []})
        trouble["tasks"] = "One failed."
        answer = await world.get("/readyz")
        assert (answer.status, answer.body["status"]) == (200, "degraded")
        assert answer.body["reasons"] == [broken("tasks", "One failed.", False)]
        trouble["workers"] = "None can be started."
        answer = await world.get("/readyz")
        assert (answer.status, answer.body["status"]) == (503, "unready")
        assert answer.body["reasons"][0] == broken("workers", "None can be started.", True)
        assert await world.metric('gateway_broken{what="workers"}') == 1
        del trouble["workers"], trouble["tasks"]
        assert (await world.get("/readyz")).body["status"] == "ok"
        assert await world.metric('gateway_broken{what="workers"}') == 0
