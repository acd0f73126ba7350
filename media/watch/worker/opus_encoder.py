"""Makes Opus of a stream's sound: the one codec that every WebRTC client knows (RFC 7874, section 3)."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec import CodecContext
from av.packet import Packet

from media.timing import insync

RATE: Final = 48_000  # the clock of Opus over RTP, whatever is inside (RFC 7587, section 4.1)
FRAME: Final = 960  # samples of a packet: 20 ms (section 4.2)
BITRATE: Final = 96_000
LIMIT: Final = FRAME  # samples that the stream's times may be off those counted before they win


class OpusMaker:
    """Opus of the one sound track below an init. Raises `ValueError` when nothing here decodes it."""

    def __init__(self, init: bytes) -> None:
        with av.open(io.BytesIO(init), format="mov", metadata_errors="replace") as opened:
            if not opened.streams.audio:
                raise ValueError("there is no sound below this init")
            template = opened.streams.audio[0].codec_context
            decoder = CodecContext.create(template.name, "r")
            decoder.extradata = template.extradata
        assert isinstance(decoder, AudioCodecContext)
        self._decoder = decoder
        self._resampler = AudioResampler(format="s16", layout="stereo", rate=RATE, frame_size=FRAME)
        self._encoder = _encoder()
        self._taken = 0.0  # seconds of sound handed in
        self._made = 0  # samples that have come out
        self._origin = 0.0  # media time at sample 0

    def packets(self, data: bytes, seconds: float) -> Iterator[tuple[float, bytes]]:
        """The packets that one coded frame, which sounds at `seconds` of media time, completes: each with its own
        time.
        """
        if insync.gap(seconds * RATE, (self._taken + self._origin) * RATE, LIMIT):
            self._origin = seconds - self._taken
        try:
            decoded = self._decoder.decode(Packet(data))
        except av.FFmpegError:
            return  # a damaged frame is a silent one
        for frame in decoded:
            self._taken += frame.samples / frame.sample_rate
            frame.pts = None  # counted, not believed: the resampler must see no holes
            for piece in self._resampler.resample(frame):
                yield from self._encode(piece)

    def _encode(self, piece: AudioFrame) -> Iterator[tuple[float, bytes]]:
        piece.pts, piece.time_base = None, Fraction(1, RATE)
        for packet in self._encoder.encode(piece):
            yield self._origin + self._made / RATE, bytes(packet)
            self._made += FRAME


def _encoder() -> AudioCodecContext:
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "s16"
    encoder.bit_rate, encoder.time_base = BITRATE, Fraction(1, RATE)
    encoder.open()
    return encoder
