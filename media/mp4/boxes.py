"""Walks the boxes of an MP4 or QuickTime file (ISO/IEC 14496-12 section 4.2) in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# What an MP4 or QuickTime file may begin with, after the four bytes of a length.
FIRST: Final = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"styp", b"sidx", b"free", b"skip", b"wide", b"pnot"})


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four characters and where its payload lies: `start` up to and without `end`.

    `end` is what the box declares; it may lie past the bytes at hand (`whole` is false then).
    """

    kind: bytes
    start: int
    end: int
    whole: bool


def header(data: bytes, at: int, limit: int) -> Box | None:
    """The box whose header begins at `at`, when 8 (or, for a 64-bit size, 16) bytes are there; else None.

    `limit` is where its container ends. A size of 0 means up to there. None also for a size that no box can have.
    """
    head = data[at : at + 16]
    if len(head) < 8:
        return None
    return box(head, at, limit)


def box(head: bytes, at: int, limit: int) -> Box | None:
    """The box that lies at `at` in a file, from its first 8 to 16 bytes; else None. `limit` is where its container
    ends.
    """
    size, start = int.from_bytes(head[:4]), at + 8
    if size == 1:
        if len(head) < 16:
            return None
        size, start = int.from_bytes(head[8:16]), at + 16
    end = limit if size == 0 else at + size
    if end < start:
        return None
    return Box(head[4:8], start, end, end <= limit)


def children(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie one behind another; stops at the first that does not fit."""
    limit = len(data) if end is None else min(end, len(data))
    at = start
    while at < limit:
        found = header(data, at, limit)
        if found is None or not found.whole:
            return
        yield found
        at = found.end


def find(data: bytes, path: bytes, within: Box | None = None) -> Box | None:
    """The first box at a path such as `b"moov/trak/mdia"`, below `within` or from the top. None when there is none."""
    kind, _, rest = path.partition(b"/")
    start, end = (within.start, within.end) if within else (0, len(data))
    for child in children(data, start, end):
        if child.kind == kind and (found := find(data, rest, child) if rest else child):
            return found
    return None


def payload(data: bytes, path: bytes, within: Box | None = None) -> bytes:
    """The payload of the box at that path; empty when there is none."""
    found = find(data, path, within)
    return data[found.start : found.end] if found else b""
