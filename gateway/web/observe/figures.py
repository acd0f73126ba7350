"""What can be measured of the streams, every two seconds: kept for ten minutes, and told to who listens for it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.feed import Feed
from gateway.jobs.job import time_of_day
from gateway.kinds.kind import Params
from gateway.web import body
from gateway.web.context import BASE
from media.catalog import Catalog
from media.stream import Status, Stream

PERIOD: Final = 2.0  # seconds between two samples
KEPT: Final = 300  # samples of each stream
AT_ONCE: Final = 20  # streams that are sampled before others have their turn
EVENT: Final = "figures"
TRIES: Final = ("attempts", "lastError", "nextRetryAt", "restarts")

FigureSample = tuple[int, int | None, float | None]


class HistoryParams(Params):
    """The stream's `name`, and of how many seconds."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    seconds: Annotated[int, Field(ge=1, le=int(PERIOD * KEPT))] = int(PERIOD * KEPT)


@dataclass
class Figures:
    """Viewers, bits a second and the age of the newest frame, of every stream; by the streams' ids."""

    catalog: Catalog
    feed: Feed
    wall: Callable[[], float]
    _kept: dict[str, deque[FigureSample]] = field(default_factory=dict)
    _at: float = 0.0

    async def run(self) -> None:
        """Samples until it is cancelled."""
        while True:
            for _ in self._sampling():
                await asyncio.sleep(0)  # a thousand streams in one go would hold up the others
            await asyncio.sleep(PERIOD)

    def sample(self) -> None:
        """One sample of each stream. What is gone is forgotten."""
        for _ in self._sampling():
            pass

    def _sampling(self) -> Iterator[None]:
        """Takes one sample of each stream, in pieces: whoever runs it may let others go on after each piece."""
        at, kept, streams = self.wall(), dict[str, deque[FigureSample]](), list(self.catalog.streams())
        for number, stream in enumerate(streams, start=1):
            samples = self._kept.get(stream.identity.id) or deque(maxlen=KEPT)
            samples.append((stream.viewers, stream.bitrate(), stream.frame_age()))
            kept[stream.identity.id] = samples
            if number % AT_ONCE == 0:
                yield
        self._at, self._kept = at, kept
        if self.feed.wants_figures:
            told = [self._newest(stream) for stream in streams]
            self.feed.mention(EVENT, {"at": time_of_day(self._at), "streams": told})

    def history(self, stream: Stream, seconds: int) -> dict[str, Any]:
        """The samples of that time as columns, oldest first."""
        count = max(1, int(seconds // PERIOD))
        samples = list(self._kept.get(stream.identity.id, ()))[-count:]
        return {
            "name": stream.identity.name,
            "until": time_of_day(self._at),
            "period": PERIOD,
            "viewers": [sample[0] for sample in samples],
            "bitrate": [sample[1] for sample in samples],
            "lastFrameAge": [sample[2] for sample in samples],
        }

    def _newest(self, stream: Stream) -> dict[str, Any]:
        viewers, bitrate, age = self._kept[stream.identity.id][-1]
        newest = {"id": stream.identity.id, "viewers": viewers, "bitrate": bitrate, "lastFrameAge": age}
        if stream.status is Status.WAITING:  # one try after the other changes no status, so nobody else tells of them
            details = stream.details()
            newest |= {key: details[key] for key in TRIES if key in details}
        return newest


def routes(figures: Figures) -> list[web.RouteDef]:
    """`/stream/history`."""

    async def history(request: web.Request) -> web.StreamResponse:
        params = body.fields(request, HistoryParams, await body.read_object(request))
        found = next((each for each in figures.catalog.streams() if each.identity.name == params.name), None)
        if found is None:
            raise Failure("not-found", f"There is no stream {params.name!r}.")
        return web.json_response(figures.history(found, params.seconds), headers={hdrs.CACHE_CONTROL: "no-store"})

    return [web.post(f"{BASE}/stream/history", history)]
