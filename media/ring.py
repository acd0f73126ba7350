"""The ring: what a stream holds for its viewers, a bounded run of chunks grouped into segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from media.chunk import Chunk, Init


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of chunks that starts at a key frame wherever the source allows: what HLS calls a media segment.

    `msn` is its media sequence number (RFC 8216, section 4.3.3.2): from 0, one more each. Its chunks are `first` up to
    and without `first + count`. `decode_time` and `duration` are ticks of `init.timescale`; `wall` is the Unix time at
    which its first sample was (or will have been) live. `complete` is false only for the newest one, still growing.
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

    @property
    def seconds(self) -> Fraction:
        """Duration in seconds, exact."""
        return Fraction(self.duration, self.init.timescale)


class Ring(Protocol):
    """What every viewer reads. Lives on the event loop; none of its methods blocks it."""

    @property
    def ended(self) -> bool:
        """True when no further chunk will ever come."""

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

    def newest_key(self) -> int | None:
        """The number of the newest independent chunk at hand: where a viewer starts. None before the first one."""

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number; None when it is not there yet or has left the ring."""

    async def wait(self, number: int) -> bool:
        """Waits until chunk `number` is there (True) or never will be (False: the ring has ended)."""
