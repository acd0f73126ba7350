"""Reads the fragments of a loop's chunk from its packages, and stamps them for the round that they are played in."""

from collections.abc import Sequence
from typing import Final

from media.channel.packages.data_file import PackageFile
from media.channel.playlist.timeline import Piece
from media.mp4 import fmp4

LARGE: Final = 1024 * 1024  # bytes of a chunk over which it gets a buffer of its own while it is read
_SCRATCH: Final = memoryview(bytearray(LARGE))  # touched again and again, where a buffer for each chunk is new memory


async def read(pieces: Sequence[Piece], files: Sequence[PackageFile]) -> bytes | None:
    """The pieces of a chunk behind one another; None when a file is closed meanwhile. Fault `file-changed`: a bad
    disk.
    """
    return _at_once(pieces, files) or await _from_disk(pieces, files)


def _at_once(pieces: Sequence[Piece], files: Sequence[PackageFile]) -> bytes | None:
    """The stamped fragments, if the page cache holds all of them; nobody else runs meanwhile."""
    at = 0
    for piece in pieces:
        fragment = _SCRATCH[at : at + piece.size]
        if len(fragment) < piece.size or not files[piece.file].read_at_once(fragment, piece.offset):
            return None
        fmp4.stamp(fragment, piece.sequence, piece.decode_time)
        at += piece.size
    return bytes(_SCRATCH[:at])


async def _from_disk(pieces: Sequence[Piece], files: Sequence[PackageFile]) -> bytes | None:
    data = memoryview(bytearray(sum(piece.size for piece in pieces)))
    at = 0
    for piece in pieces:
        fragment = data[at : at + piece.size]
        if files[piece.file].closed:
            return None
        await files[piece.file].read(fragment, piece.offset)
        fmp4.stamp(fragment, piece.sequence, piece.decode_time)
        at += piece.size
    return bytes(data)
