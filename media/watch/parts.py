"""Partial segments: what a low-latency playlist says of the newest chunks (draft-pantos-hls-rfc8216bis, 4.4.4.9)."""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from media.ring import EVEN, Ring, Segment

LISTED: Final = 3  # target durations from the live edge within which parts are listed (rfc8216bis, 6.2.2)
ROUNDING: Final = 1e-6  # seconds by which a sum of durations may be off
SLOWEST: Final = 5.0  # frames a second under which parts are no use
LONGEST: Final = 1  # seconds of a part over which there is little low about the latency
MARGIN: Final = Fraction(103, 100)  # of the part target over the longest part seen: a camera's stamps jitter


@dataclass(frozen=True, slots=True)
class Part:
    """One chunk as a playlist has it; `number` is the chunk's."""

    number: int
    seconds: Fraction
    independent: bool


@dataclass(frozen=True, slots=True)
class LowLatency:
    """What makes a playlist a low-latency one.

    `target` is PART-TARGET in seconds; `parts` are those of the newest segments, by media sequence number; `opened` is
    the segment under way, None between two; `hint` is the number of the chunk that comes next; `token` stands for the
    ring in the addresses of parts, so that no cache takes one ring's for another's.
    """

    target: Fraction
    parts: Mapping[int, tuple[Part, ...]]
    opened: Segment | None
    hint: int
    token: str


class PartLog:
    """What is known of a ring's chunks as parts. Each chunk is looked at once, however many playlists are written."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(4)
        self._runs: dict[int, _Run] = {}  # by the number of the first chunk
        self._target: Fraction | None = None

    def read(self, ring: Ring, segments: Sequence[Segment], target_duration: int) -> LowLatency | None:
        """The parts of these segments, all that the ring holds at a moment.

        None while the stream does not do for low latency: under 5 frames a second, parts of uneven length, a source
        that is away or paused, or an end.
        """
        if not segments or ring.ended or ring.standing or segments[-1].gap or _is_slow(segments[-1]):
            return None
        newest = _newest(segments, LISTED * target_duration)
        self._runs = {segment.first: self._run(ring, segment) for segment in newest}
        target = self._agreed(self._runs.values(), target_duration)
        parts = {segment.msn: self._runs[segment.first].parts for segment in newest}
        if target is None or any(len(parts[segment.msn]) < segment.count for segment in newest):
            return None
        last = segments[-1]
        opened = None if last.complete else last
        return LowLatency(target, parts, opened, last.first + last.count, self.token)

    def _run(self, ring: Ring, segment: Segment) -> "_Run":
        """The parts of one segment, of which only what is new is looked at."""
        known = self._runs.get(segment.first)
        if known is not None and len(known.parts) == segment.count:
            return known
        parts = list(known.parts[: segment.count]) if known is not None else []
        for number in range(segment.first + len(parts), segment.first + segment.count):
            timing = ring.timing(number)
            if timing is None:
                break  # it has left meanwhile
            parts.append(Part(number, *timing))
        return _Run.of(parts)

    def _agreed(self, runs: Collection["_Run"], target_duration: int) -> Fraction | None:
        """The part target. It stays what it was for as long as the parts fit it, so that players can rely on it."""
        longest = max(_few(run.longest for run in runs), default=Fraction(0))
        shortest = min(_few(run.shortest for run in runs if run.shortest is not None), default=longest)
        if self._target is not None and EVEN * self._target <= shortest and longest <= self._target:
            return self._target
        target = Fraction(ceil(longest * MARGIN * 1000), 1000)
        fits = EVEN * target <= shortest and 0 < target <= LONGEST and 2 * target <= target_duration
        self._target = target if fits else None
        return self._target


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of one segment. `shortest` is without the last one, which may be short."""

    parts: tuple[Part, ...]
    longest: Fraction
    shortest: Fraction | None

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "_Run":
        lengths = [part.seconds for part in parts]
        return cls(tuple(parts), max(_few(lengths), default=Fraction(0)), min(_few(lengths[:-1]), default=None))


def _few(lengths: Iterable[Fraction]) -> Collection[Fraction]:
    """The durations without most of those that are there twice.

    Equal ones are one object as a rule (`in_seconds`), and fractions are slow to compare.
    """
    return {id(each): each for each in lengths}.values()


def _newest(segments: Sequence[Segment], seconds: int) -> list[Segment]:
    """The segments that lie within the last `seconds` before the live edge, without gaps; the newest one always.

    No more than three if these last half as long, which is more than any player stays behind: parsers count segments.
    """
    found: list[Segment] = []
    passed = 0.0
    for segment in reversed(segments):
        enough = len(found) >= LISTED and passed >= seconds / 2
        passed += segment.duration / segment.init.timescale
        if found and (enough or passed > seconds + ROUNDING):
            break
        if not segment.gap:
            found.insert(0, segment)
    return found


def _is_slow(segment: Segment) -> bool:
    video = segment.init.video
    return video is not None and 0 < video.fps < SLOWEST
