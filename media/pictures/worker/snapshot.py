"""Makes a JPEG or PNG of one key frame: a task of a worker, for whatever comes from a camera may harm a decoder."""

import io
from base64 import b64decode
from fractions import Fraction
from typing import Any, Final

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media.codecs import libav
from media.effects import upright
from media.effects.upright import Upright
from media.faults import Fault
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished

# format: encoder, pixel format, options. The fixed quantiser 3 of 2 to 31 is what cameras' own snapshots look like.
ENCODERS: Final = {
    "jpeg": ("mjpeg", "yuvj420p", {"qmin": "3", "qmax": "3"}),
    "png": ("png", "rgb24", {}),
}
PHASE: Final = "decoding"


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """`spec`: `init` and `chunk` in base64, the chunk beginning with a key frame; `format`; `width` in pixels or None.

    Answers `Finished` with `width` and `height` of the picture and the picture as its body. Faults: `internal` when
    the frame does not decode, `limits-exceeded`.
    """
    frame, aspect = decode(b64decode(spec["init"]) + b64decode(spec["chunk"]))
    width, height = scaled(round(frame.width * aspect), frame.height, spec["width"])
    channel.send(Finished({"width": width, "height": height}, encode(frame, spec["format"], width, height)))


def decode(film: bytes) -> tuple[VideoFrame, Fraction]:
    """The first picture of a fragmented MP4, upright, and the shape of its pixels."""
    options = {"protocol_whitelist": "file", "enable_drefs": "0", "max_pixels": str(libav.MAX_PIXELS)}
    try:
        with av.open(io.BytesIO(film), "r", format="mov", options=options, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(libav.MAX_PIXELS)}
            aspect = stream.sample_aspect_ratio or Fraction(1)
            packet = next(container.demux(stream))
            frames = [*stream.decode(packet), *stream.decode(None)]
    except (av.FFmpegError, OSError, ValueError, IndexError, StopIteration):
        frames, aspect = [], Fraction(1)
    if not frames or not isinstance(frames[0], VideoFrame):
        raise Fault("internal", "The newest key frame of the stream does not decode.", PHASE)
    turned = upright.orientation(frames[0])
    return Upright(turned).apply(frames[0]), upright.shape(aspect, turned)


def scaled(width: int, height: int, wanted: int | None) -> tuple[int, int]:
    """The size in pixels, even: the wanted width and the height that keeps the shape; never larger than the picture."""
    target = min(wanted or width, width)
    return max(2, target // 2 * 2), max(2, round(height * target / width / 2) * 2)


def encode(frame: VideoFrame, format_: str, width: int, height: int) -> bytes:
    """The picture as a file of that format."""
    codec, pixels, options = ENCODERS[format_]
    encoder = av.CodecContext.create(codec, "w")
    if not isinstance(encoder, VideoCodecContext):
        raise Fault("internal", f"There is no {format_} encoder.", "encoding")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.time_base = Fraction(1, 25)
    encoder.options = dict(options)
    picture = frame.reformat(width, height, pixels)
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))
