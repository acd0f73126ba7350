"""A body that is sent piece by piece: all clients share the ring's bytes, and none of them is waited for too long."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload


class Pieces(Payload):
    """Pieces of bytes without joining them. A client that has not taken all after `seconds` is cut off.

    As a payload, its first piece leaves in one packet with the headers.
    """

    def __init__(self, pieces: Sequence[bytes], request: web.Request, seconds: float) -> None:
        super().__init__(pieces, content_type="application/octet-stream")
        self._pieces = pieces
        self._request = request
        self._seconds = seconds
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """It is no text."""
        raise TypeError("pieces of a film are no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Sends everything, or as much as the client takes."""
        try:
            async with asyncio.timeout(self._seconds):
                for piece in self._pieces:
                    await writer.write(piece)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
