"""Carries the chunks of a stream's ring to a worker, no faster than it uses them.

A worker that is too slow is not waited for: what it cannot keep up with is left out in whole groups of pictures, from
key frame to key frame, and said. A worker that was sent all that there was, and has used it, is not too slow, however
much comes at once then: the source, or this process, stood still.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from media.catalog import Catalog
from media.chunk import Init
from media.cursor import Cursor, Step
from media.process.framing import MAX_BODY
from media.process.messages import ChunkMade, InitMade
from media.process.workers import Worker
from media.ring import Ring

MOST_SECONDS: Final = 1.0  # of media on its way to the worker
MOST_BYTES: Final = 2 * 1024 * 1024
BEHIND: Final = 2.0  # seconds of the source that may wait for the worker before pictures are left out
TICK: Final = 0.25  # seconds between two looks for a source that is not there


@dataclass(frozen=True, slots=True)
class _Sent:
    seconds: float
    size: int


class RingFeed:
    """Feeds a worker from one stream, which is found by name: it may end, come back, and be another one then.

    Looking for the stream also wakes it.
    """

    def __init__(self, catalog: Catalog, name: str, warn: Callable[[str, str], None]) -> None:
        self._catalog = catalog
        self._name = name
        self._warn = warn
        self._cursor: Cursor | None = None
        self._sent: deque[_Sent] = deque()
        self._used = 0
        self._room = asyncio.Event()
        self._caught_up = False  # the worker has been sent all that there was
        self.left_out = 0.0  # seconds of the source

    async def source(self) -> Init:
        """Waits until the source has a key frame, and returns the source's init."""
        while True:
            ring = self._catalog.ring(self._name)
            number = ring.newest_key() if ring is not None and not ring.ended else None
            chunk = await ring.chunk(number) if ring is not None and number is not None else None
            if chunk is not None:
                return chunk.init
            await asyncio.sleep(TICK)

    def used(self, count: int) -> None:
        """Notes that the worker has used up that many chunks in all."""
        while self._used < count and self._sent:
            self._sent.popleft()
            self._used += 1
        self._room.set()

    async def run(self, worker: Worker) -> None:
        """Feeds until it is cancelled."""
        while True:
            step = await self._step()
            if step is None:
                continue
            while not self._has_room(len(step.chunk.data)):
                self._room.clear()
                await self._room.wait()
            self._send(worker, step)

    def _has_room(self, more: int) -> bool:
        seconds, size = sum(each.seconds for each in self._sent), sum(each.size for each in self._sent)
        return not self._sent or (seconds <= MOST_SECONDS and size + more <= MOST_BYTES)

    async def _step(self) -> Step | None:
        """The next chunk to send; None when there is none yet."""
        ring = self._catalog.ring(self._name)
        if ring is None or ring.ended:
            await asyncio.sleep(TICK)
            return None
        if self._cursor is None:
            self._cursor = Cursor(ring, BEHIND)
        self._cursor.follow(ring)
        step = await self._cursor.step(idle=self._caught_up and not self._sent)
        self._caught_up = step is None and self._cursor.waits
        if self._caught_up:
            await _arrival(ring, self._cursor.number)
        return step

    def _send(self, worker: Worker, step: Step) -> None:
        chunk = step.chunk
        if step.skipped is not None:
            self.left_out += float(step.skipped)
            detail = f"The transcoder is too slow for its source: {self.left_out:.1f} s were left out so far."
            self._warn("overloaded", detail)
        if step.new_init:
            worker.send(InitMade.of(chunk.init))
        if len(chunk.data) > MAX_BODY:
            self._warn("limits-exceeded", f"A chunk of {len(chunk.data)} bytes of the source was left out.")
            if self._cursor is not None:
                self._cursor.lost()
            return
        self._sent.append(_Sent(float(chunk.seconds), len(chunk.data)))
        breaks = chunk.discontinuity or step.resumed
        worker.send(ChunkMade(chunk.decode_time, chunk.duration, chunk.independent, breaks, chunk.data))


async def _arrival(ring: Ring, number: int) -> None:
    """Waits for a chunk, but not so long that a source that has stopped goes unnoticed."""
    try:
        async with asyncio.timeout(TICK):
            await ring.wait(number)
    except TimeoutError:
        pass
