"""Finding and terminating streams over HTTP: one family of routes for all streams, and one for each kind."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.ports import Archive
from gateway.kinds import KINDS
from gateway.kinds.kind import Exact, Flag
from gateway.web.calls.durable import all_on_disk
from gateway.web.calls.paging import PageParams, Position, cut, linked
from gateway.web.calls.selection import selection
from gateway.web.calls.status_words import OF_VIEWERS, OURS, StatusWord
from gateway.web.context import BASE, Context
from media.catalog import Catalog
from media.net.secrets import shown_uri
from media.stream import Identity, Stream

FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}
UNSAVED: Final = "What was asked for is stopped, but that is not on disk yet: it is back if the gateway ends now."


class Filter(Exact):
    """Which streams are meant: all that is said must fit, and null says nothing.

    `mediaSessionId` is another word for `id`. `name`, `localStreamName` and `toStream` are words for the stream's name.
    `remoteStreamName` is the name of what a transcoder reads. `uri` is an address; of a list of files, the list as it
    was given or one of its addresses. `status` may be a word of WCS. Every stream here is published, so `published`
    false fits none. `display` is taken and changes nothing.
    """

    id: str | None = None
    media_session_id: str | None = None
    name: str | None = None
    local_stream_name: str | None = None
    to_stream: str | None = None
    remote_stream_name: str | None = None
    uri: str | tuple[str, ...] | None = None
    status: StatusWord | None = Field(default=None, strict=False)
    published: Flag | None = None
    display: list[str] | None = None

    def matches(self, stream: Stream) -> bool:
        """Whether the filter fits the stream."""
        identity = stream.identity
        return (
            self.published is not False
            and self._ids <= {identity.id}
            and {self.name, self.local_stream_name, self.to_stream} <= {None, identity.name}
            and self.remote_stream_name in (None, stream.source)
            and (self.uri is None or self._names(identity))
            and (self.status is None or OURS[self.status] is stream.status)
        )

    @property
    def selects(self) -> bool:
        """Whether the filter says anything that does not fit every stream."""
        said = self.model_dump(exclude={"published", "display"}, exclude_none=True)
        return bool(said) or self.published is False

    def by_id(self, catalog: Catalog) -> list[Stream]:
        """The stream that is asked for by its id, also when it has stopped; none when it is not."""
        found = catalog.by_id(self._ids.pop()) if len(self._ids) == 1 else None
        return [found] if found is not None and self.matches(found) else []

    @property
    def _ids(self) -> set[str]:
        return {each for each in (self.id, self.media_session_id) if each is not None}

    def _names(self, identity: Identity) -> bool:
        if isinstance(self.uri, str):
            return shown_uri(self.uri) in identity.uris
        return self.uri == identity.uri


class AnyKindFilter(Filter):
    """The filter of `/stream/*`. Its `kind` is rtsp, vod or transcoder. The status PLAYING fits no stream here: WCS
    means viewers by it.
    """

    kind: str | None = None

    def matches(self, stream: Stream) -> bool:
        return self.status is not OF_VIEWERS and self.kind in (None, stream.identity.kind) and super().matches(stream)


class StreamPage(PageParams):
    """All streams, or a page of them: `limit` is how many at the most, `cursor` is from the `Link` with `rel="next"` of
    the answer before. `published` and `display` are as in a filter.
    """

    published: Flag | None = None
    display: list[str] | None = None


def routes(context: Context) -> list[web.RouteDef]:
    """`find`, `find_all` and `terminate` of every family."""
    kinds = [kind.stream_kind for kind in KINDS if kind.stream_kind]
    families = [_Family(context.parts.catalog, context.store, None, AnyKindFilter)]
    families += [_Family(context.parts.catalog, context.store, kind, Filter) for kind in kinds]
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
        """The streams that match, stopped ones too when asked for by id; 404 when none does."""
        asked = await selection(request, self.filter)
        found = self._matching(asked)
        found += [each for each in asked.by_id(self.catalog) if self._is_ours(each) and each not in found]
        if not found:
            raise Failure("not-found", "No stream matches.")
        return _answer(found)

    async def find_all(self, request: web.Request) -> web.StreamResponse:
        """All streams that are not stopped, by age, or a page of them; 200 and an empty array when there is none."""
        asked = await selection(request, StreamPage)
        page, following = cut(self._matching(Filter(published=asked.published)), _age, AGE, asked)
        response = _answer(page)
        linked(request, response, following, limit=asked.limit)
        return response

    async def terminate(self, request: web.Request) -> web.StreamResponse:
        """Stops the streams that match, and answers when they are gone. A filter is needed: nothing stops
        everything.
        """
        asked = await selection(request, self.filter)
        if not asked.selects:
            raise Failure("bad-request", "Say which streams to terminate: by name, uri, id, status or another filter.")
        found = self._matching(asked)
        await self.catalog.terminate(found)
        # Also when there is none: it may be that it was stopped by a call before, and that is not on disk yet.
        await all_on_disk(self.store, UNSAVED)
        if not found:
            raise Failure("not-found", "No stream matches.")
        return _answer(found)

    def _matching(self, asked: Filter) -> list[Stream]:
        return [each for each in self.catalog.streams() if self._is_ours(each) and asked.matches(each)]

    def _is_ours(self, stream: Stream) -> bool:
        return self.kind in (None, stream.identity.kind)


AGE: Final = (float, str)


def _age(stream: Stream) -> Position:
    """The key by which lists are ordered: who was asked for first; among equals the id decides."""
    return float(stream.identity.created_at), stream.identity.id


def _answer(streams: list[Stream]) -> web.Response:
    records: list[dict[str, Any]] = [stream.record() for stream in streams]
    return web.json_response(records, headers=FRESH)
