"""Acknowledged means on disk: the gateway dies right behind each answer, and what it answered is so afterwards."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.peers.black_hole import silent_camera
from tests.support.promises import BASE, LOOKS, OF_THE_MOMENT, PROMISES, Caller, Promise
from tests.support.served import gateway_process

pytestmark = pytest.mark.media

HELD = 0.3  # seconds


@dataclass
class Peers:
    """The address of a camera, and of one that never answers."""

    camera: str
    silent: str


@pytest.fixture
def peers(camera: Camera) -> Iterator[Peers]:
    with silent_camera() as silent:
        yield Peers(camera.url, silent)


@asynccontextmanager
async def caller_of(url: str, settings: Settings, peers: Peers) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(url, session, settings.data_dir, peers.camera, peers.silent)


@contextmanager
def slow_disk(data_dir: Path) -> Iterator[None]:
    """Holds the database's lock for `HELD` seconds: a change that is answered in this time is not on disk."""
    with closing(sqlite3.connect(data_dir / "reelgate.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = asyncio.get_running_loop().call_later(HELD, other.rollback)
        yield
        timer.cancel()


async def fulfilled(promise: Promise, caller: Caller, needed: Any, pid: int, number: signal.Signals) -> Any:
    """Calls, and sends the gateway this signal right behind the answer."""
    method, path, body = promise.filled(caller, needed)
    with slow_disk(caller.data_dir):
        status, answer = await caller.ask(method, path, body, promise.prefer)
        os.kill(pid, number)
    assert status == promise.status, answer
    return answer or needed


def moved(settings: Settings, folder: Path) -> Settings:
    """The settings of a gateway on a copy of the folders of another one, as they are at this moment."""
    shutil.copytree(settings.data_dir.parent, folder)
    places = {name: folder / getattr(settings, name).name for name in ("media_dir", "data_dir", "cache_dir")}
    return settings.model_copy(update=places)


async def test_what_was_answered_is_what_a_gateway_that_dies_at_that_moment_leaves(
    settings: Settings, peers: Peers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One gateway for all calls: it is stopped (SIGSTOP, all its threads) right behind each answer, which is what a
    SIGKILL would leave on the disk; another one starts on a copy of that.
    """
    copies = tmp_path_factory.mktemp("copies")
    async with (
        gateway_process(settings, FAULT_INJECTION="true") as (process, url),
        caller_of(url, settings, peers) as caller,
    ):
        for number, (name, promise) in enumerate(PROMISES.items()):
            needed = await promise.needs(caller)
            answer = await fulfilled(promise, caller, needed, process.pid, signal.SIGSTOP)
            copy = moved(settings, copies / str(number))
            os.kill(process.pid, signal.SIGCONT)
            async with Gateway(copy) as after, caller_of(after.url, copy, peers) as later:
                try:
                    await promise.kept(later, answer)
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}") from error
            await caller.ask("POST", "/stream/terminate", {"status": "LIVE"})


async def run_and_kill(settings: Settings, peers: Peers, promise: Promise) -> None:
    async with (
        gateway_process(settings, FAULT_INJECTION="true") as (process, url),
        caller_of(url, settings, peers) as caller,
    ):
        needed = await promise.needs(caller)
        answer = await fulfilled(promise, caller, needed, process.pid, signal.SIGKILL)
        await process.wait()
    async with gateway_process(settings) as (_, url), caller_of(url, settings, peers) as caller:
        await promise.kept(caller, answer)


async def test_a_stream_that_was_terminated_right_before_a_kill_is_not_back(settings: Settings, peers: Peers) -> None:
    await run_and_kill(settings, peers, PROMISES["an end of any stream"])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROMISES)
async def test_what_was_answered_right_before_a_kill_is_so_after_it(
    settings: Settings, peers: Peers, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    for _ in range(5):
        folder = tmp_path_factory.mktemp("life") / "folders"
        await run_and_kill(moved(settings, folder), peers, PROMISES[name])


async def test_every_call_that_changes_something_is_proven(settings: Settings) -> None:
    async with Gateway(settings) as gateway:
        routes = {
            (route.method, route.resource.canonical) for route in gateway.application.router.routes() if route.resource
        }
    asked = {f"{method} {path.removeprefix(BASE)}" for method, path in routes if path.startswith(f"{BASE}/")}
    asked = {each for each in asked if each.split()[0] not in ("GET", "HEAD", "OPTIONS")}
    assert asked == {promise.route for promise in PROMISES.values()} | LOOKS | OF_THE_MOMENT
