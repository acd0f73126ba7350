"""Finding and terminating streams over HTTP: one family of routes for all streams, and one for each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.ports import Archive
from gateway.kinds import KINDS
from gateway.kinds.kind import Params
from gateway.web import body
from gateway.web.context import BASE, Face
from gateway.web.durable import all_on_disk
from media.catalog import Catalog
from media.net.secrets import shown_uri
from media.stream import Identity, Status, Stream

FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}
UNSAVED: Final = "What was asked for is stopped, but that is not on disk yet: it is back if the gateway ends now."


class Filter(Params):
    """What all families can be asked by."""

    status: Status | None = Field(default=None, strict=False)

    def matches(self, stream: Stream) -> bool:
        """Whether the stream is among those asked for."""
        return self.status is None or stream.status is self.status

    @property
    def empty(self) -> bool:
        """Whether it asks for everything."""
        return all(value is None for value in self.model_dump().values())


class KindFilter(Filter):
    """The filter of `/rtsp/*` and `/vod/*`. `uri` is a list's as it was given, or one of those in it."""

    uri: str | tuple[str, ...] | None = None
    local_stream_name: str | None = None

    def matches(self, stream: Stream) -> bool:
        return (
            super().matches(stream)
            and self.local_stream_name in (None, stream.identity.name)
            and (self.uri is None or self._names(stream.identity))
        )

    def _names(self, identity: Identity) -> bool:
        if isinstance(self.uri, str):
            return shown_uri(self.uri) in identity.uris
        return self.uri == identity.uri


class StreamFilter(Filter):
    """The filter of `/stream/*`. A stopped stream is found by its `id` for ten minutes."""

    id: str | None = None
    name: str | None = None
    kind: str | None = None

    def matches(self, stream: Stream) -> bool:
        identity = stream.identity
        return (
            super().matches(stream)
            and self.id in (None, identity.id)
            and self.name in (None, identity.name)
            and self.kind in (None, identity.kind)
        )


def routes(face: Face) -> list[web.RouteDef]:
    """`find`, `find_all` and `terminate` of every family."""
    kinds = [kind.stream_kind for kind in KINDS if kind.stream_kind]
    families = [_Family(face.parts.catalog, face.store, None, StreamFilter)]
    families += [_Family(face.parts.catalog, face.store, kind, KindFilter) for kind in kinds]
    return [route for family in families for route in family.routes()]


@dataclass(frozen=True, slots=True)
class _Family:
    """The streams of one kind, or all of them (`kind` None), and how they are asked for."""

    catalog: Catalog
    store: Archive
    kind: str | None
    filter: type[Filter]

    def routes(self) -> list[web.RouteDef]:
        base = f"{BASE}/{self.kind or 'stream'}"
        return [
            web.post(f"{base}/find", self.find),
            web.post(f"{base}/find_all", self.find_all),
            web.get(f"{base}/find_all", self.find_all),
            web.post(f"{base}/terminate", self.terminate),
        ]

    async def find(self, request: web.Request) -> web.StreamResponse:
        """Those that match, stopped ones too when asked for by id; 404 when none does."""
        asked = body.fields(request, self.filter, await body.read_object(request, optional=True))
        found = self._matching(asked.matches)
        stopped = self.catalog.by_id(asked.id) if isinstance(asked, StreamFilter) and asked.id else None
        if stopped is not None and stopped not in found and asked.matches(stopped):
            found.append(stopped)
        if not found:
            raise Failure("not-found", "No stream matches.")
        return _answer(found)

    async def find_all(self, request: web.Request) -> web.StreamResponse:
        """All that are not stopped; 200 and an empty array when there is none."""
        if request.method == hdrs.METH_POST and body.strict(request):
            body.parse(Params, await body.read_object(request, optional=True), strict=True)  # there is no field
        else:
            await body.read(request)
        return _answer(self._matching(lambda _: True))

    async def terminate(self, request: web.Request) -> web.StreamResponse:
        """Stops those that match, and answers when they are gone. A filter is needed: nothing stops everything."""
        asked = body.fields(request, self.filter, await body.read_object(request, optional=True))
        if asked.empty:
            raise Failure("bad-request", "Say which streams to terminate: by name, uri, id, kind or status.")
        found = self._matching(asked.matches)
        await self.catalog.terminate(found)
        # Also when there is none: it may be that it was stopped by a call before, and that is not on disk yet.
        await all_on_disk(self.store, UNSAVED)
        if not found:
            raise Failure("not-found", "No stream matches.")
        return _answer(found)

    def _matching(self, matches: Callable[[Stream], bool]) -> list[Stream]:
        return [
            stream for stream in self.catalog.streams() if self.kind in (None, stream.identity.kind) and matches(stream)
        ]


def _answer(streams: list[Stream]) -> web.Response:
    records: list[dict[str, Any]] = [stream.record() for stream in streams]
    return web.json_response(records, headers=FRESH)
