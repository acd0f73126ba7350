"""Length-prefixed frames on a stream socket: `u32 size | u32 header size | header (JSON) | body`, big-endian."""

import json
import struct
from collections.abc import Iterator
from typing import Any, Final

PREFIX: Final = struct.Struct(">II")
MAX_FRAME: Final = 16 * 1024 * 1024  # bytes, header and body; a frame over it means a broken or hostile peer
MAX_BODY: Final = MAX_FRAME - 64 * 1024  # bytes of a body that fits, whatever its header says

Header = dict[str, Any]


class FrameError(ValueError):
    """The bytes are no frame; the connection is of no further use."""


def encode(header: Header, body: bytes = b"") -> bytes:
    """One frame. Raises `FrameError` when it would be over `MAX_FRAME`."""
    head = json.dumps(header, separators=(",", ":")).encode()
    size = len(head) + len(body)
    if size > MAX_FRAME:
        raise FrameError(f"a frame of {size} bytes is over the limit of {MAX_FRAME}")
    return PREFIX.pack(size, len(head)) + head + body


class Decoder:
    """Cuts a byte stream into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[Header, bytes]]:
        """Yields each frame that `data` completes, and keeps none of `data` itself.

        Raises `FrameError` on a size over the limit or a bad header.
        """
        self._buffer += data
        while len(self._buffer) >= PREFIX.size:
            size, head_size = PREFIX.unpack_from(self._buffer)
            if size > MAX_FRAME or head_size > size:
                raise FrameError(f"a frame announces {size} bytes with a header of {head_size}")
            end = PREFIX.size + size
            if len(self._buffer) < end:
                return
            head_end = PREFIX.size + head_size
            try:
                header = json.loads(self._buffer[PREFIX.size : head_end])
            except ValueError as error:
                raise FrameError("a frame's header is not JSON") from error
            if not isinstance(header, dict):
                raise FrameError("a frame's header is not an object")
            body = bytes(memoryview(self._buffer)[head_end:end])
            del self._buffer[:end]
            yield header, body
