"""Where connections come in: how many there may be, how long one is silent, and what malformed requests are told."""

import asyncio
import json
import logging
import resource
import ssl
import uuid
from asyncio.sslproto import SSLProtocol
from collections import OrderedDict
from typing import Any, Final, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError

from gateway.jobs.failures import Failure
from gateway.web import problems
from gateway.web.access.security import secured

log = logging.getLogger(__name__)

SILENCE: Final = 75.0  # seconds for the head of a request, the first or the next; over the 60 s of usual proxies
HANDSHAKE: Final = 10  # seconds for that of TLS
BACKLOG: Final = 1024
FEW_FILES: Final = 512  # open files below which an operator is warned
MALFORMED: Final = "What came is no HTTP/1.1 request, or one that can be read in two ways, or its head is too long."


def raise_file_limit() -> str | None:
    """As many files as the system allows: each connection is one. Gives a line for who starts it if they are few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= FEW_FILES:
        return None
    return (
        f"only {hard} files may be open at once (the hard limit of this process), so that connections and streams are "
        f"refused early; allow {FEW_FILES} or more (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)"
    )


def most_connections(asked: int) -> int:
    """How many connections there may be: a quarter of the process's files is kept for workers, media and the store."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if soft == resource.RLIM_INFINITY else min(asked, soft * 3 // 4)


class Crowd:
    """All connections. When there are too many, the one that has been silent for longest gives way to the new one;
    when an answer is under way on all of them, the new one goes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.dropped = 0
        self._here: dict[HttpConnection, asyncio.Transport] = {}
        self._silent: OrderedDict[HttpConnection, None] = OrderedDict()  # those on which nothing is under way

    def __len__(self) -> int:
        return len(self._here)

    def come(self, connection: "HttpConnection", transport: asyncio.BaseTransport) -> None:
        """A new one, or one whose TLS is there now. The first `transport`, which is that of TCP, is what is aborted."""
        self._here.setdefault(connection, cast(asyncio.Transport, transport))
        self._silent[connection] = None
        self._silent.move_to_end(connection)
        if len(self._here) > self.most:
            self.dropped += 1
            victim = next(iter(self._silent))
            doomed = self._here[victim]
            self.go(victim)
            doomed.abort()

    def asked(self, connection: "HttpConnection") -> None:
        """It has asked for something."""
        self._silent.pop(connection, None)

    def answered(self, connection: "HttpConnection") -> None:
        """It has got all that it asked for."""
        if connection in self._here:
            self._silent[connection] = None

    def go(self, connection: "HttpConnection") -> None:
        """It is closed."""
        self._here.pop(connection, None)
        self._silent.pop(connection, None)


class HttpConnection(web.RequestHandler):
    """One connection."""

    def __init__(self, crowd: Crowd, server: web.Server, loop: asyncio.AbstractEventLoop, silence: float) -> None:
        super().__init__(server, loop=loop, keepalive_timeout=silence, access_log=None)  # type: ignore[arg-type]
        self.crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.crowd.come(self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.crowd.go(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self.crowd.asked(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Ends an answer; what was asked in the meantime is under way already."""
        finished = await super().finish_response(request, resp, start_time)
        if request.content.exception() is not None:
            self.force_close()  # the rest of its body cannot be told from the next request
        if not self._messages:
            self.crowd.answered(self)
        return finished

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
            detail = problems.UNREADABLE if isinstance(exc, ContentEncodingError) else MALFORMED
            failure = Failure("bad-request", detail)
        else:
            log.error("request-failed", exc_info=exc)
            failure = Failure("internal", "The gateway failed to answer.")
        return _Bare(failure)


class Sealed(SSLProtocol):
    """The TLS of one connection, which counts from its first moment.

    `create_server(ssl=...)` would tell of a connection only after the handshake, which one that sends nothing never
    gets to. What is overridden is public, the class itself is one of asyncio's own.
    """

    def __init__(self, connection: HttpConnection, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> None:
        waiter = cast("asyncio.Future[Any]", None)  # nobody waits: a handshake that fails is told to nobody
        super().__init__(loop, connection, context, waiter, server_side=True, ssl_handshake_timeout=HANDSHAKE)
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connection.crowd.come(self._connection, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.crowd.go(self._connection)
        super().connection_lost(exc)


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

        def protocol() -> HttpConnection | Sealed:
            connection = HttpConnection(self._crowd, server, loop, self._silence)
            return connection if self._ssl_context is None else Sealed(connection, loop, self._ssl_context)

        self._server = await loop.create_server(protocol, self._host, self._port, backlog=self._backlog)
