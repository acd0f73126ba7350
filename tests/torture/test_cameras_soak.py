"""Twenty cameras that misbehave at random, for as long as it takes to see a leak."""

import asyncio
import csv
import logging
import os
import random
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import linear_regression, median

import pytest

from gateway.jobs import feed
from media.faultcamera.server import Camera
from media.process.workers import Workers
from tests.support.processes import open_files, until
from tests.support.torture_cameras import camera, gateway, start

pytestmark = [pytest.mark.media, pytest.mark.soak]

CAMERAS = 20
MINUTES = float(os.environ.get("REELGATE_SOAK_MINUTES", "30"))
KEPT = os.environ.get("REELGATE_SOAK_SAMPLES")  # a CSV file, for `python -m benchmarks.plot`
SETTLED = 0.4  # of the time: the figures of ten minutes are full, and every kind of fault has been there
STEEPEST = 0.05  # of the memory, in the rest of the time: what noise may look like

PLAN: tuple[Callable[[Camera], None], ...] = (
    Camera.drop,
    Camera.stall,
    Camera.heal,
    Camera.heal,
    Camera.heal,
    Camera.change_size,
    Camera.mute_audio,
    lambda peer: peer.jump_clock(random.uniform(-1e5, 1e5)),
    lambda peer: peer.spike_clock(9800.0),
    lambda peer: peer.silent("DESCRIBE"),
    lambda peer: peer.answer("SETUP", 453),
    lambda peer: peer.drop_each(3.0),
    Camera.garble,
)


@dataclass(frozen=True)
class Sample:
    """One look: memory in MB of this process (the gateway's, the cameras' and the test's) and of all workers."""

    minutes: float
    memory: float
    workers_memory: float
    open_files: int
    processes: int
    threads: int


def look(minutes: float, workers: Workers) -> Sample:
    pids = workers.pids()
    shared = sum(map(_proportional, pids))
    return Sample(round(minutes, 3), _resident(), round(shared, 1), open_files(), len(pids), threading.active_count())


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _proportional(pid: int) -> float:
    with suppress(OSError):  # it has ended meanwhile
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1e3
    return 0.0


def keep(samples: list[Sample], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Sample)])
        writer.writeheader()
        writer.writerows(map(asdict, samples))


@pytest.mark.timeout(3600)
async def test_twenty_cameras_under_random_faults_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 50)  # a thousand events with their records would fill up for an hour
    samples: list[Sample] = []
    loop = asyncio.get_running_loop()
    async with gateway(tmp_path) as api, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(camera()) for _ in range(CAMERAS)]
        files, threads = open_files(), threading.active_count()
        for number, peer in enumerate(peers):
            assert (await start(api, peer.url, f"cam{number}")).status == 200
        logging.disable(logging.CRITICAL)  # pytest keeps every record
        stack.callback(logging.disable, logging.NOTSET)
        began = loop.time()
        while (passed := loop.time() - began) < MINUTES * 60:
            random.choice(PLAN)(random.choice(peers))
            await asyncio.sleep(random.uniform(0.2, 2.0))
            for peer in peers:
                peer.requests.clear()  # what a camera has seen is no leak of the gateway's
            samples.append(look(passed / 60, api.gateway.workers))
            if KEPT and len(samples) % 60 == 0:
                keep(samples, Path(KEPT))
        for peer in peers:
            peer.heal()
        streams = list(api.gateway.catalog.streams())
        await until(lambda: all(stream.status == "LIVE" for stream in streams if stream.status != "FAILED"), 180)
        assert sum(stream.status == "LIVE" for stream in streams) == CAMERAS
        print(f"{MINUTES} min: {sum(s.record()['restarts'] for s in streams)} restarts; ", end="")
        await api.gateway.catalog.terminate(streams)
        await until(lambda: api.gateway.workers.alive == 0)
        await until(lambda: all(not peer.clients for peer in peers))
        assert open_files() <= files
        assert threading.active_count() <= threads + 4  # the resolver's, which stay
    if KEPT:
        keep(samples, Path(KEPT))
    check(samples)


def check(samples: list[Sample]) -> None:
    """Memory does not grow once all has settled; of the rest there is never more than when all cameras were live."""
    settled = samples[round(len(samples) * SETTLED) :]
    length = settled[-1].minutes - settled[0].minutes
    values = [sample.memory for sample in settled]
    slope = linear_regression([sample.minutes for sample in settled], values).slope
    print(f"memory: median {median(values):.1f} MB, {slope * 60:+.2f} an hour; ", end="")
    assert slope * length < median(values) * STEEPEST or MINUTES < 5
    for name in ("open_files", "processes", "threads"):
        all_live, later = (max(getattr(each, name) for each in part) for part in (samples[:10], settled))
        print(f"{name}: at most {later}, {all_live} with all cameras live; ", end="")
        assert later <= all_live, name
