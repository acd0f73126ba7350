"""Changes as server-sent events: in order, resumable, and never a burden to the jobs, however slow the reader."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.jobs.feed import KEPT, KEPT_BYTES, QUEUE, Feed
from tests.support.fakes import BASE, HttpWorld, serving

pytestmark = pytest.mark.looptime

RANK = {"PENDING": 0, "RUNNING": 1, "DONE": 2, "FAILED": 2, "CANCELLED": 2}


@pytest.fixture
async def world() -> AsyncIterator[HttpWorld]:
    async with serving(HttpWorld()) as world:
        yield world


class Reader:
    """One listener of /events; `events` are what it was told, as (id, type, data)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.events: list[tuple[int | None, str, Any]] = []
        self.comments = 0
        self.ended = False
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            async for line in self.response.content:
                text = line.decode().rstrip("\n")
                if text.startswith(":"):
                    self.comments += 1
                elif text:
                    name, _, value = text.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    number = int(fields["id"]) if "id" in fields else None
                    self.events.append((number, fields["event"], json.loads(fields["data"])))
                    fields = {}
        except aiohttp.ClientError:
            pass
        self.ended = True

    async def close(self) -> None:
        self.response.close()
        await asyncio.wait({self.task})


async def listen(world: HttpWorld, last: str | None = None) -> Reader:
    headers = {} if last is None else {"Last-Event-ID": last}
    response = await world.session.get(f"{BASE}/events", headers=headers, timeout=aiohttp.ClientTimeout(total=None))
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"
    return Reader(response)


def check_order(reader: Reader) -> None:
    """Numbers increase; for each job PENDING < RUNNING < end, and the end is the last word."""
    numbers = [number for number, _, _ in reader.events if number is not None]
    assert numbers == sorted(set(numbers))
    states: dict[str, list[str]] = {}
    for number, type_, record in reader.events:
        if type_ == "job":
            assert number == record["revision"]
            states.setdefault(record["id"], []).append(record["state"])
    for seen in states.values():
        ranks = [RANK[state] for state in seen]
        assert ranks == sorted(ranks)
        assert ranks.count(2) == 1
        assert ranks[-1] == 2


async def test_every_change_of_a_job_is_told_in_order(world: HttpWorld) -> None:
    reader = await listen(world)
    await world.start(seconds=1, name="a")
    await world.start("timeout=1", way="late", seconds=0.1)
    await asyncio.gather(*(world.start(seconds=1) for _ in range(4)))
    await asyncio.sleep(0.01)
    check_order(reader)
    assert len({record["id"] for _, _, record in reader.events}) == 6
    first = [record for _, _, record in reader.events if record["request"]["body"]["name"] == "a"]
    assert [record["state"] for record in first] == ["RUNNING", "DONE"]
    assert first[-1]["result"] == {"name": "a", "slept": 1.0, "text": "höhe"}
    assert await world.metric("gateway_event_subscribers") == 1
    await reader.close()
    await asyncio.sleep(16)
    assert world.feed.listeners == 0


async def test_sse_resume_and_slow_reader(world: HttpWorld) -> None:
    reader = await listen(world)
    await world.start(name="a")
    await asyncio.sleep(0.01)
    await reader.close()
    last, seen = reader.events[-1][0], len(reader.events)
    await world.start(name="b")
    back = await listen(world, str(last))
    await world.start(name="c")
    await asyncio.sleep(0.01)
    names = [record["request"]["body"]["name"] for _, _, record in back.events]
    assert (seen, names) == (2, ["b", "b", "c", "c"])
    check_order(back)
    await back.close()
    for unknown in ("0x1", "99999999", "-1", "99999999999999999999999999"):
        lost = await listen(world, unknown)
        await asyncio.sleep(0.01)
        assert [(number, type_) for number, type_, _ in lost.events] == [(None, "reset")]
        await lost.close()
    # One that does not read: its own queue overflows and it is cut off; the jobs never notice.
    slow = await world.session.get(f"{BASE}/events", timeout=aiohttp.ClientTimeout(total=None))
    slow.connection.transport.pause_reading()  # type: ignore[union-attr]
    padding = {"padding": "x" * 60_000}
    for number in range(1, 2 * QUEUE):
        world.feed.tell(world.supervisor.stamp(), "stream", {"number": number, **padding})
        if number % 50 == 0:
            await asyncio.sleep(0)
            assert (await world.start(name="d")).status == 200
    await asyncio.sleep(0.1)
    assert (world.feed.dropped, world.feed.listeners) == (1, 0)
    assert await world.metric("gateway_event_drops_total") == 1
    slow.close()


async def test_an_event_that_has_left_the_ring_is_a_reset(world: HttpWorld) -> None:
    first = world.supervisor.stamp()
    world.feed.tell(first, "stream", {})
    for _ in range(KEPT + 1):
        world.feed.tell(world.supervisor.stamp(), "stream", {})
    for last, reset in ((first, True), (first + 2, False)):
        reader = await listen(world, str(last))
        await asyncio.sleep(0.01)
        assert (reader.events[0][1] == "reset") is reset
        assert len(reader.events) == (1 if reset else KEPT - 1)
        await reader.close()


async def test_silence_is_broken_by_a_comment_every_fifteen_seconds(world: HttpWorld) -> None:
    reader = await listen(world)
    await asyncio.sleep(46)
    assert (reader.comments, reader.events) == (3, [])
    await reader.close()


async def test_progress_is_told_twice_a_second_at_most(world: HttpWorld) -> None:
    reader = await listen(world)
    answer = await world.start(seconds=2.0, stages=100)
    await asyncio.sleep(0.01)
    stages = [record["stage"] for _, _, record in reader.events if record["state"] == "RUNNING"]
    assert 4 <= len(stages) <= 2 + 2 * 2
    assert reader.events[-1][2]["stage"] == "stage-99"
    assert answer.status == 200
    check_order(reader)
    await reader.close()


async def test_a_shutdown_ends_the_line_after_the_last_event(world: HttpWorld) -> None:
    reader = await listen(world)
    await world.start("wait=0", seconds=30)
    await world.supervisor.drain(0.0)
    await asyncio.sleep(0.1)
    assert reader.ended
    assert reader.events[-1][2]["state"] == "CANCELLED"
    await reader.close()


def test_the_ring_is_bounded_in_bytes_too() -> None:
    feed = Feed()
    for number in range(1, 100):
        feed.tell(number, "job", {"result": {"data": "x" * (KEPT_BYTES // 10)}})
    with feed.listening(95) as (_, missed):
        assert missed is not None
        assert [happening.number for happening in missed] == [96, 97, 98, 99]
    with feed.listening(10) as (_, missed):
        assert missed is None


def test_a_large_result_is_fetched_by_its_link() -> None:
    feed = Feed()
    feed.tell(1, "job", {"id": "a", "result": {"data": "x" * 100_000}})
    with feed.listening(0) as (_, missed):
        assert missed is not None
        assert missed[0].wire == b'id: 1\nevent: job\ndata: {"id":"a","result":null}\n\n'
