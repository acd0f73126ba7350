"""What was read lately of all looping channels, so that the viewers of one share it."""

from collections import OrderedDict
from typing import Final

from media.chunk import Chunk
from media.ring import CHUNK_OVERHEAD

MOST: Final = 64 * 1024 * 1024  # bytes; a gigabyte was slower: it is cold memory by the time it is used again


class Recent:
    """Restamped chunks, at most `most` bytes of them. What nobody has asked for the longest leaves first.

    `channel` is any object that stands for one; it is held for as long as a chunk of it is.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._chunks: OrderedDict[tuple[object, int], Chunk] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes held, overhead included."""
        return self._size

    def get(self, channel: object, number: int) -> Chunk | None:
        """That chunk of that channel, if it is still here."""
        chunk = self._chunks.get((channel, number))
        if chunk is not None:
            self._chunks.move_to_end((channel, number))
        return chunk

    def keep(self, channel: object, chunk: Chunk) -> None:
        """Keeps a chunk that was read just now, unless it is larger than all that may be held."""
        if _size(chunk) > self._most:
            return
        before = self._chunks.pop((channel, chunk.number), None)
        self._chunks[channel, chunk.number] = chunk
        self._size += _size(chunk) - (_size(before) if before else 0)
        while self._size > self._most:
            _, gone = self._chunks.popitem(last=False)
            self._size -= _size(gone)


def _size(chunk: Chunk) -> int:
    return len(chunk.data) + CHUNK_OVERHEAD
