"""Cameras: what a bad one costs good ones, what dead ones cost the event loop, and ffmpeg beside it on one camera.

    python -m benchmarks.cameras [neighbours|dead|open|cost ...]      (all four, in some four minutes)

Everything runs on loopback on this one machine, cameras included, so that ratios mean more than figures.
"""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp

from gateway.app import Gateway
from gateway.settings import Settings
from media.camera.process import CameraProcess

GOOD: Final = 30
DEAD: Final = 500
RUNS: Final = 3
WATCHED: Final = 12.0  # seconds of each run
CAMERA: Final = ("--size", "320x180", "--bitrate", "250000", "--gop", "1")
TICK: Final = 0.01


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Gateway, aiohttp.ClientSession]]:
    """A gateway with nothing in it."""
    with tempfile.TemporaryDirectory(prefix="reelgate-benchmark-") as folder:
        places = [Path(folder) / name for name in ("media", "data", "cache")]
        settings = Settings(
            http_port=0, media_dir=places[0], data_dir=places[1], cache_dir=places[2], jobs_max_pending=1000
        )
        async with Gateway(settings) as running, aiohttp.ClientSession() as session:
            yield running, session


async def start(running: Gateway, session: aiohttp.ClientSession, url: str, name: str, wait: int = 5) -> float:
    """Opens a camera; seconds from the call to its answer."""
    began = time.monotonic()
    body = {"uri": url, "localStreamName": name}
    headers = {"Prefer": f"wait={wait}, timeout=60"}
    async with session.post(f"{running.url}/rest-api/v3/rtsp/startup", json=body, headers=headers) as answer:
        await answer.read()
    return time.monotonic() - began


async def gaps(running: Gateway, names: list[str], seconds: float) -> list[float]:
    """Seconds between the arrival of one chunk and the next, of each stream."""

    async def one(name: str) -> list[float]:
        ring = running.catalog.ring(name)
        if ring is None:
            raise RuntimeError(f"{name} is not there")
        end, at, found = time.monotonic() + seconds, 0.0, []
        while time.monotonic() < end and await ring.wait(ring.head):
            now = time.monotonic()
            if at:
                found.append(now - at)
            at = now
        return found

    return [gap for each in await asyncio.gather(*map(one, names)) for gap in each]


async def lag(seconds: float) -> tuple[list[float], list[float]]:
    """By how many seconds a timer of the loop is late, again and again, and how much CPU the loop used meanwhile.

    On a machine with other work the first is mostly theirs; the second is the loop's own share of it.
    """
    loop = asyncio.get_running_loop()
    late, own = [], []
    end = loop.time() + seconds
    while loop.time() < end:
        due, used = loop.time() + TICK, time.thread_time()
        await asyncio.sleep(TICK)
        late.append(loop.time() - due)
        own.append(time.thread_time() - used)
    return late, own


def percentile(values: list[float], percent: int) -> float:
    """`percent` from 1 to 99."""
    return quantiles(values, n=100)[percent - 1]


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port whose backlog is full: packets to it are swallowed."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = int(listener.getsockname()[1])
    waiting = [socket.socket() for _ in range(8)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    try:
        yield port
    finally:
        for each in (listener, *waiting):
            each.close()


async def neighbours() -> None:
    """Good cameras with and without one that swallows packets, in alternating runs."""
    print(
        f"{GOOD} good cameras, {RUNS} alternating runs of {WATCHED:.0f} s: without, and with one that swallows packets"
    )
    kept: dict[bool, tuple[list[float], list[float]]] = {False: ([], []), True: ([], [])}
    with CameraProcess(*CAMERA) as camera:
        for _ in range(RUNS):
            for bad in (False, True):
                async with gateway() as (running, session), black_hole() as port:
                    hole = asyncio.create_task(_keep_trying(running, session, port)) if bad else None
                    names = [f"good{number}" for number in range(GOOD)]
                    # Distinct addresses of one camera; each alone, or they would wait for a slot of the jobs.
                    opened = [await start(running, session, f"{camera.url}?n={name}", name) for name in names]
                    found = await gaps(running, names, WATCHED)
                    kept[bad][0].extend(opened)
                    kept[bad][1].extend(found)
                    if hole is not None:
                        hole.cancel()
                        await asyncio.wait({hole})
    print(f"{'':24}{'without':>10}{'with':>10}{'ratio':>8}")
    for index, what in enumerate(("open, s", "gap of chunks, s")):
        for word, figure in (("median", median), ("95th", lambda values: percentile(values, 95))):
            without, with_it = figure(kept[False][index]), figure(kept[True][index])
            print(f"{what:18}{word:>6}{without:10.3f}{with_it:10.3f}{with_it / without:8.2f}")


async def _keep_trying(running: Gateway, session: aiohttp.ClientSession, port: int) -> None:
    while True:
        await start(running, session, f"rtsp://127.0.0.1:{port}/hole", "hole", wait=5)


async def dead() -> None:
    """Cameras that are wanted and do not exist, beside nothing else."""
    from gateway.kinds.rtsp import restore  # what a restart does: wanted, without a job

    print(f"{DEAD} dead cameras that are tried again and again")
    print(f"{'':22}{'lag p99, ms':>12}{'own p99, ms':>12}{'CPU, % of a core':>18}{'attempts/s':>12}")
    async with gateway() as (running, _):
        for word, count in (("none", 0), ("dead", DEAD)):
            for number in range(count):
                # Hosts of their own, as dead cameras have; nobody listens at port 9 of any of them.
                host = f"127.1.{number // 250}.{number % 250 + 1}"
                identity = {
                    "name": f"dead{number}",
                    "kind": "rtsp",
                    "uri": f"rtsp://{host}:9/live",
                    "has_credentials": False,
                    "created_at": time.time(),
                }
                camera = {"uri": f"rtsp://{host}:9/live", "password": ""}
                restore({"identity": identity, "camera": camera}, running.parts)
            if count:
                await asyncio.sleep(60)  # until the first quick retries are over
            before, began = os.times(), time.monotonic()
            late, own = await lag(30.0 if count else 5.0)
            after, passed = os.times(), time.monotonic() - began
            cpu = (after.user - before.user + after.system - before.system) / passed * 100
            since = time.time() - passed
            tried = sum(_since(stream.record()["attempts"], since) for stream in running.catalog.streams())
            figures = f"{percentile(late, 99) * 1000:12.1f}{percentile(own, 99) * 1000:12.1f}"
            print(f"{word:22}{figures}{cpu:18.1f}{tried / passed:12.1f}")


def _since(attempts: list[dict[str, Any]], unix: float) -> int:
    return sum(datetime.fromisoformat(each["at"]).timestamp() >= unix for each in attempts)


async def opening() -> None:
    """From the call to the first key frame, beside ffmpeg to its first written fragment."""
    print("from the call to the first key frame, s; ffmpeg -i ... -c copy with its defaults to its first fragment")
    ours, theirs = [], []
    with CameraProcess(*CAMERA) as camera:
        async with gateway() as (running, session):
            for number in range(10):
                ours.append(await start(running, session, f"{camera.url}?n={number}", f"open{number}"))
                theirs.append(await _ffmpeg_opens(camera.url))
    print(f"{'':10}{'reelgate':>10}{'ffmpeg':>10}{'ratio':>8}")
    print(f"{'median':10}{median(ours):10.3f}{median(theirs):10.3f}{median(ours) / median(theirs):8.2f}")


async def _ffmpeg_opens(url: str) -> float:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-nostdin", "-v", "error", "-i", url, "-c", "copy", "-f", "mp4"),
        *("-movflags", "frag_keyframe+empty_moov", "-"),
        stdout=subprocess.PIPE,
    )
    seen = b""
    assert process.stdout is not None
    while b"moof" not in seen:
        seen += await process.stdout.read(65536)
    passed = time.monotonic() - began
    process.kill()
    await process.communicate()
    return passed


async def cost() -> None:
    """CPU and proportional memory of thirty cameras, beside one ffmpeg -c copy -f mp4 for each."""
    print(f"{GOOD} cameras for {WATCHED:.0f} s: CPU in % of a core and proportional memory in MB, for each camera")
    with CameraProcess(*CAMERA) as camera:
        async with gateway() as (running, session):
            for number in range(GOOD):
                await start(running, session, f"{camera.url}?n={number}", f"cost{number}")
            ours = await _measure(running.workers.pids()[:-1])
            own = await _measure([os.getpid()])
            held = sum([await _held(running, name) for name in _names(running)])
        processes = [
            await asyncio.create_subprocess_exec(
                *("ffmpeg", "-nostdin", "-v", "error", "-i", camera.url, "-c", "copy", "-f", "mp4", "-y"),
                *("-movflags", "frag_keyframe+empty_moov", os.devnull),
            )
            for _ in range(GOOD)
        ]
        await asyncio.sleep(8)
        theirs = await _measure([process.pid for process in processes])
        for process in processes:
            process.kill()
            await process.wait()
    shared = own[0] / GOOD
    print(f"{'':28}{'CPU':>8}{'memory':>10}")
    print(f"{'worker':28}{ours[0] / GOOD:8.2f}{ours[1] / GOOD:10.1f}")
    print(
        f"{'gateway, its share':28}{shared:8.2f}{own[1] / GOOD:10.1f}   (rings hold {held / GOOD / 1e6:.2f} MB of it)"
    )
    print(f"{'ffmpeg':28}{theirs[0] / GOOD:8.2f}{theirs[1] / GOOD:10.1f}")
    print(f"{'ratio, worker and share':28}{(ours[0] + own[0]) / theirs[0]:8.2f}{(ours[1] + own[1]) / theirs[1]:10.2f}")


def _names(running: Gateway) -> list[str]:
    return [stream.identity.name for stream in running.catalog.streams()]


async def _held(running: Gateway, name: str) -> int:
    """Bytes of the chunks that a ring holds."""
    ring = running.catalog.ring(name)
    if ring is None or not ring.segments():
        return 0
    found = [await ring.chunk(number) for number in range(ring.segments()[0].first, ring.head)]
    return sum(len(chunk.data) for chunk in found if chunk is not None)


async def _measure(pids: list[int]) -> tuple[float, float]:
    """CPU in percent of a core, and PSS in MB, of all of them together."""
    before = sum(map(_ticks, pids))
    began = time.monotonic()
    await asyncio.sleep(WATCHED)
    cpu = (sum(map(_ticks, pids)) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began) * 100
    return cpu, sum(map(_pss, pids)) / 1024


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


PARTS: Final[dict[str, Callable[[], Coroutine[Any, Any, None]]]] = {
    "neighbours": neighbours,
    "dead": dead,
    "open": opening,
    "cost": cost,
}


def main() -> None:
    """Runs the parts that are named, or all."""
    logging.disable(logging.WARNING)  # a line for each failed attempt would hide the figures
    load = os.getloadavg()
    print(json.dumps({"cores": os.cpu_count(), "load": load[0]}))
    for name in sys.argv[1:] or PARTS:
        asyncio.run(PARTS[name]())
        print(flush=True)


if __name__ == "__main__":
    main()
