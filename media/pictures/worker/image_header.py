"""Says what a picture is from the bytes around its pixels: format, size, orientation; and refuses what is not one."""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from media.faults import Fault

MAX_SIDE: Final = 4096  # pixels
MAX_PIXELS: Final = 16_000_000
MAX_CHUNKS: Final = 4096  # of a PNG: each costs time, whatever is in it
MAX_SCANS: Final = 64  # of a progressive JPEG: each goes over all pixels again

ACCEPTED: Final = "PNG, JPEG and still WebP are accepted"
PHASE: Final = "reading"
_SOS: Final = 0xDA  # start of scan
PNG: Final = b"\x89PNG\r\n\x1a\n"
# What a decoder needs of a PNG. The rest (colour profiles, texts, times) may hold compressed data without end.
_NEEDED: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type, PNG third edition, section 11.2.1
_PASSES: Final = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))  # Adam7: a pixel in so many across and down


@dataclass(frozen=True, slots=True)
class Image:
    """`format` is png, jpeg or webp; width and height are as stored, before `orientation` (EXIF, 1 to 8) is applied.

    `data` is what a decoder gets: a PNG without the parts that it does not need.
    """

    format: str
    width: int
    height: int
    orientation: int
    data: bytes


def examine(data: bytes) -> Image:
    """What the picture is, before anything of it is decoded. Raises `Fault` with an `image-…` code."""
    if data.startswith(PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    raise Fault("image-not-supported", f"The file is {_guess(data)}; {ACCEPTED}.", PHASE)


def _corrupt(detail: str) -> Fault:
    return Fault("image-corrupt", detail, PHASE)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise _corrupt("The picture declares no size.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        detail = f"The picture is {width}x{height}; at most {MAX_SIDE} a side and {MAX_PIXELS} pixels are accepted."
        raise Fault("image-too-large", detail, PHASE)


def _png(data: bytes) -> Image:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise _corrupt("The PNG has no header.")
    width, height = struct.unpack_from(">II", data, 16)
    _check_size(width, height)
    kept, pixels, orientation = [PNG], [], 1
    for kind, start, end in _png_chunks(data):
        if kind == b"acTL" and data[start : start + 4] != bytes((0, 0, 0, 1)):  # frames, section 11.3.6.1
            raise Fault("image-animated", f"The PNG is animated; {ACCEPTED}.", PHASE)
        if kind == b"eXIf":
            orientation = exif_orientation(data[start:end])
        elif kind in _NEEDED:
            kept.append(data[start - 8 : end + 4])
            if kind == b"IDAT":
                pixels.append(data[start:end])
    _check_inflated(pixels, _png_bytes(data, width, height))
    return Image("png", width, height, orientation, b"".join(_with_palette(kept)))


def _with_palette(chunks: list[bytes]) -> list[bytes]:
    """The chunks of a grey picture with a transparent shade, under eight bits, as those of one with a palette.

    FFmpeg forgets the transparent shade of a grey picture.
    """
    depth, colours = chunks[1][16], chunks[1][17]
    hidden = next((chunk[8:10] for chunk in chunks if chunk[4:8] == b"tRNS"), b"")
    if colours != 0 or depth > 4 or len(hidden) < 2:
        return chunks
    top = (1 << depth) - 1
    greys = b"".join(bytes([255 * shade // top]) * 3 for shade in range(top + 1))
    alpha = bytes(0 if shade == int.from_bytes(hidden) & top else 255 for shade in range(top + 1))
    palette = [_chunk(b"IHDR", chunks[1][8:17] + b"\3" + chunks[1][18:21]), _chunk(b"PLTE", greys)]
    rest = [chunk for chunk in chunks[2:] if chunk[4:8] not in (b"tRNS", b"PLTE")]
    return [chunks[0], *palette, _chunk(b"tRNS", alpha), *rest]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk; ends behind `IEND`. Raises `Fault` when it is cut short."""
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            raise _corrupt("The PNG is cut short.")
        (size,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + size
        if end + 4 > len(data):
            raise _corrupt("The PNG is cut short.")
        yield kind, at + 8, end
        if kind == b"IEND":
            return
        at = end + 4
    raise _corrupt(f"The PNG has over {MAX_CHUNKS} chunks.")


def _png_bytes(data: bytes, width: int, height: int) -> int:
    """How many bytes the pixels have before compression: one filter byte a row (sections 7.2 and 8.1)."""
    depth, colours, interlaced = data[24], data[25], data[28]
    bits = depth * _CHANNELS.get(colours, 4)
    if not interlaced:
        return height * (1 + math.ceil(width * bits / 8))
    return sum(
        math.ceil(height / down) * (1 + math.ceil(math.ceil(width / across) * bits / 8)) for across, down in _PASSES
    )


def _check_inflated(pixels: list[bytes], expected: int) -> None:
    """Raises `Fault` for data that unpacks into less or into much more than the pixels that the header declares."""
    inflate, room = zlib.decompressobj(), expected + 1
    try:
        for part in pixels:
            room -= len(inflate.decompress(part, room))
            if room <= 0 or inflate.eof:
                break
    except zlib.error:
        raise _corrupt("The PNG's pixels are damaged.") from None
    if room <= 0 or not inflate.eof:
        raise _corrupt("The PNG holds other than the pixels that its header declares.")


def _jpeg(data: bytes) -> Image:
    """What a JPEG's frame header says, SOF0 to SOF15 (ITU-T T.81, section B.2.2). What lies between segments is left
    out.
    """
    kept, size, orientation = [data[:2]], (0, 0), 1
    adobe, colours = False, 3
    for marker, at, end in _segments(data):
        if marker == _SOS:
            break
        kept.append(data[at:end])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9].ljust(4, b"\0"))
            size, colours = (width, height), data[at + 9 : at + 10][0] if at + 9 < end else 0
        elif marker == 0xEE and data[at + 4 : at + 9] == b"Adobe":
            adobe = True
        elif marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = exif_orientation(data[at + 10 : end])
    else:
        raise _corrupt("The JPEG has no picture behind its header.")
    if size == (0, 0):
        raise _corrupt("The JPEG has no frame header.")
    _check_size(*size)
    if colours == 4 and not adobe:
        raise Fault("image-not-supported", f"The JPEG has four colours and does not say which; {ACCEPTED}.", PHASE)
    if data.count(b"\xff\xda", at) > MAX_SCANS:
        raise _corrupt(f"The JPEG has over {MAX_SCANS} scans.")
    return Image("jpeg", *size, orientation, b"".join((*kept, data[at:])))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment; ends with the first that is cut short.

    Fill bytes are skipped, and so is what is no marker at all: as libjpeg and browsers do.
    """
    at = 2
    for _ in range(MAX_CHUNKS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01, *range(0xD0, 0xD9)):  # no marker, or one that stands alone, without a length
            at += 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
            if end > len(data):
                return
            yield marker, at, end
            at = end


def _webp(data: bytes) -> Image:
    """What the header of a WebP says (RFC 9649): VP8X (section 2.7), VP8 (RFC 6386, section 9.1) or VP8L (section
    3.4).
    """
    kind, orientation = data[12:16], 1
    if len(data) < (25 if kind == b"VP8L" else 30):  # one pixel without loss is 28 bytes
        raise _corrupt("The WebP is cut short.")
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise Fault("image-animated", f"The WebP is animated; {ACCEPTED}.", PHASE)
        width, height = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        at = data.find(b"EXIF", 30) if data[20] & 0x08 else -1
        if at >= 0:
            orientation = exif_orientation(data[at + 8 :].removeprefix(b"Exif\0\0"))
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        raise _corrupt("The WebP has no picture.")
    _check_size(width, height)
    return Image("webp", width, height, orientation, data)


def exif_orientation(tiff: bytes) -> int:
    """The orientation in tag 0x0112 of the first directory (TIFF 6.0, section 2); 1 (upright) for whatever makes no
    sense.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, sort, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112:
            return int(value) if sort == 3 and 1 <= value <= 8 else 1
    return 1


def _guess(data: bytes) -> str:
    """A name of the format, for the refusal."""
    if data[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}.get(
            data[8:12], "a video or HEIF file"
        )
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
