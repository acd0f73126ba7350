"""Jobs: what the contract costs beside a bare handler, beside many retained jobs, and with a thousand in flight.

    python -m benchmarks.jobs [rate|retained|flight|cancel|growth ...]      (all, in some two minutes)

The gateway's face, supervisor and store are the real ones, on works that do what a script says; `cancel` has a whole
gateway and real workers. Callers are a process of their own on the same machine, so that ratios mean more than figures.
"""

import asyncio
import gc
import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any, Final, cast

import aiohttp
from aiohttp import web

from gateway import garbage
from gateway.app import Gateway
from gateway.jobs.core import Limits
from gateway.jobs.feed import Feed
from gateway.jobs.job import Progress, time_of_day
from gateway.jobs.storage.store import Store
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services
from gateway.prefer import PreferLimits as PreferLimits
from gateway.settings import Settings
from gateway.web import problems
from gateway.web.calls import jobs, submit
from gateway.web.context import BASE, Context
from gateway.web.observe.events import News
from gateway.web.observe.metrics import Metrics
from media.catalog import Catalog

REQUESTS: Final = 1600
CONNECTIONS: Final = 16
RUNS: Final = 3
RETAINED: Final = 100_000
IN_FLIGHT: Final = 1000
STUCK: Final = 50
GROWTH: Final = 4992


class ScriptParams(Params):
    """`seconds` of work."""

    seconds: float = 0.0
    name: str = ""


class ScriptWork:
    """Sleeps, and is gone at once when it is stopped."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def run(self, progress: Progress) -> None:
        del progress
        if self._seconds:
            await asyncio.sleep(self._seconds)

    def publish(self) -> dict[str, Any]:
        return {"name": "lobby", "status": "LIVE", "slept": self._seconds}

    async def stop(self) -> None:
        """Holds nothing."""

    def kill(self) -> None:
        """Ends by itself."""


async def plan(params: ScriptParams, ask: Ask, parts: Services) -> Plan:
    """Nothing to look at."""
    del ask, parts
    return Plan((), {"name": params.name}, ScriptWork(params.seconds))


async def bare(request: web.Request) -> web.StreamResponse:
    """What a job method is compared with: parses JSON and answers JSON."""
    content = await request.json()
    return web.json_response({"name": "lobby", "status": "LIVE", "slept": content["seconds"]})


@asynccontextmanager
async def face(limits: Limits) -> AsyncIterator[tuple[str, Store]]:
    """A served face with a store on disk; gives its address."""
    with tempfile.TemporaryDirectory(prefix="reelgate-benchmark-") as folder:
        store = Store(Path(folder) / "reelgate.db")
        await store.open()
        supervisor = Supervisor(limits, store, max_waiters=2 * IN_FLIGHT)
        feed, metrics = Feed(), Metrics()
        supervisor.observers += [News(supervisor, feed), metrics]
        parts = cast(Services, SimpleNamespace(catalog=Catalog()))
        shared = Context(supervisor, store, parts, PreferLimits(5, 60), feed, metrics)
        kind = Kind("script", "/script", "camera", ScriptParams, plan)
        app = web.Application(middlewares=[problems.middleware])
        app.add_routes([web.post(f"{BASE}/script", submit.handler(kind, shared)), web.post("/bare", bare)])
        app.add_routes(jobs.routes(shared))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        garbage.settle()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", store
        await supervisor.drain(0.0)
        await runner.cleanup()
        await store.close()


async def load(url: str, path: str, *bodies: Any, requests: int = REQUESTS) -> tuple[float, float]:
    """Requests a second, and the median latency in ms, as a process of callers sees them; it sends these in turn."""
    arguments = [url, path, json.dumps(bodies), str(requests)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.jobs", "callers", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    rate, latency = output.split()
    return float(rate), float(latency)


async def callers(url: str, path: str, bodies: str, requests: int) -> None:
    """The other process: each connection asks again as soon as it is answered."""
    host, _, port = url.removeprefix("http://").partition(":")
    contents = [json.dumps(body) for body in json.loads(bodies)]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    asked = cycle([f"{head}{len(content)}\r\n\r\n{content}".encode() for content in contents])
    latencies: list[float] = []

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(count):
            began = time.perf_counter()
            writer.write(next(asked))
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(requests // CONNECTIONS) for _ in range(CONNECTIONS)))
    print(len(latencies) / (time.perf_counter() - began), median(latencies) * 1000)


async def rate() -> None:
    """A job that ends at once, and a find, against the bare handler."""
    async with face(Limits(max_running=64, max_pending=1000)) as (url, _):
        rates: dict[str, list[float]] = {"bare": [], "job": [], "find": []}
        for _ in range(RUNS):
            rates["bare"].append((await load(url, "/bare", {"seconds": 0}))[0])
            rates["job"].append((await load(url, f"{BASE}/script", {"seconds": 0}))[0])
            async with aiohttp.ClientSession(url) as session, session.post(f"{BASE}/script", json={}) as answer:
                job_id = answer.headers["Job-Id"]
            rates["find"].append((await load(url, f"{BASE}/jobs/find", {"id": job_id}))[0])
        usual = {name: median(values) for name, values in rates.items()}
        print("rate:", ", ".join(f"{name} {value:.0f}/s" for name, value in usual.items()))
        print(f"  job / bare {usual['job'] / usual['bare']:.2f}, find / bare {usual['find'] / usual['bare']:.2f}")


async def retained() -> None:
    """Finding jobs among many against finding them among few, all of an earlier life: they are read from the disk."""
    latencies = {}
    for count in (100, RETAINED):
        async with face(Limits()) as (url, store):
            for number in range(count):
                store.save_job(finished(number), b'{"name":"lobby"}')
                if number % 5000 == 4999:
                    await store.flush()
            await store.flush()
            asked = [{"id": f"{random.randrange(count):032x}"} for _ in range(REQUESTS)]
            latencies[count] = median([(await load(url, f"{BASE}/jobs/find", *asked))[1] for _ in range(RUNS)])
    few, many = latencies.values()
    print(f"retained: find among 100 {few:.2f} ms, among {RETAINED} {many:.2f} ms, ratio {many / few:.2f}")


def finished(number: int) -> dict[str, Any]:
    """The record of a job that is done."""
    at = time_of_day(time.time())
    record: dict[str, Any] = dict.fromkeys(("cancelReason", "queuePosition", "error"), None)
    record |= {"id": f"{number:032x}", "revision": number + 1, "state": "DONE", "kind": "script", "httpStatus": 200}
    return record | {"createdAt": at, "finishedAt": at, "expiresAt": time_of_day(time.time() + 86400)}


async def flight() -> None:
    """A thousand jobs in flight, arriving over 10 s: how late 202 and CANCELLED are."""
    async with face(Limits(max_running=IN_FLIGHT, max_pending=IN_FLIGHT)) as (url, _):
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.jobs", "passengers", url)
        await process.wait()


async def passengers(url: str) -> None:
    """The other process: one caller for each job, held by `wait`, then by a long poll until the end."""
    late: dict[str, list[float]] = {"202": [], "CANCELLED": []}
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one_flight(session, number * 10 / IN_FLIGHT, late) for number in range(IN_FLIGHT)))
    for name, values in late.items():
        print(f"flight: {name} after {'wait' if name == '202' else 'timeout'}: {spread(values)}")


async def one_flight(session: aiohttp.ClientSession, delay: float, late: dict[str, list[float]]) -> None:
    await asyncio.sleep(delay)
    began = time.perf_counter()
    headers = {"Prefer": "wait=3, timeout=12"}
    async with session.post(f"{BASE}/script", json={"seconds": 600}, headers=headers) as answer:
        job = await answer.json()
        late["202"].append(time.perf_counter() - began - 3)
    while job["httpStatus"] is None:
        async with session.get(f"{BASE}/jobs/{job['id']}", headers={"Prefer": "wait=5"}) as answer:
            job = await answer.json()
    late["CANCELLED"].append(job["elapsedMs"] / 1000 - 12)


async def cancel() -> None:
    """Cameras that say nothing, a stuck worker for each of 50 jobs, all cancelled at once: to reaped and answered."""
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="reelgate-benchmark-") as folder:
        media, data, cache = (Path(folder) / name for name in ("media", "data", "cache"))
        settings = Settings(http_port=0, jobs_max_running=STUCK, media_dir=media, data_dir=data, cache_dir=cache)
        async with Gateway(settings) as gateway, aiohttp.ClientSession(f"{gateway.url}{BASE}/") as session:
            jobs = await asyncio.gather(*(stuck(session, port, number) for number in range(STUCK)))
            await asyncio.sleep(5)  # all are forked, and in the middle of SETUP
            print(f"cancel: {gateway.workers.alive} workers are stuck")
            took = await asyncio.gather(*(ended(session, job) for job in jobs))
            print(
                f"cancel: {STUCK} at once, to reaped and answered: {spread(took)}; workers left {gateway.workers.alive}"
            )
    silent.close()


async def stuck(session: aiohttp.ClientSession, port: int, number: int) -> str:
    body = {"uri": f"rtsp://127.0.0.1:{port}/{number}", "localStreamName": f"camera-{number}", "preflight": False}
    async with session.post("rtsp/startup", json=body, headers={"Prefer": "wait=0"}) as answer:
        return answer.headers["Job-Id"]


async def ended(session: aiohttp.ClientSession, job: str) -> float:
    """Seconds from the request to terminate to CANCELLED, which is said when the worker is reaped."""
    began = time.perf_counter()
    async with session.post("jobs/terminate", json={"id": job}) as answer:
        record = await answer.json()
    if record["state"] != "CANCELLED":
        raise RuntimeError(record)
    return time.perf_counter() - began


async def growth() -> None:
    """What 5,000 jobs leave behind, after the first ones filled what is kept of the newest; five times."""
    async with face(Limits(max_running=64, max_pending=1000)) as (url, _):
        for number in range(6):
            await load(url, f"{BASE}/script", {"seconds": 0}, requests=GROWTH)
            await asyncio.sleep(0.5)  # the last ones leave memory when they are on disk
            gc.collect()
            print(f"growth: after {(number + 1) * GROWTH} jobs {holdings()}")


def holdings() -> str:
    """What this process holds."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    files, tasks = len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())
    return f"{resident:.1f} MB, {files} files, {tasks} tasks, {threading.active_count()} threads"


def spread(values: list[float]) -> str:
    """Median and p99 in ms."""
    return f"median {median(values) * 1000:.0f} ms, p99 {quantiles(values, n=100)[98] * 1000:.0f} ms"


PARTS: Final = {"rate": rate, "retained": retained, "flight": flight, "cancel": cancel, "growth": growth}


async def main(names: list[str]) -> None:
    """Runs the named parts one after another."""
    for name in names or list(PARTS):
        part: Coroutine[Any, Any, None] = PARTS[name]()
        await part


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1:2] in (["callers"], ["passengers"]):
        gc.disable()  # of what is measured here nothing is the measuring process's own
    if sys.argv[1:2] == ["callers"]:
        url, path, bodies, requests = sys.argv[2:6]
        asyncio.run(callers(url, path, bodies, int(requests)))
    elif sys.argv[1:2] == ["passengers"]:
        asyncio.run(passengers(sys.argv[2]))
    else:
        asyncio.run(main(sys.argv[1:]))
