"""Watching over HTTP: the routes below `/live/{name}/`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web import static
from gateway.web.access.access import still_good
from gateway.web.watch import pictures, progressive
from gateway.web.watch.immutable import UNCHANGING, Lasting, answer
from gateway.web.watch.low_latency import Edge, EdgeLimits, Written, directives
from gateway.web.watch.mse import Current, ViewerLimits, arrival, is_gone, show
from gateway.web.watch.viewers import Streams, ViewerCaps, Viewers, Way
from gateway.web.watch.whep import Whep
from media.chunk import Chunk, Init
from media.pictures.stills import Stills
from media.ring import Ring, Segment
from media.watch import hls
from media.watch.whep import Broadcasts

LIVE: Final = "/live/{name:[^/]+}"
# Without the slash, unless it is one of the one-file ways of watching (docs/guide/watching.md).
LIVE_BARE: Final = r"/live/{name:[^/]+(?<!\.mp4)(?<!\.jpg)(?<!\.mjpeg)}"
WHEP: Final = f"{LIVE}/whep"
SHORTLY: Final = 2.0  # seconds that a picture is waited for: right after the start of a stream one is on its way
COMING: Final = 0.1  # seconds between two looks whether a stream has come back that is to be there after a restart
NOTHING_YET: Final = "The stream has no picture to show yet; ask again."
MEASURED: Final = 4  # newest segments whose bytes are counted for BANDWIDTH

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlayLimits:
    """`window` is in segments (`hls_window`). Seconds: `hold` for a first segment, `fetch` for sending a segment."""

    window: int = 8
    hold: float = 10.0
    fetch: float = 60.0
    viewer: ViewerLimits = field(default_factory=ViewerLimits)
    caps: ViewerCaps = field(default_factory=ViewerCaps)


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes something else of a stream than what it is, in worker processes; None: it is not on offer."""

    stills: Stills | None = None
    broadcasts: Broadcasts | None = None


NOTHING_MADE: Final = Makers()


def routes(
    streams: Streams, limits: PlayLimits, makers: Makers = NOTHING_MADE, viewers: Viewers | None = None
) -> list[web.RouteDef]:
    """All routes of watching, with the pages; `viewers` holds who watches, where somebody else asks for that.

    Failures are raised as `Failure`: a middleware renders them.
    """
    play = _Play(streams, limits, makers, viewers or Viewers(streams, limits.caps))
    return [
        # What is asked for most comes first: the router tries one after the other.
        web.get(f"{LIVE}/media.m3u8", play.media),
        web.get(f"{LIVE}/part-{{number:[0-9]{{1,18}}}}.m4s", play.part),
        web.get(f"{LIVE}/segment-{{msn:[0-9]{{1,18}}}}.m4s", play.segment),
        *static.routes(),
        web.get(LIVE_BARE, _add_slash),
        web.get(f"{LIVE}/", play.page),
        web.get(f"{LIVE}/index.m3u8", play.index),
        web.get(f"{LIVE}/access", _access),
        web.post(f"{LIVE}/access", _access),
        web.get(f"{LIVE}/init-{{id:[0-9a-f]+}}.mp4", play.init),
        web.get(f"{LIVE}.mp4", play.film),
        web.get(f"{LIVE}.jpg", play.picture),
        web.get(f"{LIVE}.mjpeg", play.pictures),
        web.get(f"{LIVE}/mse", play.mse),
        web.post(WHEP, play.whep_offer),
        web.delete(f"{WHEP}/{{session:[^/]+}}", play.whep_delete),
    ]


class _Play:
    """The handlers. Every wait in them ends at a limit, or within a tick of the client's going away."""

    def __init__(self, streams: Streams, limits: PlayLimits, makers: Makers, viewers: Viewers) -> None:
        self._streams = streams
        self._limits = limits
        self._stills = makers.stills
        self._viewers = viewers
        self._whep = Whep(makers.broadcasts, self._viewers, limits.viewer.tick)
        self._edges: WeakKeyDictionary[Ring, Edge] = WeakKeyDictionary()

    async def page(self, request: web.Request) -> web.StreamResponse:
        # The page itself waits for a stream that is not there (yet), so it is sent whole; the status tells the truth.
        name = request.match_info["name"]
        status = 200 if self._streams.ring(name) or self._streams.comes(name) else 404
        status = 503 if self._streams.leaving else status
        return static.page(request, "player.html", status)

    async def index(self, request: web.Request) -> web.StreamResponse:
        ring, listed = await self._held(request, self._window)
        self._viewers.asked(request.match_info["name"], request)
        measured = hls.bandwidth(await _sizes(ring, listed.segments[-MEASURED:]), ring.target_duration)
        independent = all(segment.independent for segment in listed.segments)
        text = hls.multivariant(listed.segments[-1].init, measured, independent)
        return Written.of(text).answer(request)

    async def media(self, request: web.Request) -> web.StreamResponse:
        want = directives(request.query)
        ring, _ = await self._held(request, lambda ring: any(one.complete for one in ring.segments()) or None)
        self._viewers.asked(request.match_info["name"], request)
        try:
            return await self._edge(ring).playlist(request, want, self._is_current(request, ring))
        finally:
            self._check_stays()  # else what was held would end with EXT-X-ENDLIST

    async def part(self, request: web.Request) -> web.StreamResponse:
        ring, number = self._ring(request), int(request.match_info["number"])
        edge, token = self._edge(ring), request.query.get("s", "")
        try:
            chunk = await edge.part(request, number, token, self._is_current(request, ring))
        finally:
            self._check_stays()
        return self._send(request, chunk.init, [chunk], f'"{token}-{number}"')

    async def init(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]
        for segment in self._ring(request).segments():
            if segment.init.id == wanted:
                return web.Response(
                    body=segment.init.data, content_type=_content_type(segment.init), headers=UNCHANGING
                )
        raise Failure("not-found", f"The stream has no init {wanted!r} any more; read the playlist again.")

    async def segment(self, request: web.Request) -> web.StreamResponse:
        ring, msn = self._ring(request), int(request.match_info["msn"])
        for segment in ring.segments():
            if segment.msn == msn and segment.complete and not segment.gap:
                chunks = await _chunks(ring, segment)
                if chunks is not None:
                    etag = f'"{msn}-{round(segment.wall * 1000)}"'
                    return self._send(request, segment.init, chunks, etag)
        raise Failure("not-found", f"Segment {msn} is not in the stream (any more); read the playlist again.")

    async def mse(self, request: web.Request) -> web.StreamResponse:
        limits = self._limits.viewer
        # A pong is due within half a heartbeat: later than a stuck viewer is noticed, so that it hears its own code.
        socket = web.WebSocketResponse(
            heartbeat=3 * limits.stuck, timeout=limits.farewell, compress=False, max_msg_size=4096, autoping=False
        )
        if not socket.can_prepare(request):
            raise Failure("bad-request", "This address speaks WebSocket only; a browser's page does it for you.")
        ring, _ = await self._held(request, lambda ring: ring.newest_key())
        with self._viewers.watching(request, Way.MSE):
            await socket.prepare(request)
            name = request.match_info["name"]
            current = Current(lambda: self._streams.ring(name), lambda: self._streams.leaving)
            await show(request, socket, ring, current, limits)
        return socket

    async def whep_offer(self, request: web.Request) -> web.StreamResponse:
        self._whep.check(request)
        ring, number = await self._held(request, lambda ring: ring.newest_key())
        chunk = await ring.chunk(number)
        if chunk is None:
            raise Failure("no-keyframe-yet", "The stream has no key frame just now; ask again.", retry_after=1)
        name = request.match_info["name"]
        return await self._whep.offer(request, chunk, lambda: self._streams.ring(name))

    async def whep_delete(self, request: web.Request) -> web.StreamResponse:
        return self._whep.delete(request)

    async def film(self, request: web.Request) -> web.StreamResponse:
        ring, _ = await self._held(request, lambda ring: ring.newest_key())
        with self._viewers.watching(request, Way.MP4):
            return await progressive.serve(request, ring, self._is_current(request, ring), self._limits.viewer)

    async def picture(self, request: web.Request) -> web.StreamResponse:
        taker, width = self._taker(), pictures.width(request)
        if request.query.get("wake") == "false":
            return await pictures.glance(request, taker, self._streams.peek(request.match_info["name"]), width)
        ring, _ = await self._held(request, lambda ring: ring.newest_key(), SHORTLY)
        return await pictures.jpeg(request, taker, ring, width)

    async def pictures(self, request: web.Request) -> web.StreamResponse:
        ring, stills = self._ring(request), self._taker()
        with self._viewers.watching(request, Way.MJPEG):
            return await pictures.motion(request, stills, ring, self._is_current(request, ring), self._limits.viewer)

    def _taker(self) -> Stills:
        if self._stills is None:
            raise Failure("not-found", "There are no pictures here.")
        return self._stills

    def _is_current(self, request: web.Request, ring: Ring) -> Callable[[], bool]:
        name = request.match_info["name"]
        return lambda: self._streams.ring(name) is ring and still_good(request)

    def _edge(self, ring: Ring) -> Edge:
        if ring not in self._edges:
            limits = EdgeLimits(self._limits.window, self._limits.caps.per_stream, self._limits.viewer.tick)
            self._edges[ring] = Edge(ring, limits)
        return self._edges[ring]

    def _check_stays(self) -> None:
        """Raises `Failure` (`draining`) while the gateway is ending."""
        if self._streams.leaving:
            raise Failure("draining", "The gateway is restarting; the stream goes on then. Ask again.", retry_after=1)

    def _ring(self, request: web.Request) -> Ring:
        name = request.match_info["name"]
        self._check_stays()
        ring = self._streams.ring(name)
        if ring is not None:
            return ring
        if self._streams.comes(name):  # right after a restart, say
            raise Failure("no-keyframe-yet", NOTHING_YET, retry_after=2)
        raise Failure("not-found", f"There is no stream named {name!r} to watch.")

    def _is_coming(self, request: web.Request) -> bool:
        name = request.match_info["name"]
        return not self._streams.leaving and self._streams.ring(name) is None and self._streams.comes(name)

    def _window(self, ring: Ring) -> hls.Window | None:
        listed = hls.window(ring.segments(), ring.discontinuities, self._limits.window, ring.target_duration)
        return listed if listed.segments else None

    async def _held(self, request: web.Request, found: Callable[[Ring], T | None], most: float = inf) -> tuple[Ring, T]:
        """The current ring, once `found` finds in it what the answer needs; `no-keyframe-yet` after the limit.

        `most` is in seconds, for who would rather hear soon that there is nothing.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + min(most, self._limits.hold)
        while True:
            left = until - loop.time()
            late = left <= 0 or is_gone(request)
            tick = min(left, self._limits.viewer.tick)
            if not late and self._is_coming(request):
                await asyncio.sleep(min(tick, COMING))
                continue
            ring = self._ring(request)  # again each time: a reconnect brings another one
            value = found(ring)
            if value is not None:
                return ring, value
            if late:
                raise Failure("no-keyframe-yet", NOTHING_YET, retry_after=2)
            await (asyncio.sleep(tick) if ring.ended else arrival(ring, ring.head, tick))

    def _send(self, request: web.Request, init: Init, chunks: Sequence[Chunk], etag: str) -> web.StreamResponse:
        what = Lasting(etag, _content_type(init), [chunk.data for chunk in chunks])
        return answer(request, what, self._limits.fetch)


async def _access(_: web.Request) -> web.StreamResponse:
    """Tells a proxy, which asks before it hands out of its own cache, that whoever comes here may watch.

    The stream may be there or not. A page learns by POST why it gets no socket.
    """
    return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _add_slash(request: web.Request) -> web.StreamResponse:
    # From the raw path, which begins with /live/ and so leads to no other host.
    target = request.rel_url.raw_path + "/"
    raise web.HTTPPermanentRedirect(f"{target}?{request.query_string}" if request.query_string else target)


def _content_type(init: Init) -> str:
    return "video/mp4" if init.video else "audio/mp4"


async def _chunks(ring: Ring, segment: Segment) -> list[Chunk] | None:
    """The segment's chunks; None when it leaves the ring meanwhile."""
    chunks = []
    for number in range(segment.first, segment.first + segment.count):
        chunk = await ring.chunk(number)
        if chunk is None:
            return None
        chunks.append(chunk)
    return chunks


async def _sizes(ring: Ring, segments: Sequence[Segment]) -> list[tuple[int, Fraction]]:
    found = [(segment, await _chunks(ring, segment)) for segment in segments]
    return [(sum(len(chunk.data) for chunk in chunks), segment.seconds) for segment, chunks in found if chunks]
