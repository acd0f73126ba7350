"""Sends a body in pieces, and cuts off a client that has not taken all of it in time."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

ImmutableBytes = bytes | memoryview


async def send(
    request: web.Request, writer: AbstractStreamWriter, pieces: Sequence[ImmutableBytes], seconds: float
) -> None:
    """Writes all pieces, or as much as the client takes in so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            for piece in pieces:
                await writer.write(piece)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


class Pieces(Payload):
    """A body in pieces as a payload of aiohttp's, whose first one leaves in one packet with the headers."""

    def __init__(self, request: web.Request, pieces: Sequence[bytes], seconds: float) -> None:
        super().__init__(pieces)
        self._request = request
        self._pieces = pieces
        self._seconds = seconds
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raises: nobody asks for the text of a body."""
        raise TypeError("these are bytes")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Sends all pieces, or as much as the client takes."""
        await send(self._request, writer, self._pieces, self._seconds)
