"""The real HTTP side on fake kinds, whose works sleep, fail, finish too late or do not listen; for virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, cast

import aiohttp
from aiohttp import web

from gateway.jobs.core import Limits as JobLimits
from gateway.jobs.failures import Failure
from gateway.jobs.feed import Feed
from gateway.jobs.job import Progress
from gateway.jobs.ports import Keep
from gateway.jobs.retention import Retention
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services
from gateway.prefer import PreferLimits as PreferLimits
from gateway.web import body, problems
from gateway.web.calls import jobs, submit
from gateway.web.context import UNVERSIONED, Context
from gateway.web.observe import events, health, metrics
from gateway.web.observe.events import News
from gateway.web.observe.metrics import Metrics
from gateway.web.observe.readiness import Readiness
from media.catalog import Catalog
from media.process.workers import TRACE
from tests.support.archives import MemoryArchive

Way = Literal["sleep", "fail", "stubborn", "unkillable", "late", "crash"]
BASE = "/rest-api/v3"
LIMITS = JobLimits(max_running=2, max_pending=3, cancel_grace=0.3, kill_grace=1.0, retention=1000.0)
PREFER = PreferLimits(5, 60)
START = 1_000_000_000.0  # the time of day at the loop's zero, at which a test begins
CANARY = "hunter2-canary"


class FakeParams(Params):
    """`seconds` of work, a `way` to end it, a `name` to hold; `password` is never to be seen again."""

    name: str = ""
    seconds: float = 0.0
    way: Way = "sleep"
    stages: int = 0
    password: str = ""


@dataclass
class FakeWork:
    """A work with a handle that must be open exactly while it works, or is published."""

    params: FakeParams
    published: list[str]
    traces: dict[str, str]
    held: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, progress: Progress) -> None:
        self.held = True
        self.traces[self.params.name] = TRACE.get()
        for number in range(self.params.stages):
            progress.stage(f"stage-{number}")
            await asyncio.sleep(self.params.seconds / self.params.stages)
        await self._work()
        if self.params.way == "fail":
            self.held = False
            raise Failure("source-refused", "The port is closed.", phase="connecting")
        if self.params.way == "crash":
            raise ValueError(f"rtsp://admin:{CANARY}@camera")

    async def _work(self) -> None:
        match self.params.way:
            case "stubborn" | "unkillable":
                while not self.end.is_set():
                    try:
                        await self.end.wait()
                    except asyncio.CancelledError:
                        continue
            case "late":
                try:
                    await asyncio.sleep(1e6)
                except asyncio.CancelledError:
                    await asyncio.sleep(self.params.seconds)
            case _ if not self.params.stages:
                await asyncio.sleep(self.params.seconds)

    def publish(self) -> dict[str, Any]:
        self.published.append(self.params.name)
        return {"name": self.params.name, "slept": self.params.seconds, "text": "höhe"}

    async def stop(self) -> None:
        if self.params.way == "sleep":
            await asyncio.sleep(0.1)
        self.held = False

    def kill(self) -> None:
        if self.params.way != "unkillable":
            self.end.set()


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read whole, and the loop's time at which it was there."""

    status: int
    headers: Any
    content: bytes
    at: float

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class HttpWorld:
    """The face on a free port of loopback, with a client; `works`, `published` and `traces` are what the fakes did."""

    def __init__(self, limits: JobLimits = LIMITS, max_waiters: int = 512, keep: Keep | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.archive = MemoryArchive(self.wall)
        self.supervisor = Supervisor(limits, self.archive, max_waiters=max_waiters, wall=self.wall)
        self.feed = Feed()
        self.metrics = Metrics()
        self.retention = Retention(self.supervisor, self.archive, keep or Keep())
        self.works: list[FakeWork] = []
        self.published: list[str] = []
        self.traces: dict[str, str] = {}
        self.catalog = Catalog()
        self.news = News(self.supervisor, self.feed)
        self.supervisor.observers.append(self.news)
        self.metrics.watch(self.supervisor, self.feed, self.retention)
        self.readiness = Readiness()
        self.metrics.watch_health(self.readiness)
        parts = cast(Services, SimpleNamespace(catalog=self.catalog))
        face = Context(self.supervisor, self.archive, parts, PREFER, self.feed, self.metrics, self.readiness)
        kinds = [self._kind("fake", "camera"), self._kind("other", "file")]
        methods = [web.post(BASE + kind.path, submit.handler(kind, face)) for kind in kinds]
        to_the_end = [web.post(UNVERSIONED + kind.path, partial(_to_the_end, kind, face)) for kind in kinds]
        self.app = web.Application(middlewares=[problems.middleware])
        self.app.add_routes([*methods, *to_the_end, *jobs.routes(face), *events.routes(face)])
        self.app.add_routes([*health.routes(face), *metrics.routes(self.metrics)])

    def wall(self) -> float:
        return START + self.loop.time()

    def _kind(self, name: str, pool: str) -> Kind:
        async def plan(params: FakeParams, ask: Ask, parts: Services) -> Plan:
            del ask, parts
            if params.name == "nobody":
                raise Failure("file-not-found", "There is no such file.")
            await asyncio.sleep(0)
            work = FakeWork(params, self.published, self.traces)
            self.works.append(work)
            names = (f"name:{params.name}",) if params.name else ()
            return Plan(names, {"name": params.name, "way": params.way}, work)

        causes = {"connecting": "source-timeout"}
        return Kind(f"{name}.startup", f"/{name}/startup", pool, FakeParams, plan, causes.get)

    async def request(
        self, method: str, path: str, body: Any = None, prefer: str | list[str] | None = None, **headers: str
    ) -> Answer:
        """One call; `headers` by keyword, with `_` for `-`. Several lines of Prefer are a list."""
        lines = [prefer] if isinstance(prefer, str) else prefer or []
        sent = [("Prefer", line) for line in lines]
        sent += [(name.replace("_", "-"), value) for name, value in headers.items()]
        content = {} if body is None else {"json": body}
        async with self.session.request(method, path, headers=sent, **content) as response:
            return Answer(response.status, response.headers, await response.read(), self.loop.time())

    async def post(self, path: str, body: Any, prefer: str | list[str] | None = None, **headers: str) -> Answer:
        return await self.request("POST", BASE + path, body, prefer, **headers)

    async def start(self, prefer: str | list[str] | None = None, headers: Any = None, **body: Any) -> Answer:
        """A job of the fake kind."""
        return await self.post("/fake/startup", body, prefer, **headers or {})

    async def get(self, path: str, prefer: str | None = None, **headers: str) -> Answer:
        return await self.request("GET", path, None, prefer, **headers)

    async def job(self, job_id: str) -> Any:
        answer = await self.get(f"{BASE}/jobs/{job_id}")
        assert answer.status == 200
        return answer.body

    async def metric(self, line: str) -> float:
        """The value of one series, 0 when it is not there."""
        text = (await self.get("/metrics")).content.decode()
        found = [each.rpartition(" ")[2] for each in text.splitlines() if each.rpartition(" ")[0] == line]
        return float(found[0]) if found else 0.0

    session: aiohttp.ClientSession
    port: int


@asynccontextmanager
async def serving(world: HttpWorld, **runner: Any) -> AsyncIterator[HttpWorld]:
    """Serves a world until the end of the block; nothing of it is left afterwards."""
    server = web.AppRunner(world.app, access_log=None, shutdown_timeout=1.0, **runner)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    world.port = server.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{world.port}") as world.session:
            yield world
            for work in world.works:
                work.end.set()
            await world.supervisor.drain(0.0)
            assert world.supervisor.broken() == []
    finally:
        await server.cleanup()


async def _to_the_end(kind: Kind, face: Context, request: web.Request) -> web.StreamResponse:
    """For callers who know no jobs."""
    outcome = await submit.carried_out(request, kind, face, await body.read_object(request))
    return outcome.response(request)
