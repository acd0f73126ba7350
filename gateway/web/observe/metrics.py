"""Figures for Prometheus: what happens to jobs, to their callers, and to the event loop."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Total
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.jobs.effects import Effect, Free, Kill, Late, Moved, Start, Wake
from gateway.jobs.feed import Feed
from gateway.jobs.job import Job, Record
from gateway.jobs.retention import Retention
from gateway.jobs.state import Phase, Reason
from gateway.jobs.storage.store import Store
from gateway.jobs.supervisor import Supervisor
from gateway.prefer import Preferences
from gateway.web.observe.readiness import Readiness
from gateway.web.transport.connections import Connections
from gateway.webhooks.webhooks import Webhooks
from media.catalog import Catalog
from media.process.workers import Workers
from media.supervision import FAILURES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0)
LAGS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0)
LAG_INTERVAL: Final = 0.5  # seconds between two looks at the loop
STUCK: Final = 5.0  # seconds of lag after which the gateway does not count as alive

# What a phase is called here: stopping and killing are one.
PHASES: Final = {
    Phase.QUEUED: "pending",
    Phase.WORKING: "working",
    Phase.STOPPING: "stopping",
    Phase.KILLING: "stopping",
    Phase.ZOMBIE: "zombie",
}


class Metrics:
    """All figures, in a registry of their own. An observer of the jobs; labels come from tables and are bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lag = 0.0
        self.connections: Sized = ()
        self._accepted = self._total("jobs_accepted", "Jobs accepted", "kind")
        self._refused = self._total("jobs_refused", "Requests for jobs that made none", "kind", "reason")
        self._finished = self._total("jobs_finished", "Jobs that ended", "kind", "outcome", "reason")
        self._late = self._total("job_late_results", "Results that came too late and were rolled back", "kind")
        self._kills = self._total("job_worker_kills", "Works ended by force", "kind")
        self._responses = self._total("job_responses", "Answers of job methods", "kind", "status")
        self._ignored = self._total("prefer_ignored", "Preferences that were sent and of no use", "preference")
        self._clamped = self._total("prefer_clamped", "Preferences over their limit", "preference")
        self._replays = self._total("idempotent_replays", "Requests answered by the job of an earlier one")
        self._queue = self._seconds("job_queue_seconds", "From acceptance to the start", "kind")
        self._run = self._seconds("job_run_seconds", "From the start to the end", "kind", "outcome")
        self._cancel = self._seconds(
            "job_cancel_seconds", "From the request to stop until all is gone", "kind", "reason"
        )
        self._overrun = self._seconds("job_deadline_overrun_seconds", "From the deadline to the end", "kind")
        self._lags = Histogram("gateway_loop_lag_seconds", "Lag of the loop.", buckets=LAGS, registry=self.registry)

    def watch(self, supervisor: Supervisor, feed: Feed, retention: Retention) -> None:
        """Begins to count the supervisor's jobs, and to read its figures at each scrape."""
        supervisor.observers.append(self)
        self.registry.register(_Standing(supervisor, feed, retention))

    def watch_webhooks(self, webhooks: Webhooks) -> None:
        """Begins to read the figures of the webhooks at each scrape."""
        self.registry.register(_Webhooks(webhooks))

    def watch_media(self, catalog: Catalog, workers: Workers) -> None:
        """Begins to count streams, viewers and worker processes at each scrape."""
        self.registry.register(_Media(catalog, workers))

    def watch_store(self, store: Store) -> None:
        """Begins to read the store's troubles at each scrape."""
        self.registry.register(_Keeping(store))

    def watch_connections(self, connections: Connections) -> None:
        """Begins to count the connections at each scrape."""
        self.connections = connections
        self.registry.register(_Connections(connections))

    def watch_health(self, readiness: Readiness) -> None:
        """Begins to tell at each scrape what is broken, and what went wrong unforeseen."""
        self.registry.register(readiness)
        self.registry.register(_Unforeseen())

    # Of the jobs.

    def happened(self, effects: Sequence[Effect]) -> None:
        """Counts what happened to jobs."""
        for effect in effects:
            self._happened(effect, effect.job.draft.kind)

    def _happened(self, effect: Effect, kind: str) -> None:
        match effect:
            case Moved(job, None):
                self._accepted(kind).inc()
            case Start(job):
                self._queue(kind).observe((job.started or job.created) - job.created)
            case Wake(job):
                self._ended(job)
            case Late():
                self._late(kind).inc()
            case Kill():
                self._kills(kind).inc()
            case Free(job) if job.stopping is not None:
                reason = str(job.cancel_reason or "failure")
                self._cancel(kind, reason).observe(asyncio.get_running_loop().time() - job.stopping)

    def changed(self, record: Record) -> None:
        """Does nothing: what happened is counted, records are not."""

    def _ended(self, job: Job) -> None:
        kind, outcome, finished = job.draft.kind, str(job.state), job.finished or job.created
        reason = "" if job.error is None else str(job.error["code"])
        self._finished(kind, outcome, reason).inc()
        if job.started is not None:
            self._run(kind, outcome).observe(finished - job.started)
        if job.cancel_reason is Reason.TIMEOUT:
            self._overrun(kind).observe(max(0.0, finished - job.deadline))

    # Of the callers.

    def refused(self, kind: str, reason: str) -> None:
        """A request for a job was refused, and there is no job."""
        self._refused(kind, reason).inc()

    def answered(self, kind: str, status: int) -> None:
        """A job method was answered with the state of a job."""
        self._responses(kind, str(status)).inc()

    def asked(self, preferences: Preferences) -> None:
        """A Prefer header was read."""
        for name in preferences.ignored:
            self._ignored(name).inc()
        for name in preferences.clamped:
            self._clamped(name).inc()

    def replayed(self) -> None:
        """A request was answered by the job of an earlier one."""
        self._replays().inc()

    # Of the loop.

    async def measure_lag(self) -> None:
        """Runs until it is cancelled: by how much a timer is late, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self.lag = max(0.0, loop.time() - due)
            self._lags.observe(self.lag)

    def _total(self, name: str, text: str, *labels: str) -> Callable[..., Total]:
        """The counter of a row of labels. It is kept, since looking one up costs more than counting."""
        total = Total(f"gateway_{name}", f"{text}.", labels, registry=self.registry)
        return cache(total.labels) if labels else lambda: total

    def _seconds(self, name: str, text: str, *labels: str) -> Callable[..., Histogram]:
        """The histogram of a row of labels. It is kept, since looking one up costs more than observing."""
        text = f"{text}, in seconds."
        return cache(Histogram(f"gateway_{name}", text, labels, buckets=SECONDS, registry=self.registry).labels)


@dataclass(frozen=True)
class _Standing(Collector):
    """Figures that are not counted but looked up."""

    supervisor: Supervisor
    feed: Feed
    retention: Retention

    def collect(self) -> Iterator[Metric]:
        now = Counter((job.draft.kind, PHASES[job.phase]) for job in self.supervisor.live())
        jobs = GaugeMetricFamily("gateway_jobs", "Jobs that go on or hold a place.", labels=("kind", "phase"))
        for (kind, phase), count in now.items():
            jobs.add_metric((kind, phase), count)
        yield jobs
        yield GaugeMetricFamily("gateway_job_waiters", "Callers that are held.", self.supervisor.waiting)
        yield GaugeMetricFamily("gateway_jobs_retained", "Finished jobs in the store.", self.retention.retained)
        evicted = CounterMetricFamily("gateway_jobs_evicted", "Jobs dropped from the store.", labels=("why",))
        for why, count in self.retention.evicted.items():
            evicted.add_metric((why,), count)
        yield evicted
        yield GaugeMetricFamily("gateway_event_subscribers", "Listeners of /events.", self.feed.listeners)
        yield CounterMetricFamily("gateway_event_drops", "Listeners that were too slow.", self.feed.dropped)


@dataclass(frozen=True)
class _Media(Collector):
    """Figures of streams, looked up at each scrape."""

    catalog: Catalog
    workers: Workers

    def collect(self) -> Iterator[Metric]:
        streams: Counter[tuple[str, str]] = Counter()
        viewers: Counter[str] = Counter()
        for stream in self.catalog.streams():
            streams[stream.identity.kind, str(stream.status)] += 1
            viewers[stream.identity.kind] += stream.viewers
        here = GaugeMetricFamily("gateway_streams", "Streams that are not stopped.", labels=("kind", "status"))
        for (kind, status), count in streams.items():
            here.add_metric((kind, status), count)
        yield here
        watching = GaugeMetricFamily("gateway_viewers", "Who watches.", labels=("kind",))
        for kind, count in viewers.items():
            watching.add_metric((kind,), count)
        yield watching
        yield GaugeMetricFamily("gateway_workers", "Worker processes.", self.workers.alive)
        text = "Starts of the process that makes workers, but the first."
        yield CounterMetricFamily("gateway_forkserver_restarts", text, self.workers.restarts)


@dataclass(frozen=True)
class _Unforeseen(Collector):
    """Figures of what went wrong unforeseen, and was begun again."""

    def collect(self) -> Iterator[Metric]:
        text = "Unforeseen exceptions that something went on after, by the kind of task."
        failures = CounterMetricFamily("gateway_unforeseen", text, labels=("kind",))
        for kind, count in FAILURES.counts.items():
            failures.add_metric((kind,), count)
        yield failures


@dataclass(frozen=True)
class _Keeping(Collector):
    """Figures of the store, looked up at each scrape."""

    store: Store

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("gateway_store_write_failures", "Writes that failed.", self.store.failures)
        yield CounterMetricFamily("gateway_store_rescues", "Databases lost while open, made anew.", self.store.rescues)


@dataclass(frozen=True)
class _Connections(Collector):
    """Figures of connections, looked up at each scrape."""

    connections: Connections

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("gateway_connections", "Connections of callers and viewers.", len(self.connections))
        here = self.connections
        yield CounterMetricFamily("gateway_connections_dropped", "Connections ended as too many.", here.dropped)
        yield CounterMetricFamily("gateway_connections_stuck", "Connections that took nothing more.", here.stuck)


@dataclass(frozen=True)
class _Webhooks(Collector):
    """Figures of webhooks, looked up at each scrape; none when there are no webhooks."""

    webhooks: Webhooks

    def collect(self) -> Iterator[Metric]:
        if not self.webhooks.deliveries:
            return
        yield GaugeMetricFamily("gateway_webhooks_waiting", "Events that no target has yet.", self.webhooks.waiting)
        attempts = CounterMetricFamily("gateway_webhooks", "Deliveries, by how they ended.", labels=("outcome",))
        for outcome in ("delivered", "failed", "given-up", "dropped"):
            attempts.add_metric((outcome,), self.webhooks.outcomes[outcome])
        yield attempts


def routes(metrics: Metrics) -> list[web.RouteDef]:
    """`/metrics`, for Prometheus."""

    async def scrape(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return web.Response(body=generate_latest(metrics.registry), headers=headers)

    return [web.get("/metrics", scrape)]
