"""Cameras: what a bad one costs good ones, what dead ones cost the event loop, and ffmpeg beside it on one camera.

    python -m benchmarks.cameras [--cameras N] [--seconds S] [--runs N] [neighbours|dead|open|cost ...]

All four parts take about three minutes, `open` and `cost` half a minute each. Everything runs on loopback on this one
machine, cameras included, so that ratios mean more than figures.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import socket
import subprocess
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.process import CameraProcess

DEAD: Final = 500
SETTLING: Final = 30.0  # seconds until the first quick retries of the dead ones are over
OPENED: Final = 8  # times that a camera is opened beside ffmpeg
CAMERA: Final = ("--size", "320x180", "--bitrate", "250000", "--gop", "1")
TICK: Final = 0.01


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: good cameras, seconds of each run, alternating runs."""

    cameras: int
    seconds: float
    runs: int


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Gateway, aiohttp.ClientSession]]:
    """A gateway with nothing in it."""
    with tempfile.TemporaryDirectory(prefix="reelgate-benchmark-") as folder:
        places = [Path(folder) / name for name in ("media", "data", "cache")]
        settings = Settings(
            http_port=0, media_dir=places[0], data_dir=places[1], cache_dir=places[2], jobs_max_pending=1000
        )
        async with Gateway(settings) as running, aiohttp.ClientSession() as session:
            gc.freeze()  # as `serve` does
            try:
                yield running, session
            finally:
                gc.unfreeze()


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


async def neighbours(size: Size) -> None:
    """Good cameras with and without one that swallows packets, in alternating runs."""
    print(
        f"{size.cameras} good cameras, {size.runs} alternating runs of {size.seconds:g} s, one swallows packets or not"
    )
    kept: dict[bool, tuple[list[float], list[float]]] = {False: ([], []), True: ([], [])}
    with CameraProcess(*CAMERA) as camera:
        for _ in range(size.runs):
            for bad in (False, True):
                async with gateway() as (running, session), black_hole() as port:
                    hole = asyncio.create_task(_keep_trying(running, session, port)) if bad else None
                    names = [f"good{number}" for number in range(size.cameras)]
                    # Distinct addresses of one camera; each alone, or they would wait for a slot of the jobs.
                    opened = [await start(running, session, f"{camera.url}?n={name}", name) for name in names]
                    found = await gaps(running, names, size.seconds)
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


async def dead(size: Size) -> None:
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
                await asyncio.sleep(SETTLING)
            before, began = os.times(), time.monotonic()
            late, own = await lag(size.seconds * 2 if count else 3.0)
            after, passed = os.times(), time.monotonic() - began
            cpu = (after.user - before.user + after.system - before.system) / passed * 100
            since = time.time() - passed
            tried = sum(_since(stream.record()["attempts"], since) for stream in running.catalog.streams())
            figures = f"{percentile(late, 99) * 1000:12.1f}{percentile(own, 99) * 1000:12.1f}"
            print(f"{word:22}{figures}{cpu:18.1f}{tried / passed:12.1f}")


def _since(attempts: list[dict[str, Any]], unix: float) -> int:
    return sum(datetime.fromisoformat(each["at"]).timestamp() >= unix for each in attempts)


async def opening(_: Size) -> None:
    """From the call to the first key frame, beside ffmpeg to its first written fragment."""
    print("from the call to the first key frame, s; ffmpeg -i ... -c copy with its defaults to its first fragment")
    ours, theirs = [], []
    with CameraProcess(*CAMERA) as camera:
        async with gateway() as (running, session):
            for number in range(OPENED):
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


async def cost(size: Size) -> None:
    """CPU and proportional memory of some cameras, beside one ffmpeg -c copy -f mp4 for each at the same time."""
    count = size.cameras
    print(f"{count} cameras for {size.seconds:g} s: CPU in % of a core and proportional memory in MB, for each camera")
    with CameraProcess(*CAMERA) as camera:
        async with gateway() as (running, session):
            for number in range(count):
                await start(running, session, f"{camera.url}?n={number}", f"cost{number}")
            processes = [await _ffmpeg_copies(camera.url) for _ in range(count)]
            await asyncio.sleep(6)
            # In one window, so that what else the machine does is the same for both.
            ours, own, theirs = await asyncio.gather(
                _measure(running.workers.pids()[:-1], size.seconds),
                _measure([os.getpid()], size.seconds),
                _measure([process.pid for process in processes], size.seconds),
            )
            held = sum([await _held(running, name) for name in _names(running)])
            for process in processes:
                process.kill()
                await process.wait()
    print(f"{'':28}{'CPU':>8}{'memory':>10}")
    print(f"{'worker':28}{ours[0] / count:8.2f}{ours[1] / count:10.1f}")
    rings = f"(rings hold {held / count / 1e6:.2f} MB of it)"
    print(f"{'gateway, its share':28}{own[0] / count:8.2f}{own[1] / count:10.1f}   {rings}")
    print(f"{'ffmpeg':28}{theirs[0] / count:8.2f}{theirs[1] / count:10.1f}")
    print(f"{'ratio, worker':28}{ours[0] / theirs[0]:8.2f}{ours[1] / theirs[1]:10.2f}")
    print(f"{'ratio, worker and share':28}{(ours[0] + own[0]) / theirs[0]:8.2f}{(ours[1] + own[1]) / theirs[1]:10.2f}")


async def _ffmpeg_copies(url: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *("ffmpeg", "-nostdin", "-v", "error", "-i", url, "-c", "copy", "-f", "mp4", "-y"),
        *("-movflags", "frag_keyframe+empty_moov", os.devnull),
    )


def _names(running: Gateway) -> list[str]:
    return [stream.identity.name for stream in running.catalog.streams()]


async def _held(running: Gateway, name: str) -> int:
    """Bytes of the chunks that a ring holds."""
    ring = running.catalog.ring(name)
    if ring is None or not ring.segments():
        return 0
    found = [await ring.chunk(number) for number in range(ring.segments()[0].first, ring.head)]
    return sum(len(chunk.data) for chunk in found if chunk is not None)


async def _measure(pids: list[int], seconds: float) -> tuple[float, float]:
    """CPU in percent of a core, and PSS in MB, of all of them together."""
    before = sum(map(_ticks, pids))
    began = time.monotonic()
    await asyncio.sleep(seconds)
    cpu = (sum(map(_ticks, pids)) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began) * 100
    return cpu, sum(map(_pss, pids)) / 1024


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


PARTS: Final[dict[str, Callable[[Size], Coroutine[Any, Any, None]]]] = {
    "neighbours": neighbours,
    "dead": dead,
    "open": opening,
    "cost": cost,
}


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all when none is named")
    parser.add_argument("--cameras", type=int, default=30, help="good ones (30)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (8)")
    parser.add_argument("--runs", type=int, default=3, help="with and without a bad neighbour, alternating (3)")
    asked = parser.parse_args()
    if not set(asked.parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    logging.disable(logging.WARNING)  # a line for each failed attempt would hide the figures
    for name in asked.parts or PARTS:
        print(json.dumps({"part": name, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}), flush=True)
        asyncio.run(PARTS[name](Size(asked.cameras, asked.seconds, asked.runs)))
        print(flush=True)


if __name__ == "__main__":
    main()
