"""A data folder that cannot be written, or that hangs: callers are told in time, and it heals by itself."""

import asyncio
import contextlib
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.settings import Settings
from gateway.web.calls.durable import GRACE, UNTIMED_LIMIT
from tests.peers.black_hole import silent_camera
from tests.support.promises import Caller
from tests.support.served import gateway_process

pytestmark = pytest.mark.media

SLACK = 1.5  # seconds that a busy machine may need beyond what is promised


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[Any, Caller]]:
    async with gateway_process(settings) as (process, url), aiohttp.ClientSession() as session:
        with silent_camera() as silent:
            yield process, Caller(url, session, settings.data_dir, silent=silent)


async def health(caller: Caller) -> tuple[int, Any]:
    async with caller.session.get(f"{caller.url}/readyz") as answer:
        return answer.status, [reason["code"] for reason in (await answer.json())["reasons"]]


async def until_health(caller: Caller, broken: list[str]) -> None:
    async with asyncio.timeout(30):
        while (await health(caller))[1] != broken:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def metric(caller: Caller, name: str) -> float:
    async with caller.session.get(f"{caller.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


async def timed(caller: Caller, *asked: Any) -> tuple[float, int, Any]:
    """Seconds that a call took, its status and its body."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    status, body = await caller.ask(*asked)
    return loop.time() - begun, status, body


@contextmanager
def full(pid: int) -> Iterator[None]:
    """No file of this process grows: the kernel refuses it as it does on a full disk."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_told_and_what_was_asked_meanwhile_is_written_when_it_is_free_again(
    settings: Settings,
) -> None:
    async with served(settings) as (process, caller):
        await caller.channel("a")
        await caller.channel("b")
        with full(process.pid):
            status, problem = await caller.ask("POST", "/stream/terminate", {"name": "a"})
            assert (status, problem["code"], problem["retryable"]) == (503, "store-failing", True)
            status, problem = await caller.ask("POST", "/stream/terminate", {"name": "a"})
            assert (status, problem["code"]) == (503, "store-failing"), "it is not certain that it is gone"
            status, problem = await caller.ask("POST", "/vod/pause", {"localStreamName": "b"})
            assert (status, problem["code"]) == (503, "store-failing")
            assert await health(caller) == (503, ["store"])
            assert await metric(caller, 'gateway_broken{what="store"}') == 1
            assert await metric(caller, "gateway_store_write_failures_total") >= 2
        await until_health(caller, [])  # nobody asks for anything: it tries by itself
        assert await metric(caller, 'gateway_broken{what="store"}') == 0
        assert (await caller.ask("POST", "/vod/pause", {"localStreamName": "b"}))[0] == 200
        process.kill()
    async with served(settings) as (_, caller):
        assert await caller.stream("a") is None
        assert (await caller.settled("b"))["status"] == "PAUSED"


async def check_hanging(caller: Caller, job: str) -> None:
    """A data folder hangs: every caller is answered within its `wait`, or the usual patience."""
    pause = {"localStreamName": "b"}
    took, status, answer = await timed(caller, "POST", "/vod/pause", pause, "wait=1")
    assert (status, took < 1 + GRACE + SLACK) == (503, True), (took, answer)
    assert answer["code"] == "store-failing"
    took, status, answer = await timed(caller, "GET", f"/jobs/{job}", None, "wait=1")
    assert (status, took < 1 + GRACE + SLACK) == (200, True), (took, answer)
    took, status, answer = await timed(caller, "POST", "/stream/terminate", {"name": "a"})
    assert (status, took < UNTIMED_LIMIT + SLACK) == (503, True), (took, answer)
    await until_health(caller, ["store"])
    async with caller.session.get(f"{caller.url}/livez") as alive:
        assert alive.status == 200


async def test_a_data_folder_that_hangs_holds_no_caller_beyond_its_wait(settings: Settings) -> None:
    """Another program holds the database's lock: each write hangs for seconds, and fails."""
    async with served(settings) as (_, caller):
        for name in ("a", "b"):
            await caller.channel(name)
        job = await caller.running("dark")
        with contextlib.closing(sqlite3.connect(settings.data_dir / "reelgate.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await check_hanging(caller, job)
            other.execute("ROLLBACK")
        await until_health(caller, [])
        assert (await caller.ask("POST", "/stream/terminate", {"name": "a"}))[0] == 404
        assert (await caller.stream("b"))["status"] == "PAUSED", "it was accepted, and is done"


@contextmanager
def own_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, for the data folder; gives where it is mounted. Needs root."""
    image, mount = folder / "disk", folder / "mounted"
    mount.mkdir()
    image.write_bytes(bytes(16 * 1024 * 1024))
    run("mkfs.ext4", "-q", image)
    run("mount", "-o", "loop", image, mount)
    try:
        yield mount
    finally:
        run("umount", "--lazy", mount)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


@pytest.mark.soak
async def test_a_disk_that_hangs_in_the_kernel_holds_no_caller_beyond_its_wait(
    settings: Settings, tmp_path: Path
) -> None:
    """The file system is frozen: each write, and each new look at a file, stays in the kernel until it thaws."""
    with own_disk(tmp_path) as mount:
        settings = settings.model_copy(update={"data_dir": mount / "data"})
        async with served(settings) as (_, caller):
            for name in ("a", "b"):
                await caller.channel(name)
            job = await caller.running("dark")
            run("fsfreeze", "-f", mount)
            try:
                await check_hanging(caller, job)
            finally:
                run("fsfreeze", "-u", mount)
            await until_health(caller, [])
            assert (await caller.ask("POST", "/stream/terminate", {"name": "a"}))[0] == 404


async def test_a_data_folder_that_is_deleted_under_the_gateway_is_told_and_made_anew(settings: Settings) -> None:
    async with served(settings) as (process, caller):
        await caller.channel("a")
        shutil.rmtree(settings.data_dir)
        await caller.channel("b")
        assert await health(caller) == (200, ["database"])
        assert await metric(caller, "gateway_store_rescues_total") == 1
        assert await metric(caller, 'gateway_broken{what="database"}') == 1
        process.kill()
    async with served(settings) as (_, caller):
        assert await health(caller) == (200, [])
        for name in ("a", "b"):
            assert (await caller.settled(name))["status"] == "LIVE"
