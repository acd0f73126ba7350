"""A key that is revoked, or past its time, ends what was begun with it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gateway.keys import Key, KeyFile, Keys, Scope
from gateway.playtokens import PlayTokens
from gateway.web.access import Access, middleware
from gateway.web.mse import ViewerLimits
from gateway.web.play import PlayLimits
from tests.media.feeding import Feeder
from tests.media.processes import until
from tests.web.watching import FakeStreams, Server, an_app


def an_access(path: Path, wall: Callable[[], float] = lambda: 0.0) -> Access:
    return Access(Keys(path), PlayTokens(bytes(32)), PlayTokens(bytes(32)), wall=wall)


@pytest.mark.parametrize("how", ["mse", "film"])
async def test_a_viewer_whose_key_is_revoked_sees_no_more(tmp_path: Path, how: str) -> None:
    file, streams = KeyFile(tmp_path / "keys.json"), FakeStreams()
    texts = {name: file.make(name, (Scope.PLAY,))[1] for name in ("one", "two")}
    access = an_access(tmp_path / "keys.json")
    Feeder(streams.add("yard")).feed_until(2)
    app = an_app(streams, PlayLimits(viewer=ViewerLimits(tick=0.05)))
    app.middlewares.append(middleware(access))

    async def watch(client: TestClient[Any, Any], name: str) -> None:
        """Until it is ended by the gateway."""
        headers = {"Authorization": f"Bearer {texts[name]}"}
        if how == "film":
            async with client.get("/live/yard.mp4", headers=headers) as film:
                assert film.status == 200
                await film.read()
        else:
            async with client.ws_connect("/live/yard/mse", headers=headers) as socket:
                async for _ in socket:
                    pass

    async with TestClient(Server(app)) as client, asyncio.timeout(20):
        first, second = (asyncio.create_task(watch(client, name)) for name in ("one", "two"))
        await until(lambda: streams.watching.get("yard") == 2)
        file.revoke("one")
        access.keys.reload()
        await first
        assert not second.done()
        file.revoke("two")
        access.keys.reload()
        await second


def test_a_key_of_somebody_elses_is_good_until_its_time(tmp_path: Path) -> None:
    key = Key("jwt-1", "somebody", (Scope.READ,), "", 0.0, 100.0)
    assert an_access(tmp_path / "none", lambda: 99.0).still_good(key)
    assert not an_access(tmp_path / "none", lambda: 100.0).still_good(key)
