"""`/readyz` of a real gateway: that no worker can be had is told, and that it heals by itself."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.media


async def until_told(api: Api, status: int) -> Any:
    async with asyncio.timeout(60):
        while (answer := await api.get("/readyz")).status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return answer.body


async def test_readyz_tells_that_no_worker_can_be_had_and_that_it_is_well_again(api: Api) -> None:
    assert await until_told(api, 200) == {"status": "ok", "reasons": []}
    os.kill(api.gateway.workers.pids()[-1], signal.SIGKILL)
    told = await until_told(api, 503)
    assert (told["status"], [each["code"] for each in told["reasons"]]) == ("unready", ["workers"])
    assert "is started again" in told["reasons"][0]["detail"]
    refused = await api.post("/watermark/startup", {"watermark": "logo.png"}, "wait=30")
    assert (refused.status, refused.body["code"]) == (503, "worker-unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    await until_told(api, 200)
    await api.done("/watermark/startup", {"watermark": "logo.png"})
