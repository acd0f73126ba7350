"""What the tests of watching share: streams in a dictionary, and an app around the routes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.jobs.failures import Failure
from gateway.web.watch.play import NOTHING_MADE, Makers, PlayLimits, routes
from gateway.web.watch.viewers import Viewers
from media.ring import LiveRing, Ring, RingLimits


@dataclass
class FakeStreams:
    """Streams by name, as the catalog has them; how many are `watching` each of them, and ever `came`."""

    rings: dict[str, Ring] = field(default_factory=dict)
    watching: dict[str, int] = field(default_factory=dict)
    came: dict[str, int] = field(default_factory=dict)
    leaving: bool = False
    coming: set[str] = field(default_factory=set)
    looked: int = 0

    def ring(self, name: str) -> Ring | None:
        return self.rings.get(name)

    def comes(self, name: str) -> bool:
        self.looked += 1
        return name in self.rings or name in self.coming

    def peek(self, name: str) -> Ring | None:
        return self.rings.get(name)

    @contextmanager
    def viewer(self, name: str) -> Iterator[None]:
        self.watching[name] = self.watching.get(name, 0) + 1
        self.came[name] = self.came.get(name, 0) + 1
        try:
            yield
        finally:
            self.watching[name] -= 1

    def add(self, name: str, limits: RingLimits | None = None) -> LiveRing:
        """A new ring under that name, in the place of an older one."""
        ring = LiveRing(limits or RingLimits(), lambda: 1_700_000_000.0)
        self.rings[name] = ring
        return ring


@web.middleware
async def problems(request: web.Request, handler: object) -> web.StreamResponse:
    """Renders a Failure about as the real middleware does."""
    try:
        response = await handler(request)  # type: ignore[operator]
        assert isinstance(response, web.StreamResponse)
        return response
    except Failure as failure:
        headers = {"Retry-After": str(failure.retry_after)} if failure.retry_after is not None else {}
        return web.json_response(
            failure.record(), status=failure.row.status, headers=headers, content_type="application/problem+json"
        )


class Server(TestServer):
    """A test server that leaves handlers alone when their client goes away, as the gateway does.

    aiohttp's own cancels them, which would hide a handler that waits on for nobody. `cancels` asks for that mode.
    """

    def __init__(self, app: web.Application, cancels: bool = False) -> None:
        super().__init__(app)
        self._cancels = cancels

    async def _make_runner(self, **kwargs: Any) -> web.BaseRunner:
        return await super()._make_runner(**{**kwargs, "handler_cancellation": self._cancels})


def an_app(
    streams: FakeStreams,
    limits: PlayLimits | None = None,
    makers: Makers = NOTHING_MADE,
    viewers: Viewers | None = None,
) -> web.Application:
    app = web.Application(middlewares=[problems])
    app.add_routes(routes(streams, limits or PlayLimits(), makers, viewers))
    return app
