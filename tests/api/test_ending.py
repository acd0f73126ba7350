"""The end of the gateway where something hangs: in time, by force if need be, and at once when it is asked twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings
from tests.support.processes import below, state, until
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media

NOISE = 8  # seconds that a busy machine may add

# The gateway with a disk that hangs as soon as the folder of packages is touched once more, or a loop that does.
HANGING = """
import asyncio, sys, threading, time
from gateway import __main__, app
from gateway.settings import Settings
from media.channel.packages import cache_folder

app.CLOSING = 2.0
app.CLOSING_ONE = 0.5

def hang(*_):
    threading.Event().wait()

async def stuck_loop():
    await asyncio.sleep(0.1)
    print("stuck", flush=True)
    hang()

async def main():
    if sys.argv[1] == "disk":
        cache_folder.used_now = hang
    elif sys.argv[1] == "loop":
        asyncio.get_running_loop().call_later(1.0, lambda: asyncio.ensure_future(stuck_loop()))
    return await __main__.serve(Settings())

sys.exit(asyncio.run(main()))
"""


@asynccontextmanager
async def hanging(settings: Settings, what: str, drain: int = 1) -> AsyncIterator[tuple[Any, str]]:
    names = {name.upper(): str(value) for name, value in settings.model_dump().items() if name.endswith("_dir")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HANGING, what,
        env={**os.environ, **names, "HTTP_PORT": "0", "JOBS_DRAIN_TIMEOUT": str(drain)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_disk_that_hangs_does_not_keep_the_gateway_from_ending(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with hanging(settings, "disk") as (process, url):
        body = {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
        assert (await call(url, "/vod/startup", body, "wait=0, timeout=60"))["state"] in ("PENDING", "RUNNING")
        workers = below(process.pid)
        told = loop.time()
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 60)
        assert loop.time() - told < 1 + settings.jobs_cancel_grace + settings.jobs_kill_grace + 2 + NOISE
        assert process.returncode == 0  # all was closed, but a thread that nobody can end
        await until(lambda: all(state(pid) in ("", "Z") for pid in workers))


async def test_a_loop_that_hangs_is_ended_by_force_in_its_time(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with hanging(settings, "loop") as (process, _):
        assert await process.stdout.readline() == b"stuck\n"
        workers = below(process.pid)
        told = loop.time()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 1
        took = loop.time() - told
        assert b"ends by force" in await process.stderr.read()
        assert 2 < took < 1 + settings.jobs_cancel_grace + settings.jobs_kill_grace + 2 + NOISE
        await until(lambda: all(state(pid) in ("", "Z") for pid in workers))


async def test_a_second_signal_ends_a_gateway_at_once_whose_loop_hangs(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with hanging(settings, "loop", drain=60) as (process, _):
        assert await process.stdout.readline() == b"stuck\n"
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        told = loop.time()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 1
        assert loop.time() - told < 2 + NOISE / 4


async def test_workers_that_hang_are_left_and_end_with_their_gateway(settings: Settings) -> None:
    async with gateway_process(settings) as (process, url):
        body = {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
        await call(url, "/vod/startup", body, "wait=5")
        server, *others = below(process.pid)
        for pid in (server, *others):
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        await until(lambda: all(state(pid) in ("", "Z") for pid in (server, *others)))
