"""The packet transcoder: makes H.264 of a camera's pictures that no browser plays, packet by packet."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from media.codecs import h264_encoder, libav
from media.codecs.h264_encoder import EncoderRate, PictureForm

KEY_EVERY: Final = Fraction(2)  # seconds of the camera's frame rate
LISTENED: Final = 3  # pictures that tell the frame rate where the camera does not
FALLBACK_RATE: Final = 25.0

Leave = Callable[[int, int, float], None]


class PacketTranscoder:
    """Decodes what the camera sends, and encodes it again as Annex B with parameter sets at each key frame.

    `leave` is asked with width, height and frames a second before pictures of a new size are encoded, and may raise
    `Fault`. The packets bear the camera's stamps. Raises `ValueError` for a codec that is not decoded here.
    """

    def __init__(self, video: VideoStream, leave: Leave) -> None:
        context = video.codec_context
        if context is None:
            raise ValueError("an unknown codec")
        if context.name not in libav.DECODERS:
            raise ValueError(f"{libav.name_of(context)} is none of those that are decoded")
        self.reason = libav.why_made_anew(context, "H.264 and H.265 are")
        self._source = video
        context.thread_count = 1
        context.options = {"max_pixels": str(libav.MAX_PIXELS)}
        self._leave = leave
        self._held: list[VideoFrame] = []  # until the rate is known
        self._fps = libav.sane_rate(video.average_rate)
        self._look: PictureForm | None = None
        self._encoder: VideoCodecContext | None = None
        self._output: VideoStream | None = None
        self._count = 0

    @property
    def stream(self) -> VideoStream:
        """The stream that the packets are of. Ask for it only after the first packet."""
        if self._output is None:
            raise RuntimeError("nothing has been encoded yet")
        return self._output

    def packets(self, packet: "Packet[Any]", *, skip: bool = False) -> "Iterator[Packet[Any]]":
        """The packets that this packet completes. Pictures that are damaged, or decoded with `skip`, are left out."""
        try:
            frames = self._source.codec_context.decode(packet)
        except (av.FFmpegError, ValueError):
            return
        self._held += [frame for frame in frames if not frame.is_corrupt and not skip]
        if not self._fps:
            if len(self._held) < LISTENED:
                return
            self._fps = _rate(self._held) or FALLBACK_RATE
        ready, self._held = self._held, []
        for frame in ready:
            yield from self._encode(frame)

    def _encode(self, frame: VideoFrame) -> "Iterator[Packet[Any]]":
        # Even sides: 4:2:0 has no others.
        width, height = max(2, frame.width // 2 * 2), max(2, frame.height // 2 * 2)
        stamp = frame.pts
        made = frame.reformat(width=width, height=height, format="yuv420p")  # the same frame when it is that already
        colours = (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace))
        look = PictureForm(width, height, self._source.sample_aspect_ratio or Fraction(1), *colours)
        if self._encoder is None or look != self._look:
            self._leave(width, height, self._fps)
            self._encoder = self._renewed(look)
        key = self._count % max(1, round(KEY_EVERY * Fraction(self._fps))) == 0
        made.pts, made.time_base = self._count, self._encoder.time_base
        made.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        for packet in self._encoder.encode(made):  # one packet for each picture: the encoder holds nothing back
            packet.pts = packet.dts = stamp
            packet.time_base = self._source.time_base or Fraction(1, 90000)
            yield packet

    def _renewed(self, look: PictureForm) -> VideoCodecContext:
        rate = EncoderRate(self._fps, None, KEY_EVERY)
        fps = Fraction(self._fps).limit_denominator(1001)
        # A raw stream has no place for parameter sets but the pictures, and nothing is ever muxed into it.
        stream = av.open(io.BytesIO(), "w", format="h264").add_stream("libx264", rate=fps)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = look.width, look.height, "yuv420p"
        context.time_base, context.framerate = 1 / fps, fps
        context.bit_rate = h264_encoder.bits(rate, look)
        context.thread_count = h264_encoder.threads(look)
        context.sample_aspect_ratio = look.aspect
        context.color_range, context.colorspace = 1, look.matrix
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        context.options = h264_encoder.options(rate, look)
        self._look, self._output, self._count = look, stream, 0
        return context


def _rate(frames: list[VideoFrame]) -> float:
    """Frames a second by the time stamps of these frames; 0 when those say nothing."""
    times = [float(frame.pts * frame.time_base) for frame in frames if frame.pts is not None and frame.time_base]
    steps = sorted(after - before for before, after in pairwise(times) if after > before)
    return libav.sane_rate(1 / Fraction(steps[0]).limit_denominator(100_000)) if steps else 0.0
