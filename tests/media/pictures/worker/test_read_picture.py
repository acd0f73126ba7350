"""Pictures: what is accepted, what is refused and why, all before or instead of decoding."""

import struct
from pathlib import Path

import pytest

from media.faults import Fault
from media.pictures.worker import image_header, read_picture
from tests.support.pictures import chunk, encoded, exif, header, pixels_of, png, refused, with_exif


@pytest.mark.parametrize(
    ("codec", "pixels", "name"),
    [
        ("png", "rgba", "png"),
        ("png", "rgb24", "png"),
        ("png", "gray", "png"),
        ("png", "ya8", "png"),
        ("png", "rgba64be", "png"),
        ("png", "monob", "png"),
        ("mjpeg", "yuvj420p", "jpeg"),
        ("libwebp", "yuv420p", "webp"),
        ("libwebp", "bgra", "webp"),
    ],
)
def test_what_is_accepted_is_known_by_its_bytes_and_decodes(codec: str, pixels: str, name: str) -> None:
    found = image_header.examine(encoded(codec, pixels))
    assert (found.format, found.width, found.height) == (name, 64, 48)
    frame = read_picture.decode(found)
    assert (frame.width, frame.height) == (64, 48)


def test_a_bomb_is_refused_by_its_header() -> None:
    assert refused(header(50_000, 50_000)) == "image-too-large"
    assert refused(header(4096, 4096)) == "image-too-large"  # over the pixels
    assert refused(header(0, 10)) == "image-corrupt"


def test_a_png_that_holds_more_pixels_than_it_declares_is_refused() -> None:
    assert refused(png([(0, 0, 0, 0)], width=1, more=bytes(1000))) == "image-corrupt"
    assert pixels_of(png([(1, 2, 3, 4)], width=1)) == [(1, 2, 3, 4)]


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_picture_cut_short_is_corrupt(codec: str, part: float) -> None:
    pixels = {"png": "rgba", "mjpeg": "yuvj420p", "libwebp": "yuv420p"}[codec]
    data = encoded(codec, pixels, 320, 240)
    assert refused(data[: max(20, int(len(data) * part))]) == "image-corrupt"


def test_animated_pictures_are_refused() -> None:
    assert refused(header(10, 10, chunk(b"acTL", struct.pack(">II", 2, 0)))) == "image-animated"
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + b"\x09\0\0" + b"\x09\0\0"
    webp = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    assert refused(webp) == "image-animated"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "AVIF"),
        (b"hello", "no picture"),
    ],
)
def test_other_formats_are_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(Fault) as caught:
        image_header.examine(data)
    assert caught.value.code == "image-not-supported"
    assert named in caught.value.detail


def test_a_jpeg_in_four_colours_is_refused() -> None:
    frame_header = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, 10, 10, 4) + bytes(12)
    assert refused(b"\xff\xd8\xff\xe0\x00\x02" + frame_header) == "image-not-supported"


def test_a_jpeg_with_scans_without_end_is_refused() -> None:
    data = encoded("mjpeg", "yuvj420p")
    assert refused(data[:-2] + b"\xff\xda\0\x08" * 100 + data[-2:]) == "image-corrupt"


@pytest.mark.parametrize("nonsense", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", exif(0), exif(9), exif(6)[:12]])
def test_an_orientation_that_makes_no_sense_is_upright(nonsense: bytes) -> None:
    assert image_header.exif_orientation(nonsense) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_is_read_in_both_byte_orders(order: str) -> None:
    assert image_header.exif_orientation(exif(6, order)) == 6
    assert image_header.examine(with_exif(encoded("mjpeg", "yuvj420p"), 8)).orientation == 8


def test_a_file_over_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(read_picture.MAX_FILE + 1)
    with pytest.raises(Fault) as caught:
        read_picture.read(path)
    assert caught.value.code == "image-too-large"


def test_a_link_or_a_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "folder")
    for name in ("folder", "link.png"):
        with pytest.raises(Fault) as caught:
            read_picture.read(tmp_path / name)
        assert caught.value.code == "file-not-regular"
    with pytest.raises(Fault) as caught:
        read_picture.read(tmp_path / "none.png")
    assert caught.value.code == "image-not-found"
