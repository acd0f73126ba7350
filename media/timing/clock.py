"""Turns what a camera stamps on its packets into decode times that only go forward. Pure."""

from bisect import insort
from collections import deque
from fractions import Fraction
from math import inf
from typing import Final, NamedTuple

from media.timing import insync
from media.timing.insync import HALF

VIDEO_RATE: Final = 90000  # ticks a second: RTP's clock for video (RFC 6184, section 5.1)
NOMINAL: Final = VIDEO_RATE // 25  # a frame's duration as long as nothing is known
LONGEST: Final = 5  # seconds that a frame may last, unless the camera's are that slow
RESYNC: Final = Fraction(1, 10)  # seconds that an audio stamp may be off before it is believed at once
SLEW: Final = 1000  # one sample is given or taken for every so many, until the stamps agree
SPAN: Final = 1 << 32  # RTP timestamps are modulo this (RFC 3550, section 5.1)
EXPLAINED: Final = 2  # seconds by which a step may differ from the time that has passed and still be a real gap
AGREEING: Final = 3  # stray stamps in a row that agree with one another: the camera's clock was set anew
USUAL: Final = 4  # the least of so many steps is a frame's: a gap and a reordered picture make longer ones
WINDOW: Final = 60  # seconds over which a camera's rate is measured
DRIFT: Final = 0.02  # a rate that is further off is told and corrected
BROKEN: Final = 0.10  # a rate that is further off is no clock: arrival counts
MOST_SKEW: Final = 1.0  # seconds that the stream may run ahead of or behind arrival before it is corrected


class Stamp(NamedTuple):  # a frozen dataclass takes three times as long to make, and this is made for every frame
    """Where a frame stands, in ticks: decode time, and presentation minus decode time."""

    decode: int
    offset: int


class StampMapper:
    """Presentation times that go on whatever the camera's clock does; ticks of `rate` in and out, decode order.

    Plain wraps, jumps, and single stamps that are hours away leave no trace. A step of over five seconds (or over two
    frames, where those are longer) is replaced by one frame, unless the time of arrival explains it. When three such
    stamps agree with one another, the clock was set anew and goes on from there. A step that arrival explains is a real
    gap and is kept. A frame without a stamp comes one frame after the one before, until a stamp says where it was.
    """

    def __init__(self, rate: int = VIDEO_RATE, nominal: int = NOMINAL) -> None:
        self._rate = rate
        self._longest = LONGEST * rate
        self._raw: int | None = None  # the last stamp that was believed, as the camera wrote it
        self._out = 0  # what it was mapped to
        self._arrival = 0.0
        self._step = nominal
        self._steps: deque[int] = deque(maxlen=USUAL)
        self._strays: list[int] = []  # the last ones, as long as they agree with one another
        self._doubted = 0  # frames since the last stamp that was believed
        self.jumps = 0  # how often the camera's clock was set anew

    def map(self, pts: int | None, arrival: float) -> int:
        """The time to show a frame at. `pts` None: one frame after the one before. `arrival` in monotonic seconds."""
        if self._raw is None:
            self._raw, self._out, self._arrival = pts or 0, pts or 0, arrival
            return self._out
        if pts is None:
            self._doubted += 1
            return self._out + self._step * self._doubted
        delta = _nearest(pts - self._raw)
        passed = round((arrival - self._arrival) * self._rate)
        if self._is_near(delta) or abs(delta - passed) <= EXPLAINED * self._rate:
            return self._believe(pts, delta, arrival)
        return self._doubt(pts, arrival)

    def _is_near(self, delta: int) -> bool:
        """Whether so many ticks may lie between two frames."""
        return abs(delta) <= self._longest or abs(delta) <= 2 * self._step

    def _believe(self, pts: int, delta: int, arrival: float) -> int:
        if self._doubted or delta > 0:
            self._learn(delta)
        self._raw, self._out, self._arrival = pts, self._out + delta, arrival
        return self._out

    def _learn(self, delta: int) -> None:
        """What there is to learn of a stamp that is believed."""
        if delta > 0:
            self._steps.append(max(1, delta // (self._doubted + 1)))
            self._step = min(self._steps)
        self._strays.clear()
        self._doubted = 0

    def _doubt(self, pts: int, arrival: float) -> int:
        if self._strays and not self._is_near(_nearest(pts - self._strays[-1])):
            self._strays.clear()
        self._strays.append(pts)
        self._doubted += 1
        out = self._out + self._step * self._doubted
        if len(self._strays) == AGREEING:
            self.jumps += 1
            self._strays.clear()
            self._doubted = 0
            self._raw, self._out, self._arrival = pts, out, arrival
        return out


class RateKeeper:
    """Keeps a stream's time within bounds of real time, for cameras whose clock runs fast, slow or not at all.

    Takes and gives ticks of 90 kHz. A camera within `DRIFT` is left alone until it has run off by `MOST_SKEW`. How late
    packets are is taken as the least of a window, which a stalled network does not change.
    """

    def __init__(self, *, reorders: bool = False) -> None:
        self._reorders = reorders  # then arrival says nothing of the order of showing
        self._start: tuple[int, float] | None = None
        self._last_in = 0
        self._out = 0.0
        self._window_at = 0.0
        self._least_raw = inf  # the least lateness of this window, seconds, by the camera's clock
        self._least_out = inf  # the least lateness of this window, seconds, by our clock
        self._before: float | None = None
        self._usual = 0.0  # the least lateness of the first window: what is there from the start is no drift
        self._factor = 1.0
        self.error = 0.0  # by how much the camera's clock is fast (above 0) or slow, as last measured
        self.by_arrival = False

    @property
    def drifting(self) -> bool:
        """Whether the camera's clock is so wrong that somebody should know."""
        return abs(self.error) > DRIFT

    def keep(self, pts: int, arrival: float) -> int:
        """The time to go by instead of `pts`, for a packet that came at `arrival` (monotonic seconds)."""
        if self._start is None:
            self._start, self._last_in, self._out, self._window_at = (pts, arrival), pts, float(pts), arrival
        start, began = self._start
        passed = arrival - began
        if self.by_arrival:
            # One sixteenth of what is missing at a time: arrival jitters, frames should not.
            target = start + passed * VIDEO_RATE
            self._out += max(1.0, (target - self._out) / 16)
        else:
            self._out += (pts - self._last_in) * self._factor
        self._last_in = pts
        raw = passed - (pts - start) / VIDEO_RATE
        out = passed - (self._out - start) / VIDEO_RATE
        if raw < self._least_raw:
            self._least_raw = raw
        if out < self._least_out:
            self._least_out = out
        if arrival - self._window_at >= WINDOW:
            self._measure(self._least_raw, self._least_out, arrival - self._window_at)
            self._window_at = arrival
            self._least_raw = self._least_out = inf
        return round(self._out)

    def _measure(self, least_raw: float, least_out: float, seconds: float) -> None:
        if self._before is None:
            self._usual = least_out
        else:
            self.error = (self._before - least_raw) / seconds
        self._before = least_raw
        skew = least_out - self._usual
        if abs(self.error) > BROKEN and not self._reorders:
            self.by_arrival = True
        if self._factor != 1.0 or self.drifting or abs(skew) > MOST_SKEW:
            wanted = 1 / (1 + self.error) if abs(self.error) < 0.5 else 1.0
            self._factor = wanted * (1 + max(-0.05, min(0.05, skew / (2 * WINDOW))))


class GapMeter:
    """The usual time between frames, by the arrival of the last few: what tells a slow camera from a stalled one."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=8)

    def note(self, arrival: float) -> None:
        """A frame has come, at `arrival` in monotonic seconds."""
        self._recent.append(arrival)

    @property
    def usual(self) -> float | None:
        """Seconds; None before the second frame."""
        if len(self._recent) < 2:
            return None
        return (self._recent[-1] - self._recent[0]) / (len(self._recent) - 1)


def _nearest(delta: int) -> int:
    """A difference of two 32-bit stamps as the nearest way round.

    FFmpeg undoes plain wraps, and makes of a jump back by x a jump ahead by 2^32 - x (measured).
    """
    return (delta + SPAN // 2) % SPAN - SPAN // 2


class VideoClock:
    """Decode times for packets in decode order that bear presentation times only, as in RTP.

    With a reorder depth of `n`, a packet's decode time is the n-th largest presentation time so far: with B-frames they
    come out strictly increasing and never after the presentation. `reorder` is the decoder's `has_b_frames`; `frame` is
    what a frame is said to last, in ticks.
    """

    def __init__(self, reorder: int = 0, frame: int = NOMINAL) -> None:
        self._reorder = reorder
        self._frame = frame
        self._recent: list[int] = []
        self._last: int | None = None

    def stamp(self, pts: int) -> Stamp:
        """The stamp of the next packet in decode order; `pts` in ticks of any origin."""
        if not self._recent:
            self._recent = [pts - self._frame * back for back in range(self._reorder, 0, -1)]
        insort(self._recent, pts)
        decode = self._recent.pop(0)
        if self._last is not None and decode <= self._last:
            decode = self._last + 1
        self._last = decode
        return Stamp(decode, pts - decode)


class AudioClock:
    """Decode times for audio frames of equal length: counted, not copied from the uneven stamps of the camera.

    Where count and stamps drift apart, as after a first sender report, the count is slewed by a thousandth. Once they
    are `RESYNC` apart, it jumps ahead, or frames are dropped, until they agree.
    """

    def __init__(self, rate: int, frame: int = 1024) -> None:
        self._rate = rate
        self._frame = frame
        self._resync = round(RESYNC * rate)
        self._next: int | None = None
        self._dropping = False

    def stamp(self, seconds: float | Fraction | None) -> int | None:
        """The decode time, in samples, of the next frame. `seconds` is its own stamp if it has one.

        None: the frame lies before what is already out, and must be dropped.
        """
        if seconds is not None and not self._follow(round(seconds * self._rate)):
            return None
        if self._next is None:
            return None
        stamp = self._next
        self._next += self._frame
        return stamp

    def _follow(self, claimed: int) -> bool:
        """Whether a frame with that stamp is not too late; what comes next then lies near it."""
        if self._next is None:
            self._next = claimed
        gap = insync.gap(claimed, self._next, HALF * self._frame if self._dropping else self._resync)
        self._dropping = gap < 0
        most = max(1, self._frame // SLEW)
        self._next += max(0, gap) or max(-most, min(most, int((claimed - self._next) / self._frame)))
        return not self._dropping
