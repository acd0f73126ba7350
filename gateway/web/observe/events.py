"""Changes of jobs and streams as server-sent events, resumable and bounded (job-contract.md, "Events")."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from aiohttp import hdrs, web

from gateway.jobs.effects import Effect
from gateway.jobs.feed import Happening, Listener
from gateway.jobs.job import Record
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Flag, Params
from gateway.web import body
from gateway.web.access.access import still_good
from gateway.web.access.outer import outer
from gateway.web.access.principal import may_see
from gateway.web.context import BASE, Context
from gateway.web.transport.prefix import moved
from media.stream import Stream

PING: Final = 15.0  # seconds without an event until a comment says that the line is alive
HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
HELLO: Final = b"retry: 2000\n\n"
RESET: Final = b"event: reset\ndata: {}\n\n"


class EventsParams(Params):
    """`lastEventId` is for those who cannot send the header `Last-Event-ID`, which counts first. With `figures` they
    are also told what was measured of the streams, every two seconds.
    """

    last_event_id: str = ""
    figures: Flag = False


class Telling(Protocol):
    """Whoever is told what happens: the feed of `/events`, the webhooks."""

    def tell(self, number: int, type: str, record: Record) -> None:
        """A `job` or a `stream` has this record now; numbers increase from call to call."""


class News:
    """Tells what happens to jobs and streams, under one count of revisions. An observer of the jobs."""

    def __init__(self, supervisor: Supervisor, *told: Telling) -> None:
        self._supervisor = supervisor
        self._told = told

    def happened(self, effects: Sequence[Effect]) -> None:
        """Does nothing: what happens inside a job is told by its record."""

    def changed(self, record: Record) -> None:
        """A job's record has a new revision."""
        self._tell(record["revision"], "job", record)

    def stream_changed(self, stream: Stream) -> None:
        """A stream was published, or its status has changed."""
        self._tell(self._supervisor.stamp(), "stream", stream.record())

    def _tell(self, number: int, type: str, record: Record) -> None:
        for each in self._told:
            each.tell(number, type, record)


def routes(context: Context) -> list[web.RouteDef]:
    """`GET /events`."""

    async def events(request: web.Request) -> web.StreamResponse:
        asked = body.fields(request, EventsParams, dict(request.query))
        since = _since(request.headers.get("Last-Event-ID", asked.last_event_id))
        response = web.StreamResponse(headers=HEADERS)
        with context.feed.listening(since, asked.figures) as (listener, missed):
            ended = asyncio.ensure_future(context.supervisor.over())
            guard = asyncio.ensure_future(_cut_off(request, listener))
            try:
                await _send(request, response, missed)
                await _follow(request, response, listener, ended)
            except ConnectionError:
                pass  # it is gone, or was cut off: it comes back with Last-Event-ID
            finally:
                ended.cancel()
                guard.cancel()
        return response

    return [web.get(f"{BASE}/events", events, allow_head=False)]


async def _send(request: web.Request, response: web.StreamResponse, missed: list[Happening] | None) -> None:
    """Sends the beginning: what was missed, or `reset` when that is not known any more, so that everything is read
    anew.
    """
    await response.prepare(request)
    await response.write(HELLO)
    if missed is None:
        await response.write(RESET)
    else:
        await _write(request, response, missed)


async def _follow(
    request: web.Request, response: web.StreamResponse, listener: Listener, ended: asyncio.Future[None]
) -> None:
    """Sends everything new, until the listener is lost, its key is not good any more, or the gateway shuts down."""
    while not listener.lost.is_set() and still_good(request):
        happenings = [listener.waiting.popleft() for _ in range(len(listener.waiting))]
        await _write(request, response, happenings)
        if ended.done() and not listener.waiting:
            return
        if not listener.waiting and not await _news(listener, ended):
            await response.write(b": still here\n\n")


async def _news(listener: Listener, ended: asyncio.Future[None]) -> bool:
    """Waits for an event or the end; False when there was none for a while."""
    listener.awake.clear()
    if ended.done():
        return True
    awake: asyncio.Future[Any] = asyncio.ensure_future(listener.awake.wait())
    try:
        done, _ = await asyncio.wait({awake, ended}, timeout=PING, return_when=asyncio.FIRST_COMPLETED)
    finally:
        awake.cancel()
    return bool(done)


async def _cut_off(request: web.Request, listener: Listener) -> None:
    """Ends the connection of a listener that is lost, also while a write to it is stuck."""
    await listener.lost.wait()
    if request.transport is not None:
        request.transport.abort()


async def _write(request: web.Request, response: web.StreamResponse, happenings: Iterable[Happening]) -> None:
    for happening in happenings:
        if happening.type != "job" or may_see(request, happening.record):
            below = outer(request).prefix
            told = replace(happening, record=moved(happening.record, below)) if below else happening
            await response.write(told.wire)


def _since(value: str) -> int | None:
    """The number of the last event that the listener has seen.

    A text that is no number was never one of ours: the listener is then told to read everything anew.
    """
    if not value:
        return None
    with contextlib.suppress(ValueError):
        if value.isascii() and value.isdigit():
            return int(value[:20])
    return -1
