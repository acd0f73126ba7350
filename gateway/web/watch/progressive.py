"""One viewer over plain HTTP: an MP4 file that never ends, for `<video src>`, curl and everything between."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web

from gateway.web.watch.mse import ViewerLimits, arrival, is_gone
from media.chunk import Chunk
from media.cursor import Cursor
from media.ring import Ring

NOTHING: Final = b"\0\0\0\x08free"  # an empty box, which every player passes over (ISO/IEC 14496-12, 8.1.2)
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "none"}


async def serve(
    request: web.Request, ring: Ring, is_current: Callable[[], bool], limits: ViewerLimits
) -> web.StreamResponse:
    """The init, then chunks from the newest key frame on, until the client leaves or the ring ends or is replaced.

    A file cannot say that its tracks change, so a new init is its end. A viewer that falls behind is moved to the
    newest key frame, and one that takes nothing for `stuck` seconds is cut off.
    """
    response = web.StreamResponse(headers=HEADERS)
    first = await ring.chunk(ring.newest_key() or 0)
    response.content_type = "video/mp4" if first is None or first.init.video else "audio/mp4"
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD or first is None:
        return response
    transport = request.transport
    try:
        await _Film(request, response, ring, limits).run(first, is_current)
        await response.write_eof()
    except TimeoutError:
        if transport is not None:
            transport.abort()
    except ConnectionError:
        pass  # the client has gone; there is nobody to tell
    return response


class _Film:
    """A cursor in the ring, and the response that the chunks are written to."""

    def __init__(self, request: web.Request, response: web.StreamResponse, ring: Ring, limits: ViewerLimits) -> None:
        self._request = request
        self._response = response
        self._cursor = Cursor(ring, limits.behind)
        self._limits = limits
        self._sent = 0.0  # loop time of the last byte

    async def run(self, first: Chunk, is_current: Callable[[], bool]) -> None:
        """Sends until there is a reason to end."""
        await self._send(first.init.data)
        while is_current() and not is_gone(self._request):
            step = await self._cursor.step()
            if step is not None and step.chunk.init.id != first.init.id:
                return
            if step is not None:
                await self._send(step.chunk.data)
            elif self._cursor.waits and self._cursor.ring.ended:
                return
            elif self._cursor.waits:
                await arrival(self._cursor.ring, self._cursor.number, self._limits.tick)
                await self._say_something()

    async def _say_something(self) -> None:
        if asyncio.get_running_loop().time() >= self._sent + self._limits.silence:
            await self._send(NOTHING)

    async def _send(self, data: bytes) -> None:
        async with asyncio.timeout(self._limits.stuck):
            await self._response.write(data)
        self._sent = asyncio.get_running_loop().time()
