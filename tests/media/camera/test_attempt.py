"""A try at a camera with a worker of the test's own, which says what it is told to."""

import asyncio
import signal
import socket
import time
from typing import cast

import pytest

from media.camera import attempt
from media.camera.attempt import Admission, Attempt, AttemptListener, EpochStart
from media.camera.spec import CameraSpec
from media.net.addresses import AddressPolicy
from media.process import messages
from media.process.messages import Failed, StartTask, TaskReady
from media.process.workers import OnMessage, Worker, Workers
from tests.support.processes import until

HEARTBEAT = 0.3  # seconds


class Mute(Worker):
    """A worker without a process: it has said that it is ready, and nothing since. It is gone when it is killed."""

    def __init__(self, task: str, on_message: OnMessage) -> None:
        super().__init__(task, on_message)
        self.connect(self._keep)

    def _keep(self, far_end: socket.socket) -> None:
        self.far_end = far_end.dup()
        self.far_end.sendall(messages.encode(TaskReady({})))

    def kill(self) -> None:
        self.ended(-signal.SIGKILL)


class MuteWorkers:
    def __init__(self) -> None:
        self.far_ends: list[socket.socket] = []

    def spawn(self, start: StartTask, on_message: OnMessage) -> Worker:
        worker = Mute(start.task, on_message)
        self.far_ends.append(worker.far_end)
        return worker


async def nothing() -> None:
    return None


def an_attempt(workers: MuteWorkers) -> Attempt:
    admission = Admission(nothing, lambda load: None)
    listener = AttemptListener(*(lambda *_: None,) * 5, turn=nothing, admission=admission)
    return Attempt(cast(Workers, workers), AddressPolicy(loopback=True), listener)


SPEC = CameraSpec("rtsp://127.0.0.1/", transport="tcp", preflight=False)


async def test_a_worker_that_has_told_its_fault_and_does_not_end_is_killed_and_its_fault_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempt, "HEARTBEAT", HEARTBEAT)
    workers = MuteWorkers()
    made = an_attempt(workers)
    await made.open(SPEC, EpochStart(0.0, 0.0))
    (far_end,) = workers.far_ends
    far_end.sendall(messages.encode(Failed("source-timeout", "live", "nothing has come")))
    await until(lambda: not made.live)
    assert (await made.over()).code == "source-timeout"
    far_end.close()


async def test_a_worker_that_says_nothing_is_killed_but_not_because_this_process_did_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempt, "HEARTBEAT", HEARTBEAT)
    workers = MuteWorkers()
    made = an_attempt(workers)
    await made.open(SPEC, EpochStart(0.0, 0.0))
    time.sleep(2 * HEARTBEAT)  # noqa: ASYNC251 (the process stands still)
    await asyncio.sleep(HEARTBEAT / 10)
    assert made.live
    await until(lambda: not made.live)
    assert (await made.over()).code == "worker-hung"
    for far_end in workers.far_ends:
        far_end.close()
