"""The camera as a whole: a listening port, the broadcast, the clients, and the verbs of its faults."""

import asyncio
import socket
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from media.faultcamera import faults
from media.faultcamera.broadcast import Broadcast
from media.faultcamera.clip.clip import make_tracks
from media.faultcamera.clip.track import ClipTrack
from media.faultcamera.connection import ClientConnection, Logged
from media.faultcamera.methods import Methods
from media.faultcamera.rtsp.auth import Doorkeeper
from media.faultcamera.rtsp.message import Request
from media.faultcamera.session import RtspSession
from media.faultcamera.settings import CameraSettings
from media.supervision import supervise

LOG_LENGTH: Final = 10_000
SEND_BUFFER: Final = 128 * 1024  # bytes; Linux doubles it
EXPIRY_EVERY: Final = 0.5  # seconds between looks for sessions that have timed out


class Camera(faults.Faults):
    """A running camera: `async with Camera(CameraSettings()) as camera:`. Its faults are its methods.

    `requests` are the last 10 000 requests; `connects`, `teardowns` and `resets` (connections that a client broke off
    with data unread) count since the start. Starting raises `OSError` for a port that cannot be had and `ValueError`
    for a fault that is not known.
    """

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__()
        self.settings = settings
        self.requests: deque[Logged] = deque(maxlen=LOG_LENGTH)
        self.connects = 0
        self.resets = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._left_at = float("-inf")  # when the last connection ended, in seconds since the camera's start
        self._asked = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        for text in settings.faults:
            faults.apply(self, text)

    async def __aenter__(self) -> Self:
        tracks = await asyncio.to_thread(make_tracks, self.settings.clip)
        loop = asyncio.get_running_loop()
        self._epoch = loop.time()
        settings = self.settings
        login = (settings.user, settings.password)
        self._doorkeeper = Doorkeeper(settings.auth, login, settings.nonce_lifetime, self.clock)
        broadcast = Broadcast(tracks, self.clock)
        self._methods = Methods(settings, tracks, self, self._doorkeeper, broadcast, self.clock, self._small)
        self._server = await asyncio.start_server(self._accept, settings.host, settings.port)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._own = [
            supervise("camera-broadcast", broadcast.run),
            supervise("camera-expiry", self._expire),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.drop()
        tasks = [*self._own, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._methods.close()
        await self._server.wait_closed()

    def clock(self) -> float:
        """Seconds since the camera's start."""
        return asyncio.get_running_loop().time() - self._epoch

    @property
    def url(self) -> str:
        """The camera's address without user and password."""
        return self.settings.url(self.port)

    @property
    def login_url(self) -> str:
        """The camera's address with user and password, percent-encoded."""
        return self.settings.url(self.port, login=True)

    @property
    def sessions(self) -> tuple[RtspSession, ...]:
        """The sessions that are set up now."""
        return tuple(self._methods.sessions.values())

    @property
    def clients(self) -> int:
        """Connections that are open now."""
        return len(self._clients)

    async def until_empty(self) -> None:
        """Waits until no connection is open; give it a limit."""
        await self._empty.wait()

    async def until_asked(self, method: str) -> None:
        """Waits until a request of this method has come, or returns at once when one has; give it a limit."""
        while not any(seen.method == method for seen in self.requests):
            await self._asked.wait()

    @property
    def teardowns(self) -> int:
        """How many sessions were ended by TEARDOWN."""
        return self._methods.teardowns

    def drop(self) -> None:
        """Close all client connections at once, without a word."""
        for writer in self._clients:
            writer.transport.abort()

    def expire_nonces(self) -> None:
        """Answer the next request of every Digest client with a new nonce and `stale=true`."""
        self._doorkeeper.forget_nonces()

    def _small(self) -> ClipTrack:
        """The video in half the size; the first time it takes as long as encoding it."""
        clip = self.settings.clip
        whole = 8 if clip.codec == "mjpeg" else 2  # RFC 2435, 3.1.5: JPEG's sides are in eights
        width, height = (max(80, side // 2 // whole * whole) for side in (clip.width, clip.height))
        return make_tracks(replace(clip, width=width, height=height))[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        if self.hold is not None and (self._clients or self.clock() - self._left_at < self.hold):
            writer.transport.abort()
            return
        # Left alone, the kernel takes megabytes for a client that reads nothing, and the backlog is seen late.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._clients.add(writer)
        self._empty.clear()
        task = asyncio.create_task(self._serve(reader, writer), name=f"camera client {self.connects}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.resets += await ClientConnection(self._methods, self, self._log, reader, writer).run()
        finally:
            self._clients.discard(writer)
            self._left_at = self.clock()
            if not self._clients:
                self._empty.set()

    def _log(self, request: Request, peer: int) -> None:
        self.requests.append(Logged(self.clock(), peer, request.method, request.url, request.headers))
        self._asked.set()
        self._asked = asyncio.Event()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_EVERY)
            self._methods.expire()
