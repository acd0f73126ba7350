"""The calls of WCS 5.2 below `/rest-api`: answered when all is done, in its words; never with a job."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.jobs.failures import Failure
from gateway.kinds.kind import Kind
from gateway.web import body
from gateway.web.calls.durable import all_on_disk
from gateway.web.calls.selection import asked, refuse_query
from gateway.web.calls.streams import UNSAVED
from gateway.web.calls.submit import carried_out
from gateway.web.context import UNVERSIONED, Context
from gateway.web.watch.viewers import Seat, Viewers
from gateway.web.wcs.answers import failed, job_failed
from gateway.web.wcs.calls import CALLS, FIND_ALL, TERMINATE, Call, why_not
from gateway.web.wcs.filters import WcsFilter
from gateway.web.wcs.metrics import metrics_of
from gateway.web.wcs.objects import AGENTS, Members, played, published
from media.stream import Stream

FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}
VERSIONED: Final = "v3"
NOBODY: Final = "Nothing matches."
WHICH: Final = "Say which to terminate: by mediaSessionId, name, uri, status or another filter."


@dataclass(frozen=True, slots=True)
class _Matched:
    """What a filter means: a stream, or (`seat`) a viewer of it, and its members in WCS's words."""

    stream: Stream
    members: Members
    seat: Seat | None = None


def routes(context: Context, viewers: Viewers, kinds: Sequence[Kind]) -> list[web.RouteDef]:
    """Each call of the table, and one sentence for all others. A GET changes nothing, and only finds."""
    by_name = {kind.name: kind for kind in kinds}
    made = []
    for call in CALLS:
        path = f"{UNVERSIONED}/{call.path}"
        handler = _answering(call, _Call(call, context, viewers, by_name.get(call.job)))
        made.append(web.post(path, handler))
        if call.looks:
            made.append(web.get(path, handler, allow_head=False))
    absent = UNVERSIONED + "/{absent:(?!" + VERSIONED + "(?:/|$)).+}"
    return [*made, web.get(absent, _absent, allow_head=False), web.post(absent, _absent)]


def _answering(call: Call, made: "_Call") -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await made.answer(request)
        except Failure as failure:
            return failed(request, call, failure)

    return answer


async def _absent(request: web.Request) -> web.StreamResponse:
    raise Failure("not-found", why_not(request.match_info["absent"]))


@dataclass(frozen=True, slots=True)
class _Call:
    """One call. `kind` is that of the job which it starts."""

    call: Call
    context: Context
    viewers: Viewers
    kind: Kind | None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What WCS answers. Raises `Failure`, with a status of ours."""
        content = await _content(request)
        if self.kind is not None:
            return await self._job(request, self.kind, content)
        wanted = WcsFilter.of(self.call.object, content)
        if self.call.method == TERMINATE:
            return await self._terminate(wanted)
        if self.call.method == FIND_ALL and wanted.said:
            raise body.wrong(dict.fromkeys(wanted.said, "This call lists all; find takes filters."))
        found = self._matching(wanted)
        if not found:
            raise Failure("not-found", NOBODY)
        if wanted.metrics:
            await _measure(found)
        return web.json_response([each.members for each in found], headers=FRESH)

    async def _job(self, request: web.Request, kind: Kind, content: dict[str, Any]) -> web.StreamResponse:
        """The answer after a job: empty, or the members of the result that WCS has."""
        outcome = await carried_out(request, kind, self.context, content)
        if outcome.result is None:
            return job_failed(request, self.call, outcome.record["error"])
        if not self.call.answer:
            return web.Response(headers=FRESH)
        result = json.loads(outcome.result)
        return web.json_response({name: result[name] for name in self.call.answer}, headers=FRESH)

    async def _terminate(self, wanted: WcsFilter) -> web.StreamResponse:
        """An empty answer when what matches is gone; viewers go at their next look."""
        if not wanted.selects:
            raise Failure("bad-request", WHICH)
        found = self._matching(wanted)
        for each in found:
            if each.seat is not None:
                self.viewers.end(each.seat.id)
        await self.context.parts.catalog.terminate([each.stream for each in found if each.seat is None])
        await all_on_disk(self.context.store, UNSAVED)
        if not found:
            raise Failure("not-found", NOBODY)
        return web.Response(headers=FRESH)

    def _matching(self, wanted: WcsFilter) -> list[_Matched]:
        streams = list(self.context.parts.catalog.streams())
        if self.call.object in AGENTS:
            kind, members_of = AGENTS[self.call.object]
            here = [_Matched(each, members_of(each)) for each in streams if each.identity.kind == kind]
            return [each for each in here if wanted.fits(each.members, each.stream)]
        named = {each.identity.name: each for each in streams}
        shown = [_Matched(each, published(each)) for each in streams]
        seats = [seat for seat in self.viewers.seats() if seat.name in named]
        shown += [_Matched(named[seat.name], played(seat, named[seat.name]), seat) for seat in seats]
        return [each for each in shown if wanted.fits(each.members, each.stream, viewer=each.seat is not None)]


async def _measure(found: list[_Matched]) -> None:
    """Adds `metrics` to each of the objects."""
    for each in found:
        each.members["metrics"] = await metrics_of(each.stream, each.seat.way if each.seat else None)
        await asyncio.sleep(0)  # a thousand streams in one go would hold up the others


async def _content(request: web.Request) -> dict[str, Any]:
    """The members that say something: of a POST's body, which may be empty, or of a GET's query string."""
    if request.method == hdrs.METH_GET:
        return asked(request)
    refuse_query(request)
    return await body.read_object(request, optional=True)
