"""A machine that has no descriptor or no process for a moment, and a fork server that hangs: told, and healed after."""

import asyncio
import errno
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from media.channel.packages.data_file import PackageFile
from media.faults import Fault, shortage
from media.process.fork_client import Patience
from media.process.messages import Finished, Message, StartTask
from media.process.threads import pool
from media.process.workers import Worker, Workers
from media.supervision import FAILURES
from media.troubles import HOPELESS
from tests.media.process.test_workers import picture, png
from tests.support.processes import state, until
from tests.support.shortages import without_descriptors, without_processes

QUICK: Final = Patience(look=0.1, hung=0.5)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(QUICK)
    workers.start()
    yield workers
    await workers.close()
    assert workers.alive == 0


@pytest.fixture
def start(tmp_path: Path) -> StartTask:
    (tmp_path / "logo.png").write_bytes(png())
    return picture(tmp_path / "logo.png")


def server_of(workers: Workers) -> int:
    return workers.pids()[-1]


async def works(workers: Workers, start: StartTask) -> bool:
    heard: list[Message] = []
    return await workers.spawn(start, heard.append).gone == 0 and isinstance(heard[-1], Finished)


async def heals(workers: Workers, start: StartTask) -> None:
    """From now on all is well by itself, within a second or two."""
    await until(lambda: workers.trouble is None)
    assert await works(workers, start)


async def failed(worker: Worker) -> Fault:
    await asyncio.wait_for(worker.gone, 30)
    return worker.crash("The task")


async def test_without_a_descriptor_there_is_no_worker_and_that_is_told(workers: Workers, start: StartTask) -> None:
    assert await works(workers, start)
    with without_descriptors(0):
        fault = await failed(workers.spawn(start, lambda _: None))
        trouble = workers.trouble
    assert (fault.code, "Too many open files" in fault.detail) == ("worker-unavailable", True)
    assert trouble == "No worker can be started: Too many open files."
    await heals(workers, start)


async def test_a_descriptor_that_is_lost_with_its_message_ends_that_worker_and_no_job_waits(
    workers: Workers, start: StartTask
) -> None:
    assert await works(workers, start)
    worker = workers.spawn(start, lambda _: None)
    with without_descriptors(0):  # the pair is made; the pidfd comes when there is no place for it
        fault = await failed(worker)
    assert (fault.code, worker.pid) == ("worker-unavailable", None)
    await heals(workers, start)


async def test_a_fork_server_without_descriptors_says_so_and_goes_on(workers: Workers, start: StartTask) -> None:
    assert await works(workers, start)
    server = server_of(workers)
    with without_descriptors(server):
        fault = await failed(workers.spawn(start, lambda _: None))
    assert (fault.code, "Too many open files" in fault.detail) == ("worker-unavailable", True)
    await heals(workers, start)
    assert server_of(workers) == server


async def test_a_fork_server_without_processes_says_so_and_goes_on(workers: Workers, start: StartTask) -> None:
    assert await works(workers, start)
    server = server_of(workers)
    with without_processes(server):
        fault = await failed(workers.spawn(start, lambda _: None))
        trouble = workers.trouble
    assert (fault.code, "temporarily unavailable" in fault.detail) == ("worker-unavailable", True)
    assert trouble == "No worker can be started: Resource temporarily unavailable."
    await heals(workers, start)
    assert server_of(workers) == server


async def test_a_fork_server_that_hangs_is_killed_and_another_takes_its_place(
    workers: Workers, start: StartTask
) -> None:
    assert await works(workers, start)
    hung = server_of(workers)
    os.kill(hung, signal.SIGSTOP)
    fault = await failed(workers.spawn(start, lambda _: None))
    assert fault.code == "worker-unavailable"
    assert workers.trouble == "The process that makes workers hung; it is started again."
    await until(lambda: state(hung) == "")
    await heals(workers, start)
    assert (server_of(workers) != hung, workers.restarts) == (True, 1)


async def test_a_fork_server_that_cannot_be_started_again_is_tried_until_it_can(
    workers: Workers, start: StartTask
) -> None:
    assert await works(workers, start)
    with without_descriptors(0):
        os.kill(server_of(workers), signal.SIGKILL)
        await until(lambda: "cannot be started" in (workers.trouble or ""))
    await heals(workers, start)


async def test_a_worker_that_is_short_of_something_says_that_and_not_that_it_is_broken() -> None:
    for error in (OSError(errno.EMFILE, "Too many open files"), RuntimeError("can't start new thread")):
        short = shortage(error)
        assert short is not None
        assert (short.code, short.code in HOPELESS) == ("worker-unavailable", False)
    assert shortage(OSError(errno.ENOSPC, "No space left on device")) is None
    assert shortage(ValueError("canary")) is None


async def test_what_cannot_be_taken_of_a_worker_ends_it_and_whoever_waits_for_it_hears_so(
    workers: Workers, start: StartTask
) -> None:
    def broken(message: Message) -> None:
        raise KeyError("canary")

    before = FAILURES.counts["worker-message"]
    worker = workers.spawn(start, broken)
    assert isinstance(await asyncio.wait_for(worker.gone, 30), int)
    assert FAILURES.counts["worker-message"] == before + 1


def test_a_package_that_cannot_be_opened_just_now_is_a_fault_that_is_tried_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").write_bytes(b"a package")
    with without_descriptors(0), pytest.raises(Fault, match="Too many open files") as broken:
        PackageFile(tmp_path / "data")
    assert (broken.value.code, broken.value.code in HOPELESS) == ("internal", False)
    PackageFile(tmp_path / "data").close()
    with pytest.raises(Fault, match="file-changed"):
        PackageFile(tmp_path / "none")


def test_the_threads_of_a_pool_are_there_before_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pool(3, "test") as executor:
        monkeypatch.setattr(threading.Thread, "start", no_more)
        together = threading.Barrier(3)
        assert sorted(each.result(10) for each in [executor.submit(together.wait, 10) for _ in range(3)]) == [0, 1, 2]
    with pytest.raises(RuntimeError, match="start new thread"):
        pool(1, "test")
