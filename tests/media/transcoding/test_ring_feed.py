"""What a transcoder's worker is sent of its source, with a worker of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

from media.catalog import Catalog
from media.process.messages import ChunkMade, Message
from media.process.workers import Worker
from media.ring import LiveRing, Ring, RingLimits
from media.transcoding.ring_feed import RingFeed
from tests.support.feeding import Feeder
from tests.support.processes import until


@dataclass
class OneRing:
    """In the place of the catalog: one stream."""

    kept: LiveRing = field(
        default_factory=lambda: LiveRing(
            RingLimits(segment=Fraction(2), window=5, spare=1, max_bytes=1 << 24), lambda: 0.0
        )
    )

    def ring(self, _: str) -> Ring:
        return self.kept


class Fed:
    """In the place of a worker: counts what it gets, and uses it at once unless it is to be `slow`."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.slow = False
        self.feed: RingFeed | None = None

    def send(self, message: Message) -> None:
        if isinstance(message, ChunkMade):
            self.times.append(message.decode_time)
            asyncio.get_running_loop().call_soon(self.use)

    def use(self) -> None:
        """Says that it has used all that it got."""
        if self.feed is not None and not self.slow:
            self.feed.used(len(self.times))

    def waited_for(self, number: int) -> bool:
        """Whether this chunk waits until there is room."""
        return self.feed is not None and self.feed._cursor is not None and self.feed._cursor.number > number


@asynccontextmanager
async def a_feed() -> AsyncIterator[tuple[Feeder, Fed, list[str]]]:
    """A source with one chunk of 0.4 s, what its worker has got, and the warnings."""
    streams, worker, warned = OneRing(), Fed(), list[str]()
    feeder = Feeder(streams.kept)
    feeder.feed()
    worker.feed = feed = RingFeed(cast(Catalog, streams), "yard", lambda code, _: warned.append(code))
    task = asyncio.create_task(feed.run(cast(Worker, worker)))
    try:
        await until(lambda: len(worker.times) == 1)
        yield feeder, worker, warned
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_worker_that_has_used_all_gets_all_that_comes_at_once_after_the_loop_stood_still() -> None:
    async with a_feed() as (feeder, worker, warned):
        feeder.feed(14)  # 5.6 s that nobody had a turn to send
        await until(lambda: len(worker.times) == 15)
        assert [b - a for a, b in zip(worker.times, worker.times[1:], strict=False)] == [feeder.duration] * 14
        assert not warned


async def test_a_worker_that_has_not_used_what_it_was_sent_is_too_slow() -> None:
    async with a_feed() as (feeder, worker, warned):
        worker.slow = True
        feeder.feed(3)
        await until(lambda: len(worker.times) == 4)
        feeder.feed(14)
        await until(lambda: worker.waited_for(4))
        worker.slow = False
        worker.use()
        await until(lambda: bool(worker.times) and worker.times[-1] == feeder.decode_time - feeder.duration)
        assert warned == ["overloaded"]
        assert len(worker.times) < 18
