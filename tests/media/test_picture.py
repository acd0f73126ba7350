"""Pictures: what is accepted, what is refused and why, all before or instead of decoding."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from media import picture
from media.faults import Fault


def encoded(codec: str, pixels: str, width: int = 64, height: int = 48) -> bytes:
    """A grey picture, by FFmpeg's encoder."""
    frame = VideoFrame(width, height, pixels)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, Fraction(1)
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, pixels, Fraction(1)
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG's header, and `extra` chunks; no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def refused(data: bytes) -> str:
    """The code with which the picture is refused."""
    with pytest.raises(Fault) as caught:
        picture.decode(data, picture.identify(data)[0])
    return caught.value.code


@pytest.mark.parametrize(
    ("codec", "pixels", "name"),
    [
        ("png", "rgba", "png"),
        ("png", "rgb24", "png"),
        ("png", "gray", "png"),
        ("png", "ya8", "png"),
        ("png", "rgba64be", "png"),
        ("mjpeg", "yuvj420p", "jpeg"),
        ("libwebp", "yuv420p", "webp"),
        ("libwebp", "bgra", "webp"),
    ],
)
def test_what_is_accepted_is_known_by_its_bytes_and_decodes(codec: str, pixels: str, name: str) -> None:
    data = encoded(codec, pixels)
    assert picture.identify(data) == (name, (64, 48))
    frame = picture.decode(data, name)
    assert (frame.width, frame.height) == (64, 48)


def test_a_bomb_is_refused_by_its_header() -> None:
    assert refused(png(50_000, 50_000)) == "image-too-large"
    assert refused(png(4096, 4096)) == "image-too-large"  # over the pixels
    assert refused(png(0, 10)) == "image-corrupt"


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
def test_a_picture_cut_short_is_corrupt(codec: str) -> None:
    pixels = {"png": "rgba", "mjpeg": "yuvj420p", "libwebp": "yuv420p"}[codec]
    data = encoded(codec, pixels, 320, 240)
    assert refused(data[: len(data) * 2 // 3]) == "image-corrupt"


def test_animated_pictures_are_refused() -> None:
    assert refused(png(10, 10, chunk(b"acTL", struct.pack(">II", 2, 0)))) == "image-animated"
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\x09\0\0" + b"\x09\0\0"
    webp = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    assert refused(webp) == "image-animated"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        (b"BM" + bytes(20), "BMP"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"\0\0\1\0" + bytes(20), "ICO"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "AVIF"),
        (b"\0\0\0\x1cftypheic" + bytes(20), "HEIC"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"hello", "no picture"),
    ],
)
def test_other_formats_are_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(Fault) as caught:
        picture.identify(data)
    assert caught.value.code == "image-not-supported"
    assert named in caught.value.detail


def test_a_jpeg_in_four_colours_is_refused() -> None:
    frame_header = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, 10, 10, 4) + bytes(12)
    assert refused(b"\xff\xd8\xff\xe0\x00\x02" + frame_header) == "image-not-supported"


def test_a_file_over_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(picture.MAX_FILE + 1)
    with pytest.raises(Fault) as caught:
        picture.read(path)
    assert caught.value.code == "image-too-large"


def test_a_link_or_a_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "folder")
    for name in ("folder", "link.png"):
        with pytest.raises(Fault) as caught:
            picture.read(tmp_path / name)
        assert caught.value.code == "file-not-regular"
    with pytest.raises(Fault) as caught:
        picture.read(tmp_path / "none.png")
    assert caught.value.code == "image-not-found"
