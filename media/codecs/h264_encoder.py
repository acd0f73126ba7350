"""An H.264 encoder for live pictures: no frame is held back, key frames come when they are asked for."""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from av.audio.stream import AudioStream
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from media.chunk import Init
from media.codecs import libav
from media.mp4 import fmp4, moov, picture_boxes
from media.mp4.parameter_sets import ParameterSets
from media.timing.clock import VIDEO_RATE

PRESET: Final = "superfast"
BITS_PER_PIXEL: Final = 0.1  # of each frame, when no bitrate is given
LARGE: Final = 1280 * 720  # pixels over which a second thread is worth having


@dataclass(frozen=True, slots=True)
class PictureForm:
    """Size, shape of pixels and colours (FFmpeg's numbers): when they change, another encoder and init are needed."""

    width: int
    height: int
    aspect: Fraction
    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True, slots=True)
class EncoderRate:
    """Frames a second as far as known, bits a second (None: by the size), and seconds between key frames."""

    fps: float
    bitrate: int | None
    key_every: Fraction


def options(rate: EncoderRate, look: PictureForm) -> dict[str, str]:
    """The settings of libx264; `benchmarks/transcode.py` gives ffmpeg the same."""
    bitrate = bits(rate, look)
    # The grid of key frames is ours; the encoder's own must only not come in between.
    most = max(2, round(4 * float(rate.key_every) * rate.fps))
    return {
        "preset": PRESET,
        "tune": "zerolatency",
        "profile": "high",
        "sc_threshold": "0",
        "g": str(most),
        "forced-idr": "1",
        "maxrate": str(bitrate),
        "bufsize": str(bitrate),
    }


def bits(rate: EncoderRate, look: PictureForm) -> int:
    """The bitrate in bits a second."""
    return rate.bitrate or max(200_000, round(look.width * look.height * rate.fps * BITS_PER_PIXEL))


def threads(look: PictureForm) -> int:
    """How many threads the encoder, and the decoder of such a picture, may have."""
    return 2 if look.width * look.height > LARGE else 1


class Encoder:
    """`yuv420p` frames in, stamps in ticks of `VIDEO_RATE`; samples out, one for each frame."""

    def __init__(self, look: PictureForm, rate: EncoderRate, audio: AudioStream | None) -> None:
        self.look = look
        buffer = io.BytesIO()
        self._container = libav.init_writer(buffer, VIDEO_RATE)
        video = self._container.add_stream("libx264", rate=Fraction(rate.fps).limit_denominator(1001))
        assert isinstance(video, VideoStream)
        self._context = context = video.codec_context
        context.width, context.height, context.pix_fmt = look.width, look.height, "yuv420p"
        context.time_base = Fraction(1, VIDEO_RATE)
        context.bit_rate = bits(rate, look)
        context.thread_count = threads(look)
        context.sample_aspect_ratio = look.aspect
        context.color_range, context.colorspace = 1, look.matrix
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        context.options = options(rate, look)
        if audio is not None:
            self._container.add_stream_from_template(audio)
        self._container.start_encoding()
        self.init: Init = moov.declared(picture_boxes.described(buffer.getvalue(), look.aspect), rate.fps)
        self._sets = ParameterSets.declared(self.init.data)

    def encode(self, frame: VideoFrame, *, key: bool) -> list[tuple[int, bytes, bool]]:
        """Stamp, sample (length-prefixed, with the parameter sets at key frames) and whether it is a key frame."""
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return [
            (
                packet.pts or 0,
                self._sets.sample(fmp4.length_prefixed(bytes(packet)), packet.is_keyframe),
                packet.is_keyframe,
            )
            for packet in self._context.encode(frame)
        ]
