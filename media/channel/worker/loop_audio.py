"""Audio of a loop that has no edge at the join: as many rounds as make whole AAC frames, encoded through their
joins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from media.codecs.sound_line import SoundLine
from media.mp4 import aac
from media.mp4.aac import AacConfig

MOST_ROUNDS: Final = 16  # 25 fps needs at most 8 at 48 kHz, 30 fps 16
LONGEST: Final = 300  # seconds of all rounds together: more is seldom heard, and takes seconds to encode
WARM_UP: Final = 4  # frames before the first one, so that it is encoded as one in the middle of a stream
_AAC_LC: Final = 2
_BYTES: Final = 4  # of a sample, a float
_BIT_RATE: Final = 128_000  # where the file does not say


@dataclass(frozen=True, slots=True)
class LoopSound:
    """The audio of one round: its length in seconds, and the second of the file's time at which it begins.

    `phase` is how many samples behind the round's beginning the first frame of the grid begins.
    """

    seconds: Fraction
    start: Fraction
    phase: int


def rounds_needed(seconds: Fraction, rate: int, frame: int) -> int | None:
    """The smallest number of rounds that are a whole number of frames; None when it is too large to be encoded."""
    count = (seconds * rate / frame).denominator
    return count if count <= MOST_ROUNDS and count * seconds <= LONGEST else None


def encode(
    container: InputContainer, source: AudioStream, packaged: AudioStream, sound: LoopSound
) -> list[bytes] | None:
    """Every AAC frame of `rounds_needed` rounds; the first one follows the last one without an edge.

    `source` is read; the frames fit between those of `packaged`, which is another track only if the audio is encoded
    anew. None where that is not possible: an AAC that is not plain, a channel layout that FFmpeg cannot encode, damage.
    Holds one decoded round in memory.
    """
    extradata = packaged.codec_context.extradata or b""
    if packaged.codec_context.name != "aac":
        return None
    try:
        config = aac.parse(extradata)
    except ValueError:
        return None
    count = rounds_needed(sound.seconds, config.core_rate, config.frame)
    if count is None or not config.layout or config.frame != 1024 or extradata[0] >> 3 != _AAC_LC:
        return None
    try:
        frames: Iterator[AudioFrame] = container.decode(source)
        if source is not packaged:
            frames = _resampled(frames, config)
        planes = _decoded(frames, packaged.codec_context.channels, sound, config)
        return _encoded(_Endless(planes, sound.seconds * config.core_rate, count), packaged, sound, config)
    except (av.FFmpegError, ValueError):
        return None


def _resampled(frames: Iterator[AudioFrame], config: AacConfig) -> Iterator[AudioFrame]:
    """The frames of another codec, in the form in which an AAC decoder would give them."""
    line = SoundLine(config.core_rate, config.layout, config.frame)
    for frame in frames:
        yield from line.pieces(frame)
    yield from line.rest()


def _decoded(frames: Iterator[AudioFrame], channels: int, sound: LoopSound, config: AacConfig) -> list[bytearray]:
    """One round of samples for each channel; silence where the file has none. Raises `ValueError` for odd streams."""
    samples = ceil(sound.seconds * config.core_rate) + 1
    planes = [bytearray(samples * _BYTES) for _ in range(channels)]
    for frame in frames:
        base = frame.time_base
        if frame.pts is None or base is None:
            continue
        if frame.sample_rate != config.core_rate or frame.format.name != "fltp" or len(frame.planes) != len(planes):
            raise ValueError("the decoded audio is not what its configuration says")
        at = round((frame.pts * base - sound.start) * config.core_rate)
        if at >= samples:
            break
        skip, take = max(0, -at), min(frame.samples, samples - at)
        if take > skip:
            for plane, decoded in zip(planes, frame.planes, strict=True):
                data = memoryview(decoded).cast("B")[skip * _BYTES : take * _BYTES]
                plane[(at + skip) * _BYTES : (at + take) * _BYTES] = data
    return planes


class _Endless:
    """One round of samples again and again; a round that is no whole number of samples begins at the nearest one."""

    def __init__(self, planes: list[bytearray], length: Fraction, rounds: int) -> None:
        self.planes = planes
        self.period = int(length * rounds)
        self._starts = [round(number * length) for number in range(rounds)] + [self.period]

    def at(self, start: int, count: int) -> list[bytes]:
        """`count` samples from sample `start` on, as bytes for each channel."""
        pieces: list[tuple[int, int]] = []
        while count:
            inside = start % self.period
            number = next(n for n, begin in enumerate(self._starts) if begin > inside) - 1
            take = min(count, self._starts[number + 1] - inside)
            offset = inside - self._starts[number]
            pieces.append((offset * _BYTES, (offset + take) * _BYTES))
            start, count = start + take, count - take
        return [b"".join(bytes(plane[a:b]) for a, b in pieces) for plane in self.planes]


def _encoded(endless: _Endless, stream: AudioStream, sound: LoopSound, config: AacConfig) -> list[bytes]:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = config.core_rate, config.layout, "fltp"
    encoder.bit_rate = stream.codec_context.bit_rate or _BIT_RATE
    encoder.time_base = Fraction(1, config.core_rate)
    frames = endless.period // config.frame
    found: dict[int, bytes] = {}
    for number, frame in enumerate(_frames(endless, sound, config, frames + 2 * WARM_UP)):
        frame.pts = number * config.frame
        for packet in encoder.encode(frame):
            # A packet's time is that of the samples which it decodes to: the encoder's delay is taken off.
            found[(packet.pts or 0) // config.frame - WARM_UP] = bytes(packet)
    return [found[number] for number in range(frames)]


def _frames(endless: _Endless, sound: LoopSound, config: AacConfig, count: int) -> Iterator[AudioFrame]:
    for number in range(count):
        frame = AudioFrame("fltp", config.layout, config.frame)
        samples = endless.at((number - WARM_UP) * config.frame + sound.phase, config.frame)
        for plane, data in zip(frame.planes, samples, strict=True):
            plane.update(data.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.time_base = config.core_rate, Fraction(1, config.core_rate)
        yield frame
