"""What viewers cost, as a table: `python -m benchmarks.viewers`. As root it needs Debian's nginx-light and wrk.

Segments of 500 kB and parts of 20 kB are served by the gateway, by a bare aiohttp handler and, the same bytes from
disk, by nginx, in turn in the same run, all on one core with wrk on another. Then 200 viewers watch a stream of
2 Mbit/s over WebSocket, and 200 play low-latency HLS as a player does: each waits for every part and reloads for it.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.loops import SETTLE, cpu, gateway, load, start
from media.faultcamera import sample
from media.faultcamera.settings import ClipSettings

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1
NGINX_PORT: Final = 18082
BARE_PORT: Final = 18083
CONNECTIONS: Final = 16
STREAMS: Final = {"segments": 2_000_000, "parts": 500_000}  # bits a second: 500 kB in 2 s, 20 kB in a third of one
ROUNDS: Final = 3
NGINX: Final = """daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


@dataclass(frozen=True)
class Size:
    """`seconds` of each measurement, and how many viewers there are in each of the last two."""

    seconds: int
    viewers: int


@dataclass(frozen=True)
class Server:
    """Where it listens, and its processes."""

    base: str
    pids: list[int]


@dataclass(frozen=True)
class Rate:
    """Requests a second, and microseconds of the server's CPU for each."""

    each: float
    cpu: float


@dataclass
class Latencies:
    """Seconds from the moment that a part could first be had until a viewer had it; `errors` are answers but 200."""

    seconds: list[float] = field(default_factory=list)
    loads: int = 0
    errors: int = 0


def pin(pid: int, core: int) -> None:
    """All threads of a process to one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


@asynccontextmanager
async def served(command: list[str], port: int) -> AsyncIterator[Server]:
    """Another server, on the gateway's core."""
    process = await asyncio.create_subprocess_exec("taskset", "-c", str(SERVER_CORE), *command)
    try:
        await asyncio.sleep(1)
        yield Server(f"http://127.0.0.1:{port}", [process.pid, *children(process.pid)])
    finally:
        process.terminate()
        await process.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def wrk(server: Server, path: str, seconds: int) -> Rate:
    """What one server makes of it for so long."""
    url = f"{server.base}{path}"
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url]
    before = sum(map(cpu, server.pids))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out = (await process.communicate())[0].decode()
    found, count = re.search(r"Requests/sec:\s+([\d.]+)", out), re.search(r"(\d+) requests in", out)
    if found is None or count is None or "Non-2xx" in out:
        raise RuntimeError(out)
    return Rate(float(found[1]), 1e6 * (sum(map(cpu, server.pids)) - before) / int(count[1]))


async def newest(session: aiohttp.ClientSession, base: str, name: str, kind: str) -> str:
    """The path of the newest segment or part."""
    async with session.get(f"{base}/live/{name}/media.m3u8") as answer:
        text = await answer.text()
    found = re.findall(r"^segment\S+" if kind == "segments" else r'EXT-X-PART:\S+URI="([^"]+)"', text, re.MULTILINE)
    return f"/live/{name}/{found[-1]}"


async def beside_others(session: aiohttp.ClientSession, ours: Server, folder: Path, size: Size) -> None:
    """Prints the rates of all three, in turn, and their ratios, of segments and of parts."""
    config, same = folder / "nginx.conf", folder / "same"
    same.touch()
    config.write_text(NGINX.format(folder=folder, port=NGINX_PORT))
    bare = [sys.executable, "-m", "benchmarks.bare", str(BARE_PORT), str(same)]
    async with served(["nginx", "-c", str(config)], NGINX_PORT) as nginx, served(bare, BARE_PORT) as aiohttps:
        for kind in STREAMS:
            rates: dict[str, list[Rate]] = {"gateway": [], "bare aiohttp": [], "nginx": []}
            for _ in range(ROUNDS):
                path = await newest(session, ours.base, kind, kind)
                async with session.get(f"{ours.base}{path}") as answer:
                    data = await answer.read()
                await asyncio.to_thread(same.write_bytes, data)
                rates["gateway"].append(await wrk(ours, path, size.seconds))
                rates["bare aiohttp"].append(await wrk(aiohttps, "/same", size.seconds))
                rates["nginx"].append(await wrk(nginx, "/same", size.seconds))
            print(f"{kind} of {len(data) / 1000:.0f} kB", flush=True)
            for name, found in rates.items():
                pairs = list(zip(found, rates["nginx"], strict=True))
                each = statistics.median(rate.each for rate in found)
                print(
                    f"  {name:14} {each:7.0f} a second, {each * len(data) / 1e6:5.0f} MB/s, "
                    f"{statistics.median(rate.cpu for rate in found):5.0f} us of CPU each; beside nginx "
                    f"{statistics.median(mine.each / his.each for mine, his in pairs):.2f} times, "
                    f"{statistics.median(his.cpu / mine.cpu for mine, his in pairs):.2f} by CPU",
                    flush=True,
                )


async def by_socket(session: aiohttp.ClientSession, base: str, pid: int, size: Size) -> None:
    """Prints the CPU of each viewer over WebSocket."""
    idle = await load([pid], size.seconds)
    received = 0

    async def watch() -> None:
        nonlocal received
        async with session.ws_connect(f"{base}/live/segments/mse", max_msg_size=0) as socket:
            async for message in socket:
                received += len(message.data)

    tasks = [asyncio.create_task(watch()) for _ in range(size.viewers)]
    await asyncio.sleep(SETTLE)
    before, began = received, time.monotonic()
    used = await load([pid], size.seconds)
    rate = (received - before) * 8 / (time.monotonic() - began) / size.viewers
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    each = 100 * (used - idle) / size.viewers
    print(f"{size.viewers} over WebSocket: {each:.3f} % of a core each, {rate / 1e6:.2f} Mbit/s received", flush=True)


async def play(session: aiohttp.ClientSession, base: str, until: float, found: Latencies) -> None:
    """One low-latency HLS player: the hinted part and the reload that lists it, again and again."""
    text = await (await session.get(f"{base}/media.m3u8")).text()
    while time.monotonic() < until:
        hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
        segments = re.findall(r"^segment-(\d+)", text, re.MULTILINE)
        assert hint is not None
        opened = text[text.rindex("segment-") :].count("EXT-X-PART:")
        reload = f"{base}/media.m3u8?_HLS_msn={int(segments[-1]) + 1}&_HLS_part={opened}"
        async with asyncio.TaskGroup() as group:
            part = group.create_task(fetched(session, f"{base}/{hint[1]}"))
            listed = group.create_task(fetched(session, reload))
        found.errors += (part.result()[0] != 200) + (listed.result()[0] != 200)
        found.seconds.append(part.result()[2])
        found.loads += 1
        text = listed.result()[1].decode()


async def fetched(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes, float]:
    """Status, body, and when it was there."""
    async with session.get(url) as answer:
        return answer.status, await answer.read(), time.monotonic()


async def by_parts(session: aiohttp.ClientSession, base: str, pid: int, size: Size) -> None:
    """Prints the CPU of low-latency players, and how far apart they get the same part."""
    found = [Latencies() for _ in range(size.viewers)]
    until = time.monotonic() + SETTLE + size.seconds
    tasks = [asyncio.create_task(play(session, f"{base}/live/segments", until, each)) for each in found]
    await asyncio.sleep(SETTLE)
    used = await load([pid], size.seconds - 1)
    await asyncio.gather(*tasks)
    loads, errors = sum(each.loads for each in found), sum(each.errors for each in found)
    spread = sorted(spreads([each.seconds for each in found]))
    rate = loads / (SETTLE + size.seconds) / size.viewers
    print(
        f"{size.viewers} by low-latency HLS: {100 * used:.0f} % of a core in all, {rate:.2f} parts a second each, "
        f"{errors} errors; behind the first who has it: median {1000 * spread[len(spread) // 2]:.0f} ms, "
        f"95th percentile {1000 * spread[int(0.95 * len(spread))]:.0f} ms",
        flush=True,
    )


def spreads(seconds: list[list[float]]) -> list[float]:
    """How long after the first viewer of the same part each had it: moments less than 0.2 s apart are of one part."""
    found, first = [], 0.0
    for moment in sorted(moment for each in seconds for moment in each):
        if moment - first > 0.2:
            first = moment
        found.append(moment - first)
    return found


def prepare(folder: Path) -> None:
    folder.chmod(0o755)  # nginx's worker is somebody else
    (folder / "media").mkdir()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only-rates", action="store_true", help="leave out the viewers")
    parser.add_argument("--viewers", type=int, default=200)
    given = parser.parse_args()
    size = Size(given.seconds, given.viewers)
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}; as root: apt-get install nginx-light wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await asyncio.to_thread(prepare, folder)
        for stream, bitrate in STREAMS.items():
            path = folder / "media" / f"{stream}.mp4"
            await asyncio.to_thread(sample.write_video, path, settings=ClipSettings(bitrate=bitrate))
        connector = aiohttp.TCPConnector(limit=0)
        async with gateway(folder) as (base, pid), aiohttp.ClientSession(connector=connector) as session:
            pin(pid, SERVER_CORE)
            pin(os.getpid(), CLIENT_CORE)
            for stream in STREAMS:
                await start(session, base, stream, f"{stream}.mp4")
            await asyncio.sleep(SETTLE)
            await beside_others(session, Server(base, [pid]), folder, size)
            if given.only_rates:
                return
            await by_socket(session, base, pid, size)
            await by_parts(session, base, pid, size)


if __name__ == "__main__":
    asyncio.run(main())
