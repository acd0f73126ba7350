"""Faults on command: a channel misbehaves for a while, says so, and heals by itself."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.chunk import Chunk
from media.ring import Ring
from tests.support.api import Api
from tests.support.processes import until

pytestmark = pytest.mark.media

CHANNEL = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}


@pytest.fixture
async def open_api(settings: Settings) -> AsyncIterator[Api]:
    allowed = settings.model_copy(update={"fault_injection": True})
    async with Gateway(allowed) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)


async def begin(api: Api, fault: str, seconds: float) -> Ring:
    await api.done("/vod/startup", CHANNEL)
    answer = await api.post("/vod/fault", {"localStreamName": "c", "fault": fault, "seconds": seconds})
    assert answer.status == 200, answer.body
    assert answer.body["fault"]["fault"] == fault
    assert answer.body["status"] == "LIVE"
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    return ring


async def healed(api: Api) -> bool:
    (record,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
    return record["fault"] is None


async def steps(ring: Ring, first: int, count: int) -> list[float]:
    """Seconds from the end of each chunk to the beginning of the next, by their timestamps."""
    found: list[Chunk] = []
    for number in range(first, first + count):
        assert await ring.wait(number)
        chunk = await ring.chunk(number)
        assert chunk is not None
        found.append(chunk)
    assert not any(chunk.discontinuity for chunk in found)
    return [(b.decode_time - a.decode_time - a.duration) / a.init.timescale for a, b in pairwise(found)]


async def test_without_the_setting_no_channel_misbehaves(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    answer = await api.post("/vod/fault", {"localStreamName": "c", "fault": "stall", "seconds": 1})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_a_fault_that_is_none_is_refused(open_api: Api) -> None:
    await open_api.post("/vod/startup", CHANNEL)
    for body in ({"fault": "fire", "seconds": 1}, {"fault": "stall", "seconds": 0}, {"fault": "stall"}):
        answer = await open_api.post("/vod/fault", {"localStreamName": "c", **body})
        assert (answer.status, answer.body["code"]) == (422, "invalid-field")


async def test_a_stall_ends_by_itself_without_a_hole(open_api: Api) -> None:
    ring = await begin(open_api, "stall", 4.0)
    head = ring.head
    assert not await healed(open_api)
    await until(lambda: ring.head > head)
    assert await healed(open_api)
    assert await steps(ring, head - 2, 5) == [0] * 4


async def test_a_gap_is_missing_from_the_timeline(open_api: Api) -> None:
    ring = await begin(open_api, "gap", 3.0)
    head = ring.head
    found = await steps(ring, head - 2, 6)
    assert 2.9 < max(found) < 10  # as long as it was, which is longer where the machine is late
    assert sum(1 for step in found if step) == 1


async def test_wrong_timestamps_come_and_go(open_api: Api) -> None:
    head_before = 3
    ring = await begin(open_api, "timestamps", 1.0)
    found = await steps(ring, head_before, 12)
    assert [round(step) for step in found if step] == [9800, -9800]


async def test_segments_that_are_listed_answer_404_and_then_do_again(open_api: Api) -> None:
    ring = await begin(open_api, "missing", 6.0)
    await ring.wait(ring.head)  # the first segment is not the newest any more
    listed = (await open_api.get("/live/c/media.m3u8")).body.decode()
    segment = next(line for line in listed.splitlines() if line.startswith("segment-"))
    assert (await open_api.get(f"/live/c/{segment}")).status == 404
    while not await healed(open_api):  # noqa: ASYNC110 (a caller is not told)
        await asyncio.sleep(0.1)
    assert (await open_api.get(f"/live/c/{segment}")).status == 200
