"""Where connections come in: how long one is silent, what is read of them, and what malformed requests are told."""

import asyncio
import json
import logging
import resource
import socket
import ssl
import uuid
from asyncio.sslproto import SSLProtocol
from typing import Any, Final, cast

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web import problems
from gateway.web.access.security import secured
from gateway.web.transport import herd
from gateway.web.transport.connections import Connections

log = logging.getLogger(__name__)

# Seconds for the head of a request, the first or the next. Over those for which proxies keep an idle connection (nginx
# 60, Go and Traefik 90, Caddy 120). Closed while the proxy sends, it would turn a good request into an error.
SILENCE: Final = 130.0
HANDSHAKE: Final = 10  # seconds for the handshake of TLS
FAREWELL: Final = 3  # seconds for the end of TLS
AT_ONCE: Final = 64 * 1024  # bytes that are read of one connection before others have their turn
LINGER: Final = 5.0  # seconds in which the rest of a body that nobody reads may come, so that its answer is seen
SMALL: Final = 64 * 1024  # bytes of such a rest after which the connection goes on; after more of it, it ends
LINES: Final = 4000  # ends of lines that a body in chunks may have beside one for each `LINE` bytes
LINE: Final = 64
SAID: Final = 8  # times that a WebSocket is read at once; then once a second, for viewers have next to nothing to say
NO_ROUNDING: Final = float("inf")  # or all timers of a thousand connections fire in the same moment of each second
BACKLOG: Final = 1024
FEW_FILES: Final = 512  # open files below which an operator is warned
MALFORMED: Final = "What came is no HTTP/1.1 request, or one that can be read in two ways, or its head is too long."


def raise_file_limit() -> str | None:
    """Raises the limit of open files as far as the system allows, since each connection is one.

    Returns a line for who starts the gateway if they are few.
    """
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


class HttpConnection(web.RequestHandler):
    """One connection."""

    def __init__(
        self, connections: Connections, server: web.Server, loop: asyncio.AbstractEventLoop, silence: float
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=silence,
            access_log=None,  # type: ignore[arg-type]
            lingering_time=LINGER,
            read_bufsize=AT_ONCE,
            auto_decompress=False,  # a body that is encoded is refused, and not a byte of it decoded
            timeout_ceil_threshold=NO_ROUNDING,
        )
        self.connections = connections
        self.received = 0
        self._rest: int | None = None  # bytes that may still come of a body that nobody reads
        self._owing = False  # a request has come whose body has not
        self._cut: tuple[web.BaseRequest | None, int, int] = (None, 0, 0)  # a body in chunks, its lines and its bytes
        self._heard = 0.0  # loop time at which a WebSocket would have said all that it has, at one word a second

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.come(self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.connections.go(self)
        super().connection_lost(exc)

    def owes(self) -> bool:
        """Whether a request is under way whose body has not come whole."""
        request = self._current_request
        return request is not None and not request.content.is_eof()

    def data_received(self, data: bytes) -> None:
        """What came is parsed, unless it is the rest of a body that nobody reads."""
        self.received += len(data)
        if self._rest is not None:
            self._rest -= len(data)
            if self._rest < 0 and self.transport is not None:
                self.transport.abort()
            return
        if self._crumbles(data):
            return
        super().data_received(data)
        if self._payload_parser is not None and data:
            self._hear()
        if self._messages:
            self._owing = not self._messages[-1][1].is_eof()
        elif not self._owing or self.owes():
            return
        else:
            self._owing = False
        if not self._owing:
            self.connections.asked(self)

    def _crumbles(self, data: bytes) -> bool:
        """Whether a body comes in pieces so small that reading it is nothing but work. Then it is refused."""
        request, (cut, lines, size) = self._current_request, self._cut
        if request is None or not data or not request._message.chunked or request.content.is_eof():
            return False
        if request is not cut:
            lines = size = 0
        self._cut = request, lines + data.count(b"\r\n"), size + len(data)
        if self._cut[1] <= LINES + self._cut[2] // LINE:
            return False
        request.content.set_exception(web.RequestPayloadError("its chunks are too small"))
        self._rest = SMALL
        return True

    def _hear(self) -> None:
        """A WebSocket has said something: one that says much is not listened to for a while."""
        now = self._loop.time()
        self._heard = max(self._heard, now) + 1.0
        if self._heard - now > SAID and self.transport is not None:
            self.transport.pause_reading()
            self._loop.call_at(self._heard - SAID, self._hear_again)

    def _hear_again(self) -> None:
        if self.transport is not None and not self._reading_paused:
            self.transport.resume_reading()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Ends an answer, and takes up what was asked in the meantime."""
        large = not request.content.is_eof() and not 0 <= (request.content_length or -1) <= SMALL
        if large and not resp.prepared:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if large and not request.content.is_eof():
            self._rest = SMALL
        if request.content.exception() is not None:
            self.force_close()  # the rest of its body cannot be told from the next request
        self.connections.answered(self)
        if self._messages:  # were sent along with this one: others have their turn, and a newcomer may take the place
            await herd.turn()
            if self._messages[0][1].is_eof():
                self.connections.asked(self)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that no handler can be asked about. It ends the connection."""
        del message  # its text quotes what came
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone in the middle of its request: there is nobody to tell, and nothing to log
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status < 500:
            log.info("request-malformed", extra={"remote": request.remote, "error": type(exc).__name__})
            failure = Failure("bad-request", MALFORMED)
        else:
            log.error("request-failed", exc_info=exc)
            failure = Failure("internal", "The gateway failed to answer.")
        return _Bare(failure)


class Sealed(SSLProtocol):
    """The TLS of one connection, which counts from its first moment.

    `create_server(ssl=...)` would tell of a connection only after the handshake, and one that sends nothing never gets
    there. The methods that are overridden are public; the class is one of asyncio's own.
    """

    def __init__(self, connection: HttpConnection, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> None:
        waiter = cast("asyncio.Future[Any]", None)  # nobody waits: a handshake that fails is told to nobody
        super().__init__(
            *(loop, connection, context, waiter),
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=FAREWELL,
        )
        self._connection = connection

    max_size = AT_ONCE  # also of a buffer that each connection has for itself

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connection.connections.come(self._connection, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.connections.go(self._connection)
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
    """Listens, on `sock` if one is given. `runner` has been set up, and has an application."""

    def __init__(
        self,
        runner: web.AppRunner,
        connections: Connections,
        *place: Any,
        silence: float = SILENCE,
        sock: socket.socket | None = None,
        **how: Any,
    ) -> None:
        super().__init__(runner, *place, backlog=BACKLOG, **how)
        self._sock = sock
        self._connections = connections
        self._silence = silence

    async def start(self) -> None:
        """Begins to listen. Raises `OSError`."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has not been set up")
        loop = asyncio.get_running_loop()

        def protocol() -> HttpConnection | Sealed:
            connection = HttpConnection(self._connections, server, loop, self._silence)
            return connection if self._ssl_context is None else Sealed(connection, loop, self._ssl_context)

        if self._sock is not None:
            self._server = await loop.create_server(protocol, sock=self._sock, backlog=self._backlog)
        else:
            self._server = await loop.create_server(protocol, self._host, self._port, backlog=self._backlog)
