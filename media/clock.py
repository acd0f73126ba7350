"""Turns what a camera stamps on its packets into decode times that only go forward. Pure."""

from bisect import insort
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

VIDEO_RATE: Final = 90000  # ticks a second: RTP's clock for video (RFC 6184, section 5.1)
NOMINAL: Final = VIDEO_RATE // 25  # a frame's duration as long as nothing is known
LONGEST: Final = VIDEO_RATE * 5  # a step over this is no frame's duration
RESYNC: Final = Fraction(1, 10)  # seconds that an audio stamp may be off before it is believed


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a frame stands, in ticks: decode time, and presentation minus decode time."""

    decode: int
    offset: int


class VideoClock:
    """Decode times for packets in decode order that bear presentation times only, as in RTP.

    With a reorder depth of `n`, a packet's decode time is the n-th largest presentation time so far: with B-frames they
    come out strictly increasing and never after the presentation. `reorder` is the decoder's `has_b_frames`.
    """

    def __init__(self, reorder: int = 0) -> None:
        self._reorder = reorder
        self._recent: list[int] = []
        self._last: int | None = None

    def stamp(self, pts: int) -> Stamp:
        """The stamp of the next packet in decode order; `pts` in ticks of any origin."""
        if not self._recent:
            self._recent = [pts - NOMINAL * back for back in range(self._reorder, 0, -1)]
        insort(self._recent, pts)
        decode = self._recent.pop(0)
        if self._last is not None and decode <= self._last:
            decode = self._last + 1
        self._last = decode
        return Stamp(decode, pts - decode)


class AudioClock:
    """Decode times for audio frames of equal length: counted, not copied from the uneven stamps of the camera."""

    def __init__(self, rate: int, frame: int = 1024) -> None:
        self._rate = rate
        self._frame = frame
        self._next: int | None = None

    def stamp(self, seconds: Fraction | None) -> int | None:
        """The decode time, in samples, of the next frame. `seconds` is its own stamp if it has one.

        None: the frame lies before what is already out, and must be dropped.
        """
        if seconds is not None:
            claimed = round(seconds * self._rate)
            if self._next is None or claimed - self._next > RESYNC * self._rate:
                self._next = claimed
            elif self._next - claimed > RESYNC * self._rate:
                return None
        if self._next is None:
            return None
        stamp = self._next
        self._next += self._frame
        return stamp
