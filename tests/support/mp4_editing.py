"""Changes boxes of an MP4 file whose index lies at its end, as FFmpeg writes it."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_INNER: Final = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"}
Part = tuple[float, float | None]  # seconds shown, from this second of the track on; None: nothing is shown


def box(kind: bytes, *payloads: bytes) -> bytes:
    data = b"".join(payloads)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def rewritten(data: bytes, change: Callable[[bytes, bytes], bytes], path: bytes = b"") -> bytes:
    """The same boxes; `change` is asked for the payload of each: its path, such as `moov/trak`, and what it is."""
    found, at = b"", 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        inner, here = data[at + 8 : at + size], (path + b"/" + kind).lstrip(b"/")
        if kind in _INNER:
            inner = rewritten(inner, change, here)
        found += box(kind, change(here, inner))
        at += size
    return found


def change(path: Path, how: Callable[[bytes, bytes], bytes]) -> Path:
    """In its place."""
    path.write_bytes(rewritten(path.read_bytes(), how))
    return path


def payload(trak: bytes, kind: bytes) -> bytes:
    """Of the first box of that kind, wherever it is."""
    at = trak.index(kind)
    return trak[at + 4 : at - 4 + int.from_bytes(trak[at - 4 : at])]


def of_kind(trak: bytes, handler: bytes) -> bool:
    """Whether a track is `vide` or `soun`."""
    return payload(trak, b"hdlr")[8:12] == handler


def edited(path: Path, handler: bytes, *parts: Part) -> Path:
    """Gives all tracks of that kind an edit list (14496-12 section 8.6.6) of these parts."""
    scale = struct.unpack_from(">I", payload(path.read_bytes(), b"mvhd"), 12)[0]

    def how(where: bytes, inner: bytes) -> bytes:
        if where != b"moov/trak" or not of_kind(inner, handler):
            return inner
        ticks = struct.unpack_from(">I", payload(inner, b"mdhd"), 12)[0]
        delay = struct.unpack_from(">i", payload(inner, b"elst"), 12)[0]
        rows = [
            struct.pack(">Iihh", round(lasts * scale), -1 if at is None else delay + round(at * ticks), 1, 0)
            for lasts, at in parts
        ]
        table = box(b"edts", box(b"elst", struct.pack(">II", 0, len(rows)), *rows))
        at, size = inner.index(b"edts") - 4, int.from_bytes(inner[inner.index(b"edts") - 4 :][:4])
        return inner[:at] + table + inner[at + size :]

    return change(path, how)


# By EXIF's number: what brings a picture that is stored so upright, as a, b, c, d of a matrix (14496-12 section 8.3.2).
MATRICES: Final = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def turned(path: Path, orientation: int) -> Path:
    """Gives the picture that matrix."""
    a, b, c, d = (each * 65536 for each in MATRICES[orientation])

    def how(where: bytes, inner: bytes) -> bytes:
        if where != b"moov/trak" or not of_kind(inner, b"vide"):
            return inner
        at = inner.index(b"tkhd") + 44
        return inner[:at] + struct.pack(">5i", a, b, 0, c, d) + inner[at + 20 :]

    return change(path, how)
