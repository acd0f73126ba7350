"""Pictures: what is accepted, what is refused and why, all before or instead of decoding."""

import struct
import zlib
from pathlib import Path

import pytest

from media.effects import pixels
from media.faults import Fault
from media.pictures.worker import image_header, read_picture
from tests.support.pictures import chunk, encoded, exif, header, pixels_of, png, refused, with_exif


@pytest.mark.parametrize(
    ("codec", "form", "name"),
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
def test_what_is_accepted_is_known_by_its_bytes_and_decodes(codec: str, form: str, name: str) -> None:
    found = image_header.examine(encoded(codec, form))
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


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def four_colours(values: tuple[int, int, int, int], adobe: bytes) -> bytes:
    """A JPEG of 8 x 8 pixels that all have these four values: one block each, of which only the mean is coded."""
    scan = ""
    for value in values:
        off = value - 128
        size = abs(off).bit_length()
        scan += f"{size:04b}" + (f"{off if off > 0 else off + (1 << size) - 1:0{size}b}" if size else "") + "0"
    scan += "1" * (-len(scan) % 8)
    body = bytes(int(scan[at : at + 8], 2) for at in range(0, len(scan), 8)).replace(b"\xff", b"\xff\0")
    parts = [
        segment(0xEE, adobe) if adobe else b"",
        segment(0xDB, b"\0" + bytes([8]) * 64),
        segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 4) + b"".join(bytes((i, 0x11, 0)) for i in range(1, 5))),
        segment(0xC4, b"\0" + bytes((0, 0, 0, 12)) + bytes(12) + bytes(range(12))),
        segment(0xC4, b"\x10\1" + bytes(15) + b"\0"),
        segment(0xDA, b"\4" + b"".join(bytes((i, 0)) for i in range(1, 5)) + b"\0\x3f\0"),
    ]
    return b"\xff\xd8" + b"".join(parts) + body + b"\xff\xd9"


@pytest.mark.parametrize(
    ("values", "transform", "seen"),
    [
        ((255, 0, 0, 255), 0, (255, 0, 0)),
        ((255, 0, 0, 128), 0, (128, 0, 0)),
        ((76, 85, 255, 255), 2, (0, 255, 255)),
        ((0, 128, 128, 128), 2, (128, 128, 128)),
    ],
)
def test_a_jpeg_in_four_colours_of_adobe_s_is_seen_as_printed(
    values: tuple[int, int, int, int], transform: int, seen: tuple[int, int, int]
) -> None:
    data = four_colours(values, b"Adobe\0\x64" + bytes(4) + bytes([transform]))
    pixel = pixels.rows(pixels.normalised(read_picture.decode(image_header.examine(data))))[:4]
    assert all(abs(a - b) < 6 for a, b in zip(pixel, (*seen, 255), strict=True))


def test_a_jpeg_in_four_colours_that_does_not_say_which_is_refused() -> None:
    assert refused(four_colours((1, 2, 3, 4), b"")) == "image-not-supported"


def test_bytes_between_the_segments_of_a_jpeg_are_passed_over() -> None:
    data = encoded("mjpeg", "yuvj420p")
    at = 4 + int.from_bytes(data[4:6])
    found = image_header.examine(data[:at] + b"\0\0junk\0\xff\0" + data[at:])
    assert found.data == data
    assert refused(data[:at] + b"\0junk") == "image-corrupt"


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_a_few_bits_keeps_its_transparent_shade(depth: int) -> None:
    shades, top = 8 // depth, (1 << depth) - 1
    values = [at & top for at in range(shades)]
    row = sum(value << depth * (shades - 1 - at) for at, value in enumerate(values))
    header = struct.pack(">IIBBBBB", shades, 1, depth, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"tRNS", b"\0\1") + chunk(b"IDAT", zlib.compress(bytes((0, row))))
    data = b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
    found = pixels.rows(pixels.normalised(read_picture.decode(image_header.examine(data))))
    seen = [tuple(found[at : at + 4]) for at in range(0, len(found), 4)]
    assert seen == [(255 * v // top,) * 3 + (0 if v == 1 else 255,) for v in values]


def test_an_animation_of_one_picture_is_a_still_and_one_pixel_of_webp_is_a_picture() -> None:
    still = encoded("png", "rgba")
    control = b"acTL" + struct.pack(">II", 1, 0)
    data = still[:33] + struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control)) + still[33:]
    assert image_header.examine(data).data == image_header.examine(still).data
    lossless = b"\x2f" + struct.pack("<I", 1 << 28) + int("0001" * 5 + "000", 2).to_bytes(3, "little")
    pixel = b"RIFF" + struct.pack("<I", 20) + b"WEBPVP8L" + struct.pack("<I", len(lossless)) + lossless
    frame = pixels.normalised(read_picture.decode(image_header.examine(pixel)))
    assert pixels.rows(frame) == bytes(4)


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
