"""What never changes under its address: all clients share its bytes and its head, and none of them is waited for long.

The usual request is answered straight: a head that was written once and the pieces behind it go to the kernel in one
call, without a copy of ours. Whatever has something of its own in the headers of its answer goes aiohttp's way.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from gateway.web.access import cors, security
from gateway.web.access.access import cache_control
from gateway.web.access.cors import Lines
from gateway.web.access.security import secured
from gateway.web.transport.sending import ImmutableBytes, Pieces, send

UNCHANGING: Final = {hdrs.CACHE_CONTROL: "max-age=3600, immutable", "X-Content-Type-Options": "nosniff"}
AT_ONCE: Final = 1000  # pieces in one call to the kernel, which takes 1024 (IOV_MAX)


@dataclass(frozen=True, slots=True)
class Lasting:
    """A body, and what its headers say of it. `etag` has its quotes."""

    etag: str
    content_type: str
    pieces: Sequence[bytes]


def answer(request: web.Request, what: Lasting, seconds: float) -> web.StreamResponse:
    """The whole body, or 304. A client that has not taken all of it after `seconds` is cut off."""
    if what.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers={**UNCHANGING, hdrs.ETAG: what.etag})
    if _is_usual(request):
        return _Straight(request, what, seconds)
    headers = {**UNCHANGING, hdrs.ETAG: what.etag}
    return web.Response(body=Pieces(request, what.pieces, seconds), content_type=what.content_type, headers=headers)


def _is_usual(request: web.Request) -> bool:
    """Whether only what `_more` knows of this request shows in the headers of its answer."""
    return (
        request.method == hdrs.METH_GET
        and request.version == HttpVersion11
        and request.keep_alive
        and not request.secure
    )


@lru_cache(maxsize=1024)
def _head(etag: str, content_type: str, size: int, more: Lines) -> bytes:
    """The head of an answer without the date. `more` are the headers that depend on who may have it."""
    headers = {**UNCHANGING, hdrs.ETAG: etag, hdrs.CONTENT_LENGTH: str(size), **dict(more)}
    model = web.Response(content_type=content_type, headers=headers)
    secured(model)
    written = [f"{name}: {value}" for name, value in model.headers.items()]
    return "\r\n".join(["HTTP/1.1 200 OK", *written, ""]).encode()


def _more(request: web.Request) -> Lines:
    """The headers that signals would add to a usual answer."""
    kept = cache_control(request, UNCHANGING[hdrs.CACHE_CONTROL])
    return ((hdrs.CACHE_CONTROL, kept or ""), *cors.lines(request), *security.lines(request))


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    """The last line of a head (RFC 9110, section 6.6.1), and the empty line behind it."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()


class _Straight(web.StreamResponse):
    """The answer to a usual request. It has no headers of its own to prepare."""

    def __init__(self, request: web.Request, what: Lasting, seconds: float) -> None:
        super().__init__()
        self._request = request
        self._what = what
        self._seconds = seconds

    @property
    def keep_alive(self) -> bool | None:
        """Always true: the connection goes on."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Does nothing: all is done in `write_eof`."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends everything, or as much as the client takes. Raises `ConnectionError` when it has gone."""
        what, transport = self._what, self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        head = _head(what.etag, what.content_type, sum(map(len, what.pieces)), _more(self._request))
        rest = _at_once(transport, [head, _date(int(time.time())), *what.pieces])
        if rest:
            await send(self._request, self._request.writer, rest, self._seconds)


def _at_once(transport: asyncio.Transport, pieces: Sequence[ImmutableBytes]) -> Sequence[ImmutableBytes]:
    """Writes pieces to the socket, and returns what the kernel does not take at once.

    `transport` is one of plain TCP. Raises `ConnectionError`.
    """
    if transport.get_write_buffer_size():
        return pieces  # something else is to go first
    try:
        sent = os.writev(transport.get_extra_info("socket").fileno(), pieces[:AT_ONCE])
    except BlockingIOError:
        return pieces
    except OSError as error:
        raise ConnectionResetError("the client cannot be reached any more") from error
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[number + 1 :]]
        sent -= len(piece)
    return ()
