"""Where connections come in: how many there may be, how long one is silent, and what malformed requests are told."""

import asyncio
import json
import logging
import resource
import uuid
from collections import OrderedDict
from typing import Any, Final

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web import problems
from gateway.web.security import secured

log = logging.getLogger(__name__)

SILENCE: Final = 75.0  # seconds for the head of a request, the first or the next; over the 60 s of usual proxies
HANDSHAKE: Final = 10.0  # seconds for that of TLS
BACKLOG: Final = 1024
MALFORMED: Final = "What came is no HTTP/1.1 request, or one that can be read in two ways, or its head is too long."


def raise_file_limit() -> None:
    """As many files as the system allows: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections(asked: int) -> int:
    """How many connections there may be: a quarter of the process's files is kept for workers, media and the store."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if soft == resource.RLIM_INFINITY else min(asked, soft * 3 // 4)


class Crowd:
    """All connections. When there are too many, the one that has been silent for longest gives way to the new one;
    when all have asked for something, the new one goes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.dropped = 0
        self._here: set[Connection] = set()
        self._silent: OrderedDict[Connection, None] = OrderedDict()  # those that have not asked for anything yet

    def __len__(self) -> int:
        return len(self._here)

    def come(self, connection: "Connection") -> None:
        """A new one."""
        self._here.add(connection)
        self._silent[connection] = None
        if len(self._here) > self.most:
            self.dropped += 1
            victim = next(iter(self._silent))
            self.go(victim)
            if victim.transport is not None:
                victim.transport.abort()

    def spoke(self, connection: "Connection") -> None:
        """It has asked for something."""
        self._silent.pop(connection, None)

    def go(self, connection: "Connection") -> None:
        """It is closed."""
        self._here.discard(connection)
        self._silent.pop(connection, None)


class Connection(web.RequestHandler):
    """One connection."""

    def __init__(self, crowd: Crowd, server: web.Server, loop: asyncio.AbstractEventLoop, silence: float) -> None:
        super().__init__(server, loop=loop, keepalive_timeout=silence, access_log=None)  # type: ignore[arg-type]
        self._crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._crowd.come(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._request_count:
            self._crowd.spoke(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.go(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer for what no handler could be asked about. It ends the connection."""
        del message  # it quotes what came
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status < 500:
            log.info("request-malformed", extra={"remote": request.remote, "error": type(exc).__name__})
            failure = Failure("bad-request", MALFORMED)
        else:
            log.error("request-failed", exc_info=exc)
            failure = Failure("internal", "The gateway failed to answer.")
        return _Bare(failure)


class _Bare(web.Response):
    """A problem for a request that the application has never seen: what is added to all answers is added here."""

    def __init__(self, failure: Failure) -> None:
        record = failure.record()
        document = problems.document(record, instance="/", request_id=uuid.uuid4().hex)
        super().__init__(
            body=json.dumps(document).encode(), status=failure.row.status, content_type=problems.CONTENT_TYPE
        )
        self.headers[hdrs.CACHE_CONTROL] = "no-store"
        self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        secured(self)


class Site(web.TCPSite):
    """Listens. `runner` has been set up, and has an application."""

    def __init__(self, runner: web.AppRunner, crowd: Crowd, *place: Any, silence: float = SILENCE, **how: Any) -> None:
        super().__init__(runner, *place, backlog=BACKLOG, **how)
        self._crowd = crowd
        self._silence = silence

    async def start(self) -> None:
        """Raises `OSError`."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has not been set up")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._crowd, server, loop, self._silence),
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE if self._ssl_context is not None else None,
        )
