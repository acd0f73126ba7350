"""A stored file as an answer: whole or in part, if its reader's conditions hold, at a pace (RFC 9110, 13 and 14)."""

import asyncio
import math
from dataclasses import dataclass
from email.utils import formatdate
from io import FileIO
from typing import Final

from aiohttp import ETag, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from gateway.files import Found
from gateway.jobs.failures import Failure
from gateway.web.calls.media_threads import MediaThreads, waited_for
from gateway.web.problems import problem

PIECE: Final = 256 * 1024  # bytes read and written at once


@dataclass(frozen=True, slots=True)
class TransferPace:
    """How long a transfer may take: `grace` seconds and its bytes at `rate` a second; `silence` is without a byte."""

    grace: float = 15.0
    rate: float = 16 * 1024
    silence: float = 10.0

    def limit(self, size: int) -> float:
        """How many seconds a transfer of so many bytes may take."""
        return self.grace + size / self.rate


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which bytes of a file are to be sent; `partial`: by a `Range`, which may be one over all of it."""

    bytes: range
    partial: bool


def wanted(request: web.Request, found: Found) -> Wanted | web.Response:
    """What is to be sent, or the answer instead: 304, and the problems of 412 and 416."""
    if _has_changed(request, found):
        failure = Failure("precondition-failed", f"{found.name!r} is not the one that the request is about.")
        return _labelled(problem(request, failure), _labels(found))
    if _is_known(request, found):
        return web.Response(status=304, headers=_labels(found))
    whole = range(found.size)
    if not _range_counts(request, found):
        return Wanted(whole, partial=False)
    try:
        asked = request.http_range
        chosen = whole[asked.start : asked.stop]
    except ValueError:
        chosen = range(0)
    if chosen:
        return Wanted(chosen, partial=True)
    failure = Failure("range-not-satisfiable", f"{found.name!r} has {found.size} bytes; ask for some of those.")
    return _labelled(problem(request, failure), {hdrs.CONTENT_RANGE: f"bytes */{found.size}"})


class FileAnswer(web.StreamResponse):
    """A part of an open file; it is closed at the end. Whoever takes it too slowly is cut off."""

    def __init__(self, file: FileIO, found: Found, part: Wanted, pace: TransferPace, threads: MediaThreads) -> None:
        headers = {**_labels(found), hdrs.ACCEPT_RANGES: "bytes"}
        if part.partial:
            headers[hdrs.CONTENT_RANGE] = f"bytes {part.bytes.start}-{part.bytes.stop - 1}/{found.size}"
        super().__init__(status=206 if part.partial else 200, headers=headers)
        self.content_length = len(part.bytes)
        self._file = file
        self._wanted = part.bytes
        self._pace = pace
        self._threads = threads

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the head and all of the bytes."""
        try:
            writer = await super().prepare(request)
            if writer is not None and request.method != hdrs.METH_HEAD:
                await self._send(request, writer)
            return writer
        finally:
            self._threads.begin(self._file.close)

    async def _send(self, request: web.BaseRequest, writer: AbstractStreamWriter) -> None:
        """Sends the bytes in pieces. When the kernel sends a file by itself, nobody sees whether it moves."""
        loop, sent, silence = asyncio.get_running_loop(), 0, self._pace.silence
        begun = loop.time()
        try:
            await waited_for(self._threads.begin(self._file.seek, self._wanted.start), silence)
            while left := len(self._wanted) - sent:
                data = await waited_for(self._threads.begin(self._file.read, min(PIECE, left)), silence)
                if not data:
                    raise ConnectionAbortedError("the file has become shorter")
                async with asyncio.timeout(min(begun + self._pace.limit(sent) - loop.time(), silence)):
                    await writer.write(data)
                sent += len(data)
        except (TimeoutError, Failure):
            if request.transport is not None:
                request.transport.abort()  # the answer is under way: there is no other way to say so
            raise ConnectionAbortedError("the file was taken, or read, too slowly") from None


def _tag(found: Found) -> str:
    return f"{found.identity[3]:x}-{found.size:x}"


def _labels(found: Found) -> dict[str, str]:
    modified = formatdate(math.ceil(found.modified), usegmt=True)
    return {hdrs.ETAG: f'"{_tag(found)}"', hdrs.LAST_MODIFIED: modified}


def _labelled(response: web.Response, labels: dict[str, str]) -> web.Response:
    response.headers.update(labels)
    return response


def _has_changed(request: web.Request, found: Found) -> bool:
    if request.if_match is not None:
        return not _names(request.if_match, found, weak=False)
    since = request.if_unmodified_since
    return since is not None and math.ceil(found.modified) > since.timestamp()


def _is_known(request: web.Request, found: Found) -> bool:
    if request.if_none_match is not None:
        return _names(request.if_none_match, found, weak=True)
    since = request.if_modified_since
    return since is not None and math.ceil(found.modified) <= since.timestamp()


def _range_counts(request: web.Request, found: Found) -> bool:
    """Whether a part is asked for in a unit that is known (RFC 9110, 14.2), and of the file as it is now (13.1.5)."""
    if not request.headers.get(hdrs.RANGE, "").startswith("bytes="):
        return False
    said = request.headers.get(hdrs.IF_RANGE)
    return said is None or said.strip() in _labels(found).values()


def _names(tags: tuple[ETag, ...], found: Found, *, weak: bool) -> bool:
    return any(tag.value in ("*", _tag(found)) and (weak or not tag.is_weak) for tag in tags)
