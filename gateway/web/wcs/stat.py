"""The statistics of WCS, `GET /?action=stat`: those of its keys that mean something here, under its headings."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.web.access.access import asks_for_figures
from gateway.web.context import Context
from gateway.web.watch.viewers import Viewers, Way
from media.stream import Status

MEMORY: Final = Path("/proc/meminfo")
FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}


@dataclass(frozen=True, slots=True)
class Figures52:
    """What is counted at one moment: connections, viewers by their way, cameras that are live, memory in MiB."""

    connections: int
    viewers: Counter[Way]
    cameras: int
    memory: dict[str, int]


StatKey = tuple[str, Callable[[Figures52], int | None]]


def _none(_: Figures52) -> int:
    return 0


# The group's name in JSON, its heading in the text, its keys. Of what is not here (Flash, RTMP) there is nothing: 0.
GROUPS: Final[tuple[tuple[str, str, tuple[StatKey, ...]], ...]] = (
    (
        *("connection_stats", "Connection Stats"),
        (
            ("connections", lambda seen: seen.connections),
            ("connections_rtmfp", _none),
            ("connections_websocket", lambda seen: seen.viewers[Way.MSE]),
        ),
    ),
    (
        *("stream_stats", "Stream Stats"),
        (
            ("streams_webrtc_in", _none),
            ("streams_webrtc_out", lambda seen: seen.viewers[Way.WHEP]),
            ("streams_websocket_out", lambda seen: seen.viewers[Way.MSE]),
            ("streams_rtmfp_in", _none),
            ("streams_rtmfp_out", _none),
            ("streams_rtmp_in", _none),
            ("streams_rtmp_out", _none),
            ("streams_rtsp_in", lambda seen: seen.cameras),
            ("streams_rtsp_out", _none),
            ("streams_viewers", lambda seen: seen.viewers.total()),
        ),
    ),
    (
        *("system_stats", "System Stats"),
        (
            ("system_memory_total", lambda seen: seen.memory.get("MemTotal")),
            ("system_memory_free", lambda seen: seen.memory.get("MemAvailable")),
        ),
    ),
    ("core_stats", "Core Stats", (("core_threads", lambda _: threading.active_count()),)),
)
TRANSCODING: Final = "transcoding_stats"  # in JSON alone; the console looks in it for each stream that it lists


class Statistics:
    """Answers for the dashboard's address where it is asked for statistics."""

    def __init__(self, context: Context, viewers: Viewers) -> None:
        self._context = context
        self._viewers = viewers

    def before(self, route: web.RouteDef) -> web.RouteDef:
        """The route, and for that of the dashboard's address one that answers for the statistics first."""
        if route.path != "/":
            return route
        page: Handler = route.handler

        async def either(request: web.Request) -> web.StreamResponse:
            return self._answer(request) if asks_for_figures(request) else await page(request)

        return web.RouteDef(route.method, route.path, either, route.kwargs)

    def _answer(self, request: web.Request) -> web.Response:
        """The statistics as text, or as JSON with `format=json`. `groups` (with commas between) are those wanted;
        without it, all.
        """
        wanted = [name for name in request.query.get("groups", "").split(",") if name]
        seen = self._seen()
        shown = {
            (group, heading): {name: value for name, of in keys if (value := of(seen)) is not None}
            for group, heading, keys in GROUPS
            if not wanted or group in wanted
        }
        if request.query.get("format") != "json":
            return web.Response(text="\n".join(_lines(shown)), headers=FRESH)
        told: dict[str, Any] = {group: figures for (group, _), figures in shown.items()}
        if not wanted or TRANSCODING in wanted:
            told[TRANSCODING] = {"transcoding_video_full_info": self._distributors()}
        return web.json_response(told, headers=FRESH)

    def _seen(self) -> Figures52:
        streams = self._context.parts.catalog.streams()
        return Figures52(
            connections=len(self._context.metrics.connections),
            viewers=Counter(seat.way for seat in self._viewers.seats()),
            cameras=sum(each.identity.kind == "rtsp" and each.status is Status.LIVE for each in streams),
            memory=_memory(),
        )

    def _distributors(self) -> dict[str, Any]:
        """By the names of streams; a gateway shares what it makes among all viewers, so there are none to tell of."""
        return {stream.identity.name: {"distributors": {}} for stream in self._context.parts.catalog.streams()}


def _lines(shown: dict[tuple[str, str], dict[str, int]]) -> Iterator[str]:
    for (_, heading), figures in shown.items():
        yield f"-----{heading}-----"
        yield from (f"{name}={value}" for name, value in figures.items())


def _memory() -> dict[str, int]:
    """The machine's memory in MiB, by the names of proc_meminfo(5); nothing where there is no such file."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines]
    return {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) > 1 and row[1].isdigit()}
