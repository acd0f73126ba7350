"""The one place where the parts are put together: started in order, stopped in reverse."""

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import Final, Self

from aiohttp import web

from gateway.auth.jwts import JwtError, Jwts
from gateway.auth.keys import Keys
from gateway.auth.play_tokens import PlayTokens
from gateway.auth.seal import Seal
from gateway.ending import closed
from gateway.files import sweep
from gateway.jobs.core import Limits as JobLimits
from gateway.jobs.feed import Feed
from gateway.jobs.ports import Keep
from gateway.jobs.retention import Retention
from gateway.jobs.storage.store import Store
from gateway.jobs.supervisor import Supervisor
from gateway.kinds import KINDS
from gateway.kinds.kind import Kind, Services
from gateway.prefer import PreferLimits as PreferLimits
from gateway.settings import Settings
from gateway.tls import Tls, TlsError
from gateway.web.access.access import Access
from gateway.web.calls.media_use import MediaUse
from gateway.web.context import Context
from gateway.web.observe.events import News
from gateway.web.observe.figures import Figures
from gateway.web.observe.metrics import Metrics
from gateway.web.observe.readiness import Readiness
from gateway.web.routes import application
from gateway.web.transport.connections import Connections
from gateway.web.transport.listener import Site, most_connections
from gateway.web.watch.play import PlayLimits
from gateway.web.watch.viewers import ViewerCaps
from gateway.webhooks.delivery import WebhookTarget
from gateway.webhooks.signature import secret_bytes
from gateway.webhooks.types import chosen
from gateway.webhooks.webhooks import Webhooks
from media.camera.stream import CameraParts
from media.catalog import Catalog
from media.channel.packages.library import Library
from media.channel.running_clock import RunningClock
from media.channel.spec import FileParts
from media.net.addresses import AddressPolicy
from media.pictures.picture_store import Pictures
from media.pictures.stills import Stills
from media.process import threads
from media.process.calibration import Calibration
from media.process.capacity import Capacity
from media.process.workers import Workers
from media.ring import RingLimits
from media.stream import ENDED, Stream
from media.supervision import FAILURES, ended, guard, supervise
from media.transcoding.transcoder import TranscoderParts
from media.watch.whep import Broadcasts

log = logging.getLogger(__name__)

# Seconds that a shutdown may take at most before a warning is due: orchestrators usually kill after 30.
LONGEST_SHUTDOWN: Final = 25.0
CLOSING: Final = 8.0  # seconds for all that is closed after the jobs have ended, whatever a worker or a disk does
CLOSING_ONE: Final = 2.0  # of these for one part, such as the streams
STORE_TROUBLE: Final = "The store cannot be written: the disk of the data folder is full, broken or hangs."
DEFAULT_THREADS: Final = 8  # for uploads, pictures, and what else touches a disk
HANDLER_GRACE: Final = 1.0  # seconds that answers under way get after the jobs have ended


class Gateway:
    """A running gateway: `async with Gateway(settings) as gateway:`; `gateway.url` is where it listens.

    `sockets` listen already: it takes what comes by them, and opens none of its own.
    """

    def __init__(self, settings: Settings, sockets: Sequence[socket.socket] = ()) -> None:
        self.settings = settings
        self._sockets = sockets
        self.url = ""
        self._supervising = False
        self.keys = Keys(settings.keys_file)
        self.tls: Tls | None = None
        self.jwts: Jwts | None = None
        self._kinds: dict[str, Kind] = {kind.stream_kind: kind for kind in KINDS if kind.restore}
        self._stack = AsyncExitStack()
        self.readiness = Readiness()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def reload(self) -> None:
        """Reads keys, certificate and the keys of tokens again; streams and viewers play on.

        What cannot be used is told in the log, and what was in use before stays.
        """
        self.keys.reload()
        for part, name in ((self.tls, "tls"), (self.jwts, "jwt")):
            try:
                if part is not None:
                    part.reload()
            except (TlsError, JwtError) as error:
                log.error(f"{name}-not-reloaded", extra={"error": str(error)})
        log.info("reloaded", extra={"keys": len(self.keys), "trouble": self.keys.trouble})

    def hurry(self) -> None:
        """While the gateway is closing: it waits no longer for jobs that are still running."""
        if self._supervising:
            self.supervisor.kill()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        stack.callback(guard(asyncio.get_running_loop()))
        # First of all the store, whose lock keeps a second gateway from touching anything in the folders of this one.
        self.store = Store(settings.data_dir / "reelgate.db", retention=settings.jobs_retention)
        self._policy = AddressPolicy(settings.source_deny, settings.source_allow, settings.loopback_only)
        self.webhooks = Webhooks(_targets(settings), chosen(settings.webhook_events), self.store, self._policy)
        await self.store.open()
        stack.push_async_callback(self.store.close)
        for folder in (settings.media_dir, settings.cache_dir):
            folder.mkdir(parents=True, exist_ok=True)
        asyncio.get_running_loop().set_default_executor(threads.pool(DEFAULT_THREADS, "gateway"))
        await asyncio.to_thread(sweep, settings.media_dir)
        self.tls = _tls(settings)
        self.jwts = _jwts(settings)
        self.workers = Workers()
        self.workers.start()
        stack.push_async_callback(self.workers.close)
        await stack.enter_async_context(self.webhooks)
        self.capacity = Capacity(settings.transcode_cores or len(os.sched_getaffinity(0)))
        cache_dir = settings.cache_dir.resolve()
        segment = Fraction(settings.hls_segment_duration)
        self.library = Library(self.workers, cache_dir, settings.cache_max_bytes, self.capacity, segment)
        self._closing(stack, "library", self.library.close)
        self.clock = RunningClock()
        stack.callback(self.clock.close)
        self.catalog = Catalog()
        self.parts = self._parts()
        self._closing(stack, "calibration", self.calibration.close)
        self._closing(stack, "broadcasts", self.broadcasts.close)
        self.supervisor = Supervisor(
            _job_limits(settings), self.store, max_waiters=settings.jobs_max_waiters, revision=self.store.revision
        )
        self._supervising = True
        self.feed = Feed(self.store.revision)
        self.metrics = Metrics()
        self._watch(stack)
        self._seal = await asyncio.to_thread(Seal.at, settings.data_dir / "reelgate.key")
        await self._restore()
        self.catalog.listeners.append(self._remember)
        pictures = self.parts.pictures.folder
        self.store.keeping += [self._seal.keep, lambda: pictures.mkdir(parents=True, exist_ok=True)]
        self.store.remembering += [self.supervisor.records.remember, self._remember_all]
        await self._listen(stack)
        # Pushed last, called first: jobs end, then the streams and with them the viewers, then the listener.
        self._closing(stack, "streams", self.catalog.close)
        if self._sockets:  # who comes from now on waits there for the next gateway
            stack.push_async_callback(self._stop_listening)
        stack.push_async_callback(self.supervisor.drain, settings.jobs_drain_timeout)

    @staticmethod
    def _closing(stack: AsyncExitStack, part: str, close: Callable[[], Awaitable[object]]) -> None:
        stack.push_async_callback(closed, part, close, CLOSING_ONE)

    def _parts(self) -> Services:
        settings = self.settings
        ring = RingLimits(
            Fraction(settings.hls_segment_duration), settings.hls_window, max_bytes=settings.ring_max_bytes
        )
        self.calibration = Calibration(self.workers, self.capacity)
        grace = settings.jobs_cancel_grace
        cameras = CameraParts(self.workers, self._policy, ring, grace, time.time, self.calibration)
        files = FileParts(self.library, ring, time.time, self.clock, settings.fault_injection)
        store = settings.data_dir.resolve() / "pictures"
        pictures = Pictures(self.workers, store, self.catalog.pictures, self.library.on_media)
        transcoders = TranscoderParts(self.catalog, self.workers, self.calibration, ring, grace, time.time)
        stills = Stills(self.workers, time.time)
        self.broadcasts = Broadcasts(self.workers)
        return Services(
            *(settings, self.catalog, self.workers, cameras, files, pictures, transcoders, stills),
            broadcasts=self.broadcasts,
            wall=time.time,
        )

    def _watch(self, stack: AsyncExitStack) -> None:
        """Those who look on at the jobs and streams: news, figures, and what clears away."""
        keep = Keep(self.settings.jobs_retention_count, self.settings.jobs_tombstones)
        retention = Retention(self.supervisor, self.store, keep)
        news = News(self.supervisor, self.feed, self.webhooks.recorder)
        self.supervisor.observers.append(news)
        self.catalog.listeners.append(news.stream_changed)
        self.metrics.watch(self.supervisor, self.feed, retention)
        self.metrics.watch_webhooks(self.webhooks)
        self.metrics.watch_store(self.store)
        self.metrics.watch_media(self.catalog, self.workers)
        self.figures = Figures(self.catalog, self.feed, time.time)
        self.metrics.watch_health(self.readiness)
        self.readiness.add("workers", lambda: self.workers.trouble)
        self.readiness.add("tasks", _ailing, blocks=False)
        self.readiness.add("database", lambda: self.store.rescued or None, blocks=False)
        self.readiness.add("store", lambda: STORE_TROUBLE if self.store.trouble else None)
        runs = {
            "job-retention": retention.run,
            "loop-lag": self.metrics.measure_lag,
            "figures": self.figures.run,
        }
        for kind, run in runs.items():
            stack.push_async_callback(ended, supervise(kind, run))

    async def _restore(self) -> None:
        """Streams that were wanted when the gateway went down come back by themselves, without a job."""
        for wanted in await self.store.streams():
            kind = self._kinds.get(wanted.body.get("kind", ""))
            if kind is None or kind.restore is None:
                log.error("stream-not-restored", extra={"stream": wanted.id})
                continue
            try:
                kind.restore(json.loads(self._seal.open(wanted.body["sealed"])), self.parts)
            except (KeyError, TypeError, ValueError) as error:  # written by another version: no reason not to start
                log.error("stream-not-restored", extra={"stream": wanted.id, "error": type(error).__name__})

    def _remember_all(self) -> None:
        for stream in self.catalog.streams():
            self._remember(stream)

    def _remember(self, stream: Stream) -> None:
        """A stream is wanted from its publication on until it has ended."""
        identity = stream.identity
        if stream.status in ENDED:
            self.store.delete_stream(identity.id)
        else:
            sealed = self._seal.close(json.dumps(stream.wanted()))  # it holds passwords
            self.store.save_stream(identity.id, identity.name, {"kind": identity.kind, "sealed": sealed})

    async def _listen(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        caps = ViewerCaps(settings.max_viewers_per_stream, settings.max_viewers)
        limits = PlayLimits(window=settings.hls_window, caps=caps)
        prefer = PreferLimits(
            settings.jobs_max_prefer_wait_time,
            settings.jobs_max_prefer_timeout,
            settings.jobs_default_wait,
            settings.jobs_default_timeout,
        )
        tokens = await asyncio.to_thread(PlayTokens.kept_in, settings.data_dir / "play.secret")
        self.store.keeping.append(tokens.keep)
        use = MediaUse(settings.media_dir, self.catalog, self.supervisor.active)
        shared = Context(self.supervisor, self.store, self.parts, prefer, self.feed, self.metrics, self.readiness, use)
        guard = self.access = Access(self.keys, tokens, tokens.for_sessions(), settings.cors_origins, jwts=self.jwts)
        app = self.application = application(shared, limits, guard, self.figures)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=HANDLER_GRACE)
        await runner.setup()
        self._closing(stack, "listener", runner.cleanup)
        context = self.tls.context if self.tls is not None else None
        self.connections = Connections(most_connections(settings.http_max_connections))
        self.metrics.watch_connections(self.connections)
        place = settings.http_host, settings.http_port
        listening: Sequence[socket.socket | None] = self._sockets or [None]
        self._sites = [Site(runner, self.connections, *place, sock=sock, ssl_context=context) for sock in listening]
        for site in self._sites:
            await site.start()
        reached = runner.addresses[0][0] if self._sockets else settings.http_host
        host = f"[{reached}]" if ":" in reached else reached
        self.url = f"{'http' if context is None else 'https'}://{host}:{runner.addresses[0][1]}"

    async def _stop_listening(self) -> None:
        for site in self._sites:
            await site.stop()


def _ailing() -> str | None:
    """The kinds of tasks that ended by an unforeseen error and were begun again."""
    if not FAILURES.ailing:
        return None
    return f"{len(FAILURES.ailing)} of the gateway's tasks failed and are tried again; the log tells which, and where."


def _tls(settings: Settings) -> Tls | None:
    """The TLS of the settings. Raises `TlsError` for files that are no certificate and its key."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key)


def _jwts(settings: Settings) -> Jwts | None:
    """The checker of JSON Web Tokens of the settings. Raises `JwtError`."""
    if settings.jwt_keys is None:
        return None
    return Jwts(settings.jwt_keys, settings.jwt_issuer, settings.jwt_audience)


def _targets(settings: Settings) -> list[WebhookTarget]:
    keys = tuple(secret_bytes(secret.get_secret_value()) for secret in settings.webhook_secret)
    return [
        WebhookTarget(url, keys, settings.webhook_give_up, settings.webhook_backlog) for url in settings.webhook_url
    ]


def longest_end(settings: Settings) -> float:
    """Seconds from the signal that ends the gateway until it has ended, if need be by force."""
    return settings.jobs_drain_timeout + settings.jobs_cancel_grace + settings.jobs_kill_grace + CLOSING


def _job_limits(settings: Settings) -> JobLimits:
    longest = longest_end(settings)
    if longest > LONGEST_SHUTDOWN:
        log.warning("shutdown-may-be-cut-short", extra={"seconds": longest, "usual_patience": 30})
    return JobLimits(
        max_running=settings.jobs_max_running,
        max_pending=settings.jobs_max_pending,
        cancel_grace=settings.jobs_cancel_grace,
        kill_grace=settings.jobs_kill_grace,
        retention=settings.jobs_retention,
    )
