"""Makes AAC of whatever a camera sounds like, so that browsers can play it."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet

from media.codecs import libav
from media.mp4 import aac

RATE: Final = 48_000
BITRATE: Final = 64_000
FRAME: Final = 1024  # samples of an AAC frame
HOPELESS: Final = 50  # packets in a row that do not decode, after which the sound is given up


class AacFrame(NamedTuple):
    """One AAC frame; `seconds` is when it sounds on the camera's clock, None when the camera did not say."""

    data: bytes
    seconds: float | None


class CopiedSound:
    """AAC as the camera sends it. `stream` is what an init is made from, `samples` is how long a frame is."""

    reason: str | None = None

    def __init__(self, stream: AudioStream) -> None:
        config = aac.parse(stream.codec_context.extradata or b"")
        if not config.plain:
            raise ValueError("an AAC that browsers do not play")
        self.stream = stream
        self.samples = config.frame

    def frames(self, packet: "Packet[Any]", seconds: float | None) -> Iterable[AacFrame]:
        """The frames that the packet completes: the packet itself."""
        return (AacFrame(bytes(packet), seconds),)


class MadeSound:
    """Mono AAC at 48 kHz of any codec that FFmpeg decodes."""

    samples = FRAME

    def __init__(self, stream: AudioStream) -> None:
        self.reason: str | None = libav.why_made_anew(stream.codec_context, "AAC is")
        self._source = stream
        self._encoder = _encoder()
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=RATE, frame_size=FRAME)
        self._template = av.open(io.BytesIO(_init()), format="mp4")
        self.stream = self._template.streams.audio[0]
        self._encoded = 0  # samples handed to the encoder
        self._heard = 0.0  # seconds of sound taken from the camera
        self._origin: float | None = None  # the camera's clock at sample 0
        self._failures = 0

    def frames(self, packet: "Packet[Any]", seconds: float | None) -> Iterable[AacFrame]:
        """What the packet completes; its sound begins at `seconds` of the camera's clock.

        Raises `ValueError` when the sound turns out to be no sound at all.
        """
        try:
            decoded = self._source.codec_context.decode(packet)
        except av.FFmpegError:
            self._failures += 1
            if self._failures >= HOPELESS:
                raise ValueError("nothing of the sound can be decoded") from None
            return
        self._failures = 0
        self._follow(seconds)
        for frame in decoded:
            self._heard += frame.samples / (frame.sample_rate or RATE)
            frame.pts = None  # counted, not believed: the resampler must see no holes
            for piece in self._resampler.resample(frame):
                yield from self._encode(piece)

    def _encode(self, piece: AudioFrame) -> Iterator[AacFrame]:
        piece.pts, piece.time_base = self._encoded, Fraction(1, RATE)
        self._encoded += piece.samples
        for packet in self._encoder.encode(piece):
            pts = packet.pts if packet.pts is not None else -1
            if pts >= 0:  # what is before is the encoder's priming
                seconds = None if self._origin is None else self._origin + pts / RATE
                yield AacFrame(bytes(packet), seconds)

    def _follow(self, seconds: float | None) -> None:
        """Ties the samples to the camera's clock; `AudioClock` says what becomes of steps."""
        if seconds is not None:
            self._origin = seconds - self._heard


CameraSound = CopiedSound | MadeSound


def sound_of(stream: AudioStream) -> CameraSound:
    """The way in which a camera's sound gets to browsers: copied when it is AAC with a config, else made anew.

    Raises `ValueError` for a codec that is not decoded here.
    """
    context = getattr(stream, "codec_context", None)  # None for a codec that FFmpeg does not know
    if context is None:
        raise ValueError("its codec is not known")
    if context.name == "aac" and context.extradata:
        try:
            return CopiedSound(stream)
        except ValueError:
            return MadeSound(stream)
    if context.name not in libav.DECODERS:
        raise ValueError(f"{libav.name_of(context)} is none of those that are decoded")
    try:
        return MadeSound(stream)
    except av.FFmpegError as error:
        raise ValueError(f"{libav.name_of(context)} cannot be decoded") from error


def _encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "fltp"
    encoder.bit_rate, encoder.time_base = BITRATE, Fraction(1, RATE)
    encoder.open()
    return encoder


def _init() -> bytes:
    """An init with one AAC track like that of `_encoder`, to be read back as the stream that an init is made from."""
    buffer = io.BytesIO()
    with libav.init_writer(buffer, RATE) as container:
        track = container.add_stream("aac", rate=RATE, layout="mono")
        track.bit_rate = BITRATE
        container.start_encoding()
        return buffer.getvalue()
