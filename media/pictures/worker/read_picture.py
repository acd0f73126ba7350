"""Reads, checks and normalises one picture for use as a watermark: a task of a worker."""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import av
from av.codec import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media.effects import pixels
from media.faults import Fault
from media.mp4 import intake
from media.pictures.worker import image_header
from media.pictures.worker.image_header import Image
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished

MAX_FILE: Final = 5 * 1024 * 1024  # bytes
CODECS: Final = {"png": "png", "jpeg": "mjpeg", "webp": "webp"}
PHASE: Final = "decoding"


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """`spec["path"]` is the file, `spec["store"]` the folder of normalised pictures (named by the file's SHA-256).

    Answers `Finished` with width and height (upright, in pixels), format, sha256 and warnings.
    """
    data = read(Path(spec["path"]))
    found = image_header.examine(data)
    frame = pixels.normalised(decode(found), found.orientation)
    sha256 = hashlib.sha256(data).hexdigest()
    pixels.save(Path(spec["store"]) / sha256, frame)
    info = {"width": frame.width, "height": frame.height, "format": found.format, "sha256": sha256}
    channel.send(Finished(info | {"warnings": _warnings(frame)}))


def read(path: Path) -> bytes:
    """The whole file, at most `MAX_FILE` bytes. Raises `Fault` when it is none, no regular one, empty or too large."""
    try:
        fd = intake.open_regular(path)
    except Fault as fault:
        code = {"file-not-found": "image-not-found", "file-empty": "image-corrupt"}.get(fault.code, fault.code)
        raise Fault(code, fault.detail, fault.phase) from None
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise Fault("image-too-large", f"The picture's file is over {MAX_FILE} bytes.", "opening")
    return data


def decode(found: Image) -> VideoFrame:
    """The picture as stored. No demuxer, no path, no second probe: one packet through one strict decoder."""
    context = CodecContext.create(CODECS[found.format], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = {"max_pixels": str(image_header.MAX_PIXELS), "err_detect": "explode"}
    try:
        frames = [*context.decode(Packet(found.data)), *context.decode(None)]
    except (av.FFmpegError, OSError, ValueError):
        frames = []
    if not frames or not isinstance(frames[0], VideoFrame) or frames[0].is_corrupt:
        raise Fault("image-corrupt", "The picture is damaged or cut short.", PHASE)
    if (frames[0].width, frames[0].height) != (found.width, found.height):
        raise Fault("image-corrupt", "The picture has another size than it declares.", PHASE)
    return frames[0]


def _warnings(frame: VideoFrame) -> dict[str, str]:
    alpha = pixels.rows(frame)[3::4]
    if alpha.count(0) == len(alpha):
        return {"image-transparent": "The picture is fully transparent: it will not be seen."}
    return {}
