"""Channels of files, end to end: moved by jobs, ended, started in the middle, brought back after a restart."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from tests.support.api import Answer, Api
from tests.support.processes import until

pytestmark = pytest.mark.media

CHANNEL = {"uri": "vod-live://sample.mp4", "localStreamName": "c", "loop": True}


async def move(api: Api, verb: str, **more: Any) -> Answer:
    return await api.post(f"/vod/{verb}", {"localStreamName": "c", **more})


async def test_a_seek_is_done_when_the_new_position_is_out(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    head = ring.head
    answer = await move(api, "seek", position=7.5)
    assert answer.status == 200, answer.body
    assert 6.4 < answer.body["position"] < 7.6  # the key frame before
    assert answer.body["status"] == "LIVE"
    job = await api.post("/jobs/find", {"id": answer.headers["Job-Id"]})
    assert (job.body["kind"], job.body["state"]) == ("vod.seek", "DONE")
    found = [await ring.chunk(number) for number in range(head, ring.head)]
    assert [chunk.discontinuity for chunk in found if chunk].count(True) == 1


async def test_a_channel_is_paused_and_goes_on_where_it_was(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    paused = await move(api, "pause")
    assert (paused.status, paused.body["status"]) == (200, "PAUSED")
    await asyncio.sleep(1.0)
    again = await move(api, "pause")
    assert (again.body["status"], again.body["position"]) == ("PAUSED", paused.body["position"])
    resumed = await move(api, "resume")
    assert (resumed.status, resumed.body["status"]) == (200, "LIVE")
    assert resumed.body["position"] == pytest.approx(paused.body["position"], abs=0.2)


@pytest.mark.parametrize(
    ("verb", "body", "status", "code"),
    [
        ("seek", {"localStreamName": "c"}, 422, "invalid-field"),
        ("seek", {"localStreamName": "c", "position": -1}, 422, "invalid-field"),
        ("seek", {"localStreamName": "c", "position": "soon"}, 422, "invalid-field"),
        ("seek", {"localStreamName": "c", "position": 12.5}, 422, "limits-exceeded"),
        ("seek", {"localStreamName": "other", "position": 1}, 404, "not-found"),
        ("pause", {"localStreamName": "other"}, 404, "not-found"),
        ("resume", {}, 422, "invalid-field"),
    ],
)
async def test_a_move_that_cannot_be_is_refused_and_nothing_moves(
    api: Api, verb: str, body: dict[str, Any], status: int, code: str
) -> None:
    await api.post("/vod/startup", CHANNEL)
    answer = await api.post(f"/vod/{verb}", body)
    assert (answer.status, answer.body["code"]) == (status, code)
    found = await api.post("/vod/find", {"localStreamName": "c"})
    assert found.body[0]["status"] == "LIVE"
    assert found.body[0]["position"] < 10


async def test_a_channel_that_has_played_out_is_said_to_have_ended(api: Api) -> None:
    await api.done("/vod/startup", {**CHANNEL, "uri": "vod-live://short.mp4", "loop": False, "startAt": 3})
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    await until(lambda: ring.ended)
    for verb in ("seek", "pause"):
        answer = await move(api, verb, position=1)
        assert (answer.status, answer.body["code"]) == (409, "resource-busy")
        assert answer.body["detail"] == "The channel 'c' has ended; terminate it and start it again."
    seen = set()
    for _ in range(3):
        (record,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
        assert record["status"] == "LIVE"  # its last segments can still be fetched
        seen.add((record["round"], record["position"], record["duration"]))
    assert seen == {(0, record["duration"], record["duration"])}
    (stopped,) = (await api.post("/vod/terminate", {"localStreamName": "c"})).body
    assert (stopped["round"], stopped["position"]) == (None, None)


async def test_a_channel_may_start_in_the_middle(api: Api) -> None:
    answer = await api.post("/vod/startup", {**CHANNEL, "startAt": 9})
    assert answer.status == 200, answer.body
    assert answer.body["position"] == pytest.approx(9.0, abs=0.3)
    late = await api.post("/vod/startup", {**CHANNEL, "localStreamName": "d", "loop": False, "startAt": 99})
    assert (late.status, late.body["code"]) == (422, "limits-exceeded")


async def test_a_file_that_does_not_loop_ends_its_playlist(api: Api) -> None:
    await api.post("/vod/startup", {**CHANNEL, "loop": False, "startAt": 9})
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    await until(lambda: ring.ended)
    playlist = (await api.get("/live/c/media.m3u8")).body.decode()
    assert playlist.endswith("#EXT-X-ENDLIST\n")


async def test_a_paused_channel_is_paused_after_a_restart_and_a_sought_one_has_gone_on(settings: Settings) -> None:
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        await api.post("/vod/startup", CHANNEL)
        await api.post("/vod/startup", {**CHANNEL, "localStreamName": "d"})
        await move(api, "seek", position=5)
        paused = (await move(api, "pause")).body
        await until(lambda: gateway.workers.alive == 0)  # packaged: they need not be again
        await api.post("/vod/seek", {"localStreamName": "d", "position": 3})
        sought = time.time()
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        await until(lambda: all(stream.ring is not None for stream in gateway.catalog.streams()))
        asked = time.time()
        (c,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
        (d,) = (await api.post("/vod/find", {"localStreamName": "d"})).body
        assert (c["status"], c["id"]) == ("PAUSED", paused["id"])
        assert c["position"] == pytest.approx(paused["position"], abs=0.4)
        assert d["status"] == "LIVE"
        # The key frame may be a second before; between the seek and its answer is less than another.
        assert asked - sought - 1.1 <= (d["position"] - 3.0) % 12 <= time.time() - sought + 1.0
        assert (await move(api, "resume")).body["status"] == "LIVE"
