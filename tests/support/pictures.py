"""Pictures for tests, good and hostile, written by hand or by FFmpeg's encoders."""

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media.effects import pixels
from media.faults import Fault
from media.pictures.worker import image_header, read_picture

Pixel = tuple[int, int, int, int]


def encoded(codec: str, format_: str, width: int = 64, height: int = 48) -> bytes:
    """A grey picture, by FFmpeg's encoder."""
    frame = VideoFrame(width, height, format_)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    return by_ffmpeg(codec, frame)


def by_ffmpeg(codec: str, frame: VideoFrame) -> bytes:
    """One frame as a picture."""
    frame.pts, frame.time_base = 0, Fraction(1)
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt, encoder.time_base = frame.format.name, Fraction(1)
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG's header, and `extra` chunks; no pixels."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return image_header.PNG + chunk(b"IHDR", ihdr) + extra + chunk(b"IEND", b"")


def raw_png(width: int, height: int, depth: int, colours: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of unfiltered rows (without their filter bytes); `extra` chunks come before the pixels."""
    line = len(rows) // height
    data = b"".join(b"\0" + rows[at : at + line] for at in range(0, len(rows), line))
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    body = chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return image_header.PNG + body


def png(content: Sequence[Pixel], width: int, more: bytes = b"", extra: bytes = b"") -> bytes:
    """An RGBA PNG of these pixels; `more` bytes behind the last one."""
    height = len(content) // width
    data = b"".join(
        b"\0" + b"".join(bytes(pixel) for pixel in content[at : at + width]) for at in range(0, len(content), width)
    )
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(data + more))
    return image_header.PNG + chunk(b"IHDR", ihdr) + extra + idat + chunk(b"IEND", b"")


def plain(colour: Pixel, width: int, height: int) -> bytes:
    """A PNG of one colour."""
    return png([colour] * (width * height), width)


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF directory with the orientation alone."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment behind its first marker."""
    body = b"Exif\0\0" + exif(orientation, ">")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def pixels_of(data: bytes) -> list[Pixel]:
    """What the picture is when it is normalised, pixel by pixel."""
    found = image_header.examine(data)
    flat = pixels.rows(pixels.normalised(read_picture.decode(found), found.orientation))
    return [(flat[at], flat[at + 1], flat[at + 2], flat[at + 3]) for at in range(0, len(flat), 4)]


def refused(data: bytes) -> str:
    """The code with which the picture is refused."""
    with pytest.raises(Fault) as caught:
        read_picture.decode(image_header.examine(data))
    return caught.value.code
