"""The sound of a loop: what is heard over its joins."""

import io
import math
from array import array
from fractions import Fraction
from pathlib import Path

import av
import pytest

from media.channel.worker.loop_audio import LONGEST, rounds_needed
from tests.media.channel.worker.test_package_play import packaged, rounds
from tests.support import clips
from tests.support.clips import Clip

pytestmark = pytest.mark.media


def heard(stream: bytes) -> "tuple[array[float], int]":
    """The first channel as it is decoded, and the sample rate."""
    samples: array[float] = array("f")
    with av.open(io.BytesIO(stream), "r", format="mp4") as container:
        rate = container.streams.audio[0].sample_rate
        for frame in container.decode(audio=0):
            samples.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    return samples, rate


@pytest.mark.parametrize(
    ("clip", "needed"),
    [
        (Clip(), 2),
        (Clip(seconds=Fraction(11, 10), rate=Fraction(30), gop=30, sound=Fraction(11, 10)), 16),
        (Clip(seconds=Fraction(16, 5), sound=Fraction(16, 5)), 1),
        (Clip(layout="mono", seconds=Fraction(2), sound=Fraction(5, 2)), 4),
        (Clip(audio="pcm_s16le", format="mov"), 2),
    ],
)
def test_a_tone_goes_on_over_the_joins_without_a_click(clip: Clip, needed: int, tmp_path: Path) -> None:
    made, _ = packaged(clips.make(tmp_path / "clip.mp4", clip), tmp_path / "package")
    assert len(made.cycle) == needed
    assert sum(made.counts) * 1024 == needed * made.seconds * 48000
    times = needed + 3
    samples, rate = heard(rounds(made, tmp_path / "package", times))
    assert abs(len(samples) - times * made.seconds * rate) <= 1024
    # What a recursion that holds for every sine of this frequency leaves over is a click (or the codec's noise).
    turn = 2 * math.cos(2 * math.pi * 440 / rate)
    first = rate // 2
    left = [abs(samples[n + 1] - turn * samples[n] + samples[n - 1]) for n in range(first, len(samples) - 2048)]
    length = float(made.seconds * rate)
    assert (440 * made.seconds).denominator == 1  # else the tone itself turns there
    joins = [round(number * length) - first for number in range(1, times)]
    near = {n for join in joins for n in range(join - 1500, join + 1500)}
    at_joins = max(left[n] for n in near if 0 <= n < len(left))
    # The file's own edges are off by as much: its encoder knew nothing of what comes before and after them.
    assert at_joins < 0.025 * max(samples[first:])
    assert max(samples) > 0.05


def test_rounds_that_would_take_too_long_to_encode_are_not() -> None:
    assert rounds_needed(Fraction(4), 48000, 1024) == 2
    assert rounds_needed(Fraction(4), 44100, 1024) is None  # 64 rounds
    assert rounds_needed(Fraction(LONGEST + 20), 48000, 1024) is None
