"""RTP payloads of JPEG pictures (RFC 2435), as cameras send them that know no video codec."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from media.faultcamera.clip.rtp import MAX_PAYLOAD, Payload

LARGEST: Final = 2040  # pixels: a side is told in eighths, in one byte
TYPE: Final = 1  # 4:2:0, without restart markers (section 4.1)
OWN_TABLES: Final = 255  # this Q says that quantisation tables come with each picture (section 4.2)

_TABLES, _FRAME, _SCAN = 0xDB, 0xC0, 0xDA


@dataclass(frozen=True, slots=True)
class _Parts:
    """What RTP carries of a picture; the receiver writes the rest of the file anew."""

    width: int
    height: int
    tables: bytes
    scan: bytes


def payloads(picture: bytes, limit: int = MAX_PAYLOAD) -> tuple[Payload, ...]:
    """One baseline JPEG, 4:2:0, with the usual Huffman tables and no restart markers; sides in whole eights.

    Raises `ValueError` for bytes that are none.
    """
    parts = _parts(picture)
    head = bytes((TYPE, OWN_TABLES, parts.width // 8, parts.height // 8))
    tables = bytes(2) + len(parts.tables).to_bytes(2) + parts.tables
    pieces = []
    at = 0
    while at < len(parts.scan):
        extra = b"" if at else tables
        piece = parts.scan[at : at + limit - 8 - len(extra)]
        pieces.append(b"\0" + at.to_bytes(3) + head + extra + piece)
        at += len(piece)
    return tuple(Payload(piece, number == len(pieces) - 1) for number, piece in enumerate(pieces))


def _parts(picture: bytes) -> _Parts:
    tables: dict[int, bytes] = {}
    width = height = 0
    for marker, body, end in _segments(picture):
        if marker == _TABLES:
            tables.update({body[at] & 15: body[at + 1 : at + 65] for at in range(0, len(body), 65)})
        elif marker == _FRAME:
            height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
        elif marker == _SCAN:
            both = tables.get(0, b"") + tables.get(1, tables.get(0, b""))
            return _Parts(width, height, both, picture[end:].removesuffix(b"\xff\xd9"))
    raise ValueError("a JPEG without a scan")


def _segments(picture: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, contents and end of each segment (ITU-T T.81, annex B)."""
    at = 2
    while at + 4 <= len(picture) and picture[at] == 0xFF:
        end = at + 2 + int.from_bytes(picture[at + 2 : at + 4])
        yield picture[at + 1], picture[at + 4 : end], end
        at = end
