"""Reads and checks one picture for use as a watermark: PNG, JPEG or still WebP, straight from its bytes."""

import hashlib
import os
import struct
from pathlib import Path
from typing import Any, Final

import av
from av.codec import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media import intake
from media.channel import Channel
from media.faults import Fault
from media.messages import Finished

MAX_FILE: Final = 5 * 1024 * 1024  # bytes
MAX_SIDE: Final = 4096  # pixels
MAX_PIXELS: Final = 16_000_000

ACCEPTED: Final = "PNG, JPEG and still WebP are accepted"
CODECS: Final = {"png": "png", "jpeg": "mjpeg", "webp": "webp"}
PHASE: Final = "decoding"


def run(channel: Channel, spec: dict[str, Any]) -> None:
    """The task of a worker: `spec["path"]` is the file; answers `Finished` with width, height, format and sha256."""
    data = read(Path(spec["path"]))
    format_, (width, height) = identify(data)
    decode(data, format_)
    sha256 = hashlib.sha256(data).hexdigest()
    channel.send(Finished({"width": width, "height": height, "format": format_, "sha256": sha256}))


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


def identify(data: bytes) -> tuple[str, tuple[int, int]]:
    """Format and size in pixels from the header bytes alone, so that a bomb is refused before anything is decoded.

    Raises `Fault`: not supported, animated, damaged, or over the limits.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        found = "png", _png_size(data)
    elif data.startswith(b"\xff\xd8\xff"):
        found = "jpeg", _jpeg_size(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = "webp", _webp_size(data)
    else:
        raise Fault("image-not-supported", f"The file is {_guess(data)}; {ACCEPTED}.", "reading")
    width, height = found[1]
    if min(width, height) < 1:
        raise Fault("image-corrupt", "The picture declares no size.", "reading")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        detail = f"The picture is {width}x{height}; at most {MAX_SIDE} a side and {MAX_PIXELS} pixels are accepted."
        raise Fault("image-too-large", detail, "reading")
    return found


def decode(data: bytes, format_: str) -> VideoFrame:
    """The decoded picture. No demuxer, no path, no second probe: one packet through one strict decoder."""
    context = CodecContext.create(CODECS[format_], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
    except (av.FFmpegError, OSError, ValueError):
        frames = []
    if not frames or not isinstance(frames[0], VideoFrame) or frames[0].is_corrupt:
        raise Fault("image-corrupt", "The picture is damaged or cut short.", PHASE)
    return frames[0]


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Fault("image-corrupt", "The PNG has no header.", "reading")
    if _png_is_animated(data):
        raise Fault("image-animated", f"The PNG is animated; {ACCEPTED}.", "reading")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _png_is_animated(data: bytes) -> bool:
    """`acTL` comes before the first `IDAT` (PNG third edition, section 11.3.6.1)."""
    at = 8
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"acTL":
            return True
        if kind == b"IDAT":
            return False
        at += 12 + size
    return False


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the frame header, SOF0 to SOF15 (ITU-T T.81, section B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if data[at + 9 : at + 10] == b"\x04":
                raise Fault("image-not-supported", f"The JPEG has four colours (CMYK); {ACCEPTED}.", "reading")
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif marker in (0x01, *range(0xD0, 0xD9)):  # stand alone, without a length
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise Fault("image-corrupt", "The JPEG has no frame header.", "reading")


def _webp_size(data: bytes) -> tuple[int, int]:
    """RFC 9649: VP8X (section 2.7), VP8 (RFC 6386, section 9.1) or VP8L (section 3.4)."""
    kind = data[12:16]
    if len(data) < 30:
        raise Fault("image-corrupt", "The WebP is cut short.", "reading")
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise Fault("image-animated", f"The WebP is animated; {ACCEPTED}.", "reading")
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise Fault("image-corrupt", "The WebP has no picture.", "reading")


def _guess(data: bytes) -> str:
    """A name for the refusal."""
    if data[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"heic": "HEIC", b"mif1": "HEIF"}.get(data[8:12], "a video or HEIF file")
    for magic, name in (
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\1\0", "ICO"),
        (b"<", "SVG or another text"),
    ):
        if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic) or data.startswith(magic):
            return name
    return "no picture that is known here"
