"""The ring of a looping file: a channel that no process and no task feeds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from media import fmp4
from media.chunk import Chunk
from media.index import Entry, Index
from media.loop import Loop
from media.packaged import PackageFile
from media.ring import RingLimits, Segment

CACHED: Final = 16  # restamped chunks that the viewers of one channel share


@dataclass(frozen=True, slots=True)
class Start:
    """When a channel started: `at` on the ring's clock, `wall` as Unix time. All stamps are functions of it alone."""

    at: float
    wall: float


class LoopRing:
    """The `Ring` of a looping file. It has no task, no process, and a timer only while somebody waits.

    `clock` is the event loop's time. `repeat` False: it ends after one round. A channel that is started again with the
    same `Start` goes on where it would have been.
    """

    def __init__(
        self,
        loop: Loop,
        file: PackageFile,
        start: Start,
        clock: Callable[[], float],
        limits: RingLimits | None = None,
        repeat: bool = True,
    ) -> None:
        self._loop = loop
        self._file = file
        self._start = start
        self._clock = clock
        self._limits = limits or RingLimits()
        self._repeat = repeat
        self._closed_at: int | None = None
        self._cache: OrderedDict[int, Chunk] = OrderedDict()
        self._gates: dict[int, _Gate] = {}

    @property
    def ended(self) -> bool:
        """True after `close`, and after the one round of a channel that does not repeat."""
        return self._closed_at is not None or (self._last is not None and self.head >= self._last)

    @property
    def head(self) -> int:
        """The number that the next chunk will have."""
        if self._closed_at is not None:
            return self._closed_at
        head = self._loop.out(self._clock() - self._start.at)
        return head if self._last is None else min(head, self._last)

    @property
    def discontinuities(self) -> int:
        """None ever: a loop's clock goes on over the join."""
        return 0

    @property
    def target_duration(self) -> int:
        """Whole seconds that no segment is longer than when rounded."""
        return self._loop.target_duration

    @property
    def position(self) -> tuple[int, Fraction]:
        """Round and seconds in it."""
        return self._loop.position(self._clock() - self._start.at)

    @property
    def waiting(self) -> int:
        """How many callers are in `wait`."""
        return sum(len(gate.waiters) for gate in self._gates.values())

    def segments(self) -> Sequence[Segment]:
        """The window and the spare ones before it, oldest first."""
        head = self.head
        if not head:
            return ()
        newest = self._loop.segment_of(head - 1)
        oldest = max(0, newest - self._limits.window - self._limits.spare)
        wall = self._start.wall - (self._loop.lead or 0) / self._loop.init.timescale
        return tuple(self._loop.segment(msn, head, wall) for msn in range(oldest, newest + 1))

    def newest_key(self) -> int | None:
        """The number of the newest independent chunk."""
        head = self.head
        return self._loop.newest_key(head - 1) if head else None

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number; None when it is not there yet or has left. Fault `file-changed`: a bad disk."""
        head = self.head
        if not 0 <= number < head:
            return None
        held = self._limits.window + self._limits.spare
        if self._loop.segment_of(number) < self._loop.segment_of(head - 1) - held:
            return None
        cached = self._cache.get(number)
        if cached is not None or self._closed_at is not None:
            return cached
        pieces = self._loop.pieces(number)
        read = [await self._file.read(piece.offset, piece.size) for piece in pieces]
        stamped = [
            fmp4.restamp(data, piece.sequence, piece.decode_time) for data, piece in zip(read, pieces, strict=True)
        ]
        chunk = self._loop.chunk(number, stamped[0] if len(stamped) == 1 else b"".join(stamped))
        self._cache[number] = chunk
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return chunk

    async def wait(self, number: int) -> bool:
        """Waits until chunk `number` is out (True; it may have left since) or never will be (False)."""
        while True:
            if number < self.head:
                return True
            if self._closed_at is not None or (self._last is not None and number >= self._last):
                return False
            await self._pass_gate(number)

    def grow(self, entry: Entry) -> None:
        """The next chunk of the package is on disk. Raises `ValueError` when it does not follow."""
        self._loop.grow(entry)
        self._open_gates()

    def finish(self, index: Index) -> None:
        """The package is whole."""
        self._loop.finish(index)
        self._open_gates()

    def close(self) -> None:
        """Ends the ring; nobody waits any longer. May be called again."""
        if self._closed_at is None:
            self._closed_at = self.head
            self._open_gates()
            self._file.close()

    @property
    def _last(self) -> int | None:
        """The number behind the last chunk of a channel that does not repeat, once it is known."""
        return None if self._repeat or self._loop.index is None else self._loop.chunk_count

    async def _pass_gate(self, number: int) -> None:
        """Until the chunk is due, or something has changed."""
        loop = asyncio.get_running_loop()
        gate = self._gates.get(number)
        if gate is None:
            gate = self._gates[number] = _Gate()
            due = self._loop.due(number)
            if due is not None:
                # All viewers that wait for a chunk share one timer.
                delay = self._start.at + float(due) - self._clock()
                gate.timer = loop.call_later(max(0.0, delay), self._open_gate, number)
        waiter: asyncio.Future[None] = loop.create_future()
        gate.waiters.add(waiter)
        try:
            await waiter
        finally:
            gate.waiters.discard(waiter)
            if not gate.waiters:
                gate.cancel()
                if self._gates.get(number) is gate:
                    del self._gates[number]

    def _open_gates(self) -> None:
        for number in list(self._gates):
            self._open_gate(number)

    def _open_gate(self, number: int) -> None:
        # Away with it first: who finds that it was too early makes a new one.
        self._gates.pop(number).open()


class _Gate:
    """Those who wait for one chunk."""

    def __init__(self) -> None:
        self.waiters: set[asyncio.Future[None]] = set()
        self.timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self.cancel()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
