"""Lays decoded sound on one line of samples: by its stamps, resampled, in pieces of equal length."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from media.timing import insync

LIMIT: Final = Fraction(1, 50)  # seconds that stamps may be off the samples counted: what millisecond clocks jitter
LONGEST_FILL: Final = 1  # seconds; over a longer hole the line begins anew
PLANAR: Final = "fltp"


class SoundLine:
    """Takes frames of any form as a decoder gives them; gives frames of `size` samples at `rate`, float planar.

    The pieces bear the times of their first samples, as counted: holes are filled with silence and what overlaps is
    left out, so that no sample is more than `LIMIT` from its stamp. Where there is nothing for longer than
    `LONGEST_FILL`, there are no pieces.
    """

    def __init__(self, rate: int, layout: str, size: int) -> None:
        self._rate = rate
        self._layout = layout
        self._size = size
        self._form: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None
        self._counted = Fraction(0)  # samples of the line at which the next frame begins
        self._begun = False

    def pieces(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """The pieces that this frame completes. A frame without a stamp follows the one before."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        scale = Fraction(self._rate, frame.sample_rate)
        stamped = self._counted
        if frame.pts is not None and frame.time_base:
            stamped = frame.pts * frame.time_base * self._rate
        gap = insync.gap(stamped, self._counted, LIMIT * self._rate) if self._begun else 0
        if form != self._form or not self._begun or gap > LONGEST_FILL * self._rate:
            yield from self.rest()
            self._form = form
            self._resampler = AudioResampler(PLANAR, self._layout, self._rate, frame_size=self._size)
            self._counted, gap, self._begun = stamped, 0, True
        if gap > 0:
            yield from self._take(_silence(form, round(gap / scale)), scale)
        elif gap < 0:
            left = frame.samples - round(-gap / scale)
            if left <= 0:
                return
            frame = _end(frame, left)
        yield from self._take(frame, scale)

    def rest(self) -> Iterator[AudioFrame]:
        """The shorter piece that is left over when nothing follows."""
        if self._resampler is not None:
            yield from self._resampler.resample(None)
            self._resampler = None

    def _take(self, frame: AudioFrame, scale: Fraction) -> Iterator[AudioFrame]:
        assert self._resampler is not None
        frame.pts, frame.time_base = round(self._counted), Fraction(1, self._rate)
        self._counted += frame.samples * scale
        yield from self._resampler.resample(frame)


def _silence(form: tuple[str, str, int], samples: int) -> AudioFrame:
    frame = AudioFrame(form[0], form[1], max(1, samples))
    quiet = b"\x80" if form[0].startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(quiet * plane.buffer_size)
    frame.sample_rate = form[2]
    return frame


def _end(frame: AudioFrame, samples: int) -> AudioFrame:
    """The last `samples` of a frame."""
    short = AudioFrame(frame.format.name, frame.layout.name, samples)
    size = frame.format.bytes * (1 if frame.format.is_planar else len(frame.layout.channels))
    for plane, whole in zip(short.planes, frame.planes, strict=True):
        data = bytes(whole)[(frame.samples - samples) * size : frame.samples * size]
        plane.update(data.ljust(plane.buffer_size, b"\0"))
    short.sample_rate = frame.sample_rate
    return short
