"""Twenty cameras that misbehave at random, for as long as it takes to see a leak."""

import asyncio
import os
import random
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import pytest

from media.camera.server import Camera
from tests.media.processes import open_files, until
from tests.torture.cameras import camera, gateway, start

pytestmark = [pytest.mark.media, pytest.mark.soak]

CAMERAS = 20
MINUTES = float(os.environ.get("REELGATE_SOAK_MINUTES", "30"))

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


def memory() -> float:
    """MB of this process: the gateway's, the cameras' and the test's."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.timeout(3600)
async def test_twenty_cameras_under_random_faults_leave_nothing_behind(tmp_path: Path) -> None:
    samples: list[float] = []
    loop = asyncio.get_running_loop()
    async with gateway(tmp_path) as api, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(camera()) for _ in range(CAMERAS)]
        files, threads = open_files(), threading.active_count()
        for number, peer in enumerate(peers):
            assert (await start(api, peer.url, f"cam{number}")).status == 200
        end = loop.time() + MINUTES * 60
        while loop.time() < end:
            random.choice(PLAN)(random.choice(peers))
            await asyncio.sleep(random.uniform(0.2, 2.0))
            samples.append(memory())
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
    quarter = len(samples) // 4
    early, late = median(samples[quarter : 2 * quarter]), median(samples[-quarter:])
    print(f"memory {early:.1f} MB in the second quarter, {late:.1f} MB in the last")
    # Rings fill within half a minute; from then on there is nothing that may grow.
    assert late < early * 1.05 or MINUTES < 5
