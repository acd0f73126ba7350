"""The ring: what a stream holds for its viewers, a bounded run of chunks grouped into segments."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Protocol

from media.chunk import Chunk, Init, in_seconds


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of chunks that starts at a key frame wherever the source allows: what HLS calls a media segment.

    `msn` is its media sequence number (RFC 8216, section 4.3.3.2): one more each. Its chunks are `first` up to
    and without `first + count`. `decode_time` and `duration` are ticks of `init.timescale`; `wall` is the Unix time at
    which its first sample was (or will have been) live. `complete` is false only for the newest one, still growing.
    `independent`: it starts at a key frame. `gap`: the source was away for so long; there are no chunks in it.
    """

    msn: int
    first: int
    count: int
    init: Init
    decode_time: int
    duration: int
    discontinuity: bool
    wall: float
    complete: bool
    independent: bool = True
    gap: bool = False

    @property
    def seconds(self) -> Fraction:
        """Duration in seconds, exact."""
        return in_seconds(self.duration, self.init.timescale)


class Ring(Protocol):
    """What every viewer reads. Lives on the event loop; none of its methods blocks it."""

    @property
    def ended(self) -> bool:
        """True when no further chunk will ever come."""

    @property
    def standing(self) -> bool:
        """True while no chunk is due because somebody wants it so: a channel that is paused."""

    @property
    def head(self) -> int:
        """The number that the next chunk will have; `head - 1` is the newest one."""

    @property
    def discontinuities(self) -> int:
        """How many discontinuities have left the window (EXT-X-DISCONTINUITY-SEQUENCE)."""

    @property
    def target_duration(self) -> int:
        """Whole seconds that no segment is longer than when rounded (EXT-X-TARGETDURATION)."""

    def segments(self) -> Sequence[Segment]:
        """The window, oldest first; the last one may be incomplete. Empty before the first chunk."""

    def bitrate(self) -> float | None:
        """Bits a second of the newest whole segment; None before there is one."""

    def newest_key(self) -> int | None:
        """The number of the newest independent chunk at hand: where a viewer starts. None before the first one."""

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number; None when it is not there yet or has left the ring."""

    def timing(self, number: int) -> tuple[Fraction, bool] | None:
        """How many seconds that chunk lasts and whether it is independent, without its data; None as of `chunk`."""

    async def wait(self, number: int) -> bool:
        """Waits until chunk `number` is there (True) or never will be (False: the ring has ended)."""


@dataclass(frozen=True, slots=True)
class RingLimits:
    """The bounds of a `LiveRing`, and when it starts a new segment.

    `segment` is in seconds: a segment ends before the first key frame after that. `window` is how many complete
    segments a playlist lists; `spare` how many older ones stay for a client that has just read it (RFC 8216, 6.2.2).
    `max_bytes` bounds everything held, whether anybody watches or not.
    """

    segment: Fraction = Fraction(2)
    window: int = 8
    spare: int = 4
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RingStart:
    """Where a ring's numbers begin: its first segment's, and how many discontinuities there were before it.

    `broken`: the first segment is behind a discontinuity itself, as it goes on what another process has begun.
    """

    msn: int = 0
    discontinuities: int = 0
    broken: bool = False

    @classmethod
    def at(cls, wall: float, broken: bool) -> "RingStart":
        """Numbers that are higher than all those of a ring of this stream that was made earlier, by Unix time `wall`.

        Nothing needs to be remembered for that, so it holds after SIGKILL too: a player keeps its place by them.
        """
        made = max(0, int((wall - NUMBERED_SINCE) * NUMBERS))
        return cls(made, made, broken)


NUMBERS: Final = 2  # a second, of those made from the time: more than a ring has segments in one, as a mean
NUMBERED_SINCE: Final = 1_577_836_800.0  # 2020-01-01: some players count in 32 bits
CHUNK_OVERHEAD: Final = 512  # bytes charged for a chunk beside its data, so that a storm of tiny chunks is bounded too
EVEN: Final = Fraction(85, 100)  # a chunk under this part of the longest one is short (rfc8216bis, EXT-X-PART)
LONGEST_FIRST: Final = Fraction(10)  # seconds; a first segment without a second key frame is cut then
AWAY: Final = Fraction(3, 2)  # target durations without a chunk after which the source counts as away (RFC 8216, 6.2.1)


class LiveRing:
    """The ring that a live source appends to. `clock` gives Unix time; it is asked only where a run of chunks begins.

    `steady` gives seconds that never jump. With it, a source that sends nothing leaves gap segments behind, so that
    players wait instead of giving up. Each gap is one target duration long, and there are fewer of them than a window
    has segments. The target duration is that of the first complete segment. It stays, since a player may rely on it: a
    segment that would be longer is cut, at a key frame or not. Only a single chunk that is longer raises it.

    Held at any time: at most `window + spare` complete segments and the open one, and at most `max_bytes` (or one
    chunk, if that alone is larger). Whole segments leave, oldest first. `segments()` is all that is held;
    `discontinuities` belongs to its first one.
    """

    def __init__(
        self,
        limits: RingLimits,
        clock: Callable[[], float],
        steady: Callable[[], float] | None = None,
        start: RingStart = RingStart(),
    ) -> None:
        self._limits = limits
        self._start = start
        self._clock = clock
        self._steady = steady
        self._heard = 0.0  # steady time of the newest chunk
        self._gaps = 0  # gap segments since then
        self._chunks: dict[int, Chunk] = {}
        self._segments: deque[Segment] = deque()
        self._sizes: deque[int] = deque()  # bytes of each segment
        self._head = 0
        self._keys: deque[int] = deque()
        self._run_start = 0  # decode time and Unix time at which the current run of chunks began
        self._run_wall = 0.0
        self._discontinuities = start.discontinuities
        self._target = max(1, _rounded(limits.segment))
        self._settled = False  # the target duration is
        self._ended = False
        self._waiters: dict[asyncio.Future[None], int] = {}

    @property
    def ended(self) -> bool:
        """True after `close`."""
        return self._ended

    @property
    def standing(self) -> bool:
        """Never: a live source that sends nothing is away, which gaps tell of."""
        return False

    @property
    def head(self) -> int:
        """The number that the next chunk will have."""
        return self._head

    @property
    def discontinuities(self) -> int:
        """How many segments that began with a discontinuity have left, and those before the ring's start."""
        return self._discontinuities

    @property
    def target_duration(self) -> int:
        """The limit's `segment` or the first complete segment, if that was longer."""
        return self._target

    @property
    def size(self) -> int:
        """Bytes held, overhead included."""
        return sum(self._sizes)

    @property
    def waiting(self) -> int:
        """How many callers are in `wait`."""
        return len(self._waiters)

    def segments(self) -> Sequence[Segment]:
        """All that is held, oldest first; the last one is incomplete unless the source is away or the ring ends."""
        self._note_absence()
        return tuple(self._segments)

    def bitrate(self) -> float | None:
        """Bits a second of the newest whole segment that is no gap; None before there is one."""
        for segment, size in zip(reversed(self._segments), reversed(self._sizes), strict=True):
            if segment.complete and segment.count:
                return 8 * (size - segment.count * CHUNK_OVERHEAD) / float(segment.seconds)
        return None

    def newest_key(self) -> int | None:
        """The number of the newest independent chunk at hand."""
        return self._keys[-1] if self._keys else None

    def timing(self, number: int) -> tuple[Fraction, bool] | None:
        """Seconds of that chunk, and whether it is independent; None when it is not there yet or has left."""
        chunk = self._chunks.get(number)
        return (chunk.seconds, chunk.independent) if chunk is not None else None

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number; None when it is not there yet or has left."""
        return self._chunks.get(number)

    async def wait(self, number: int) -> bool:
        """Waits until chunk `number` has come (True; it may have left since) or never will (False)."""
        if number < self._head or self._ended:
            return number < self._head
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = number
        try:
            await waiter
        finally:
            self._waiters.pop(waiter, None)
        return number < self._head

    def append(
        self,
        init: Init,
        decode_time: int,
        duration: int,
        independent: bool,
        data: bytes,
        discontinuity: bool = False,
    ) -> Chunk:
        """Adds the next chunk, `decode_time` and `duration` in ticks of `init.timescale`, and wakes who waits for it.

        What does not follow from the chunk before (another init, another decode time) is a discontinuity whether the
        source says so or not; the very first chunk only with a `broken` start. Raises ValueError when the ring has
        ended or the duration is not positive.
        """
        if self._ended:
            raise ValueError("a ring that has ended takes no more chunks")
        if duration <= 0:
            raise ValueError(f"a chunk's duration must be positive, not {duration}")
        self._note_absence()
        newest = self._chunks.get(self._head - 1)
        if newest is not None:
            init = newest.init if newest.init.id == init.id else init  # one object, whoever made it
            discontinuity = discontinuity or self._gaps > 0 or not _follows(newest, init, decode_time)
        else:
            discontinuity = self._start.broken
        chunk = Chunk(self._head, init, decode_time, duration, independent, data, discontinuity)
        self._add(chunk)
        self._evict()
        self._wake()
        self._gaps = 0
        self._heard = self._steady() if self._steady else 0.0
        return chunk

    def close(self) -> None:
        """Ends the ring: the open segment is complete, and nobody waits any longer. May be called again."""
        if not self._ended:
            self._complete()
            self._ended = True
            self._wake()

    def _add(self, chunk: Chunk) -> None:
        size = len(chunk.data) + CHUNK_OVERHEAD
        if self._starts_segment(chunk, size):
            self._complete()
            self._segments.append(self._opened(chunk))
            self._sizes.append(size)
        else:
            grown = self._segments[-1]
            self._segments[-1] = replace(grown, count=grown.count + 1, duration=grown.duration + chunk.duration)
            self._sizes[-1] += size
        self._chunks[chunk.number] = chunk
        if chunk.independent:
            self._keys.append(chunk.number)
        self._head += 1

    def _starts_segment(self, chunk: Chunk, size: int) -> bool:
        if not self._segments or chunk.discontinuity or self._segments[-1].complete:
            return True
        # Without a key frame for half the memory the segment is cut all the same: eviction needs whole segments.
        if self._sizes[-1] + size > self._limits.max_bytes // 2:
            return True
        lasted, init = self._segments[-1].duration, chunk.init
        most = self._target if self._settled else max(int(LONGEST_FIRST), self._target)
        if _rounded(Fraction(lasted + chunk.duration, init.timescale)) > most:
            return True
        # Half a chunk of tolerance: a camera's 1.98 s between key frames is meant to be 2 s.
        enough = self._limits.segment * init.timescale
        if not chunk.independent or lasted + Fraction(chunk.duration, 2) >= enough:
            return chunk.independent
        # A short part may only be the last of its segment, so one before an early key frame ends it.
        return lasted >= enough / 2 and self._ends_short()

    def _ends_short(self) -> bool:
        """Whether the newest chunk is too short for a part within its segment."""
        opened = self._segments[-1]
        longest = max(self._chunks[opened.first + index].duration for index in range(opened.count))
        return self._chunks[self._head - 1].duration < EVEN * longest

    def _note_absence(self) -> None:
        """Appends what gap segments are due: an open segment is complete when the source is away."""
        if self._steady is None or self._ended or not self._segments:
            return
        away = self._steady() - self._heard
        usual = self._chunks[self._head - 1].seconds if self._head - 1 in self._chunks else Fraction(0)
        if away < max(AWAY * self._target, 2 * usual):
            return
        self._complete()
        while self._gaps < self._limits.window - 1 and away >= (self._gaps + 1) * self._target:
            self._segments.append(self._gap(self._segments[-1]))
            self._sizes.append(0)
            self._gaps += 1
        self._evict()

    def _gap(self, last: Segment) -> Segment:
        ticks = self._target * last.init.timescale
        return replace(
            last,
            msn=last.msn + 1,
            first=self._head,
            count=0,
            decode_time=last.decode_time + last.duration,
            duration=ticks,
            discontinuity=False,
            wall=last.wall + float(last.seconds),
            independent=True,
            gap=True,
        )

    def _opened(self, chunk: Chunk) -> Segment:
        last = self._segments[-1] if self._segments else None
        if last is None or chunk.discontinuity:
            ended_at = last.wall + float(last.seconds) if last else 0.0
            self._run_start, self._run_wall = chunk.decode_time, max(self._clock(), ended_at)
        return Segment(
            msn=last.msn + 1 if last else self._start.msn,
            first=chunk.number,
            count=1,
            init=chunk.init,
            decode_time=chunk.decode_time,
            duration=chunk.duration,
            discontinuity=chunk.discontinuity,
            wall=self._run_wall + (chunk.decode_time - self._run_start) / chunk.init.timescale,
            complete=False,
            independent=chunk.independent,
        )

    def _complete(self) -> None:
        if self._segments:
            self._segments[-1] = replace(self._segments[-1], complete=True)
            self._target = max(self._target, _rounded(self._segments[-1].seconds))
            self._settled = True

    def _evict(self) -> None:
        most = self._limits.window + self._limits.spare + 1
        while len(self._segments) > 1 and (len(self._segments) > most or self.size > self._limits.max_bytes):
            gone = self._segments.popleft()
            self._sizes.popleft()
            self._discontinuities += gone.discontinuity
            for number in range(gone.first, gone.first + gone.count):
                del self._chunks[number]
            while self._keys and self._keys[0] < self._segments[0].first:
                self._keys.popleft()

    def _wake(self) -> None:
        for waiter, number in self._waiters.items():
            if (number < self._head or self._ended) and not waiter.done():
                waiter.set_result(None)


def _follows(newest: Chunk, init: Init, decode_time: int) -> bool:
    return init is newest.init and decode_time == newest.decode_time + newest.duration


def _rounded(seconds: Fraction) -> int:
    # RFC 8216, section 4.3.3.1: to the nearest integer; a half counts upwards, unlike Python's round().
    return int(seconds + Fraction(1, 2))
