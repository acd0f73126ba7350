"""Worker processes, for real: made, heard, killed, reaped, and not missed when the fork server dies."""

import asyncio
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from media.process.messages import Failed, Finished, Message, PhaseReached, StartTask, StopTask
from media.process.workers import TRACE, Worker, Workers
from tests.support.processes import open_files, state, until


def png(width: int = 4, height: int = 2) -> bytes:
    """A red picture."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers()
    workers.start()
    yield workers
    await workers.close()


@pytest.fixture
def silent_camera() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"


def picture(path: Path) -> StartTask:
    """The task of reading one; what it makes is stored beside it."""
    return StartTask("picture", {"path": str(path), "store": str(path.parent)})


def opening(uri: str) -> StartTask:
    camera = {"uri": uri, "password": "", "connect_timeout": 30.0}
    return StartTask("rtsp", {"camera": camera, "epoch": 0.0, "notBefore": 0.0})


async def stuck(workers: Workers, uri: str) -> Worker:
    """A worker that hangs in opening a silent camera."""
    heard: list[Message] = []
    worker = workers.spawn(opening(uri), heard.append)
    await until(
        lambda: heard == [PhaseReached("setup")] and worker.pid is not None
    )  # its word may be there before its pid
    return worker


async def test_a_worker_does_its_task_and_is_reaped(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(png(6, 3))
    heard: list[Message] = []
    worker = workers.spawn(picture(tmp_path / "logo.png"), heard.append)
    assert await worker.gone == 0
    assert isinstance(heard[-1], Finished)
    assert (heard[-1].info["width"], heard[-1].info["height"], heard[-1].info["format"]) == (6, 3, "png")
    assert worker.pid is not None
    assert state(worker.pid) == ""
    assert workers.alive == 0


async def test_a_fault_of_a_task_arrives_as_its_code(workers: Workers, tmp_path: Path) -> None:
    heard: list[Message] = []
    worker = workers.spawn(picture(tmp_path / "none.png"), heard.append)
    await worker.gone
    assert [message.code for message in heard if isinstance(message, Failed)] == ["image-not-found"]


async def test_a_worker_that_ends_by_a_defect_tells_the_trace_of_its_request(
    capfd: pytest.CaptureFixture[str],
) -> None:
    TRACE.set("4bf92f3577b34da6a3ce929d0e0e4736")
    workers = Workers()
    workers.start()  # here, where its standard error is watched already
    assert await workers.spawn(StartTask("picture", {}), lambda _: None).gone == 1
    await workers.close()
    told = capfd.readouterr().err
    assert "worker task=picture error=KeyError trace=4bf92f3577b34da6a3ce929d0e0e4736" in told


async def test_a_worker_stuck_in_opening_is_killed_and_reaped_at_once(workers: Workers, silent_camera: str) -> None:
    worker = await stuck(workers, silent_camera)
    loop = asyncio.get_running_loop()
    asked = loop.time()
    worker.kill()
    assert await worker.gone == -signal.SIGKILL
    assert loop.time() - asked < 15  # the peer would have kept it for twice as long
    assert worker.pid is not None
    assert state(worker.pid) == ""


async def test_a_worker_killed_before_it_is_forked_never_lives(workers: Workers, silent_camera: str) -> None:
    worker = workers.spawn(opening(silent_camera), lambda _: None)
    worker.kill()
    assert await asyncio.wait_for(worker.gone, 30) == -signal.SIGKILL
    assert workers.alive == 0


async def test_a_crash_is_reported_with_its_signal(workers: Workers, silent_camera: str) -> None:
    worker = await stuck(workers, silent_camera)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSEGV)
    assert await worker.gone == -signal.SIGSEGV


async def test_running_workers_outlive_the_fork_server_and_new_ones_come(
    workers: Workers, silent_camera: str, tmp_path: Path
) -> None:
    (tmp_path / "logo.png").write_bytes(png())
    survivor = await stuck(workers, silent_camera)
    os.kill(workers.pids()[-1], signal.SIGKILL)
    heard: list[Message] = []

    async def try_again() -> bool:
        newer = workers.spawn(picture(tmp_path / "logo.png"), heard.append)
        return await newer.gone == 0

    for _ in range(100):  # the new fork server is there within a second or so
        if await try_again():
            break
        await asyncio.sleep(0.05)
    assert any(isinstance(message, Finished) for message in heard)
    assert not survivor.gone.done()
    assert survivor.pid is not None
    assert state(survivor.pid) not in ("", "Z")
    survivor.kill()
    await asyncio.wait_for(survivor.gone, 30)
    await until(lambda: survivor.pid is not None and state(survivor.pid) in ("", "Z"))


async def test_closing_lets_those_go_who_wait_for_workers_of_which_nothing_is_told_any_more(silent_camera: str) -> None:
    workers = Workers()
    workers.start()
    running = await stuck(workers, silent_camera)
    os.kill(workers.pids()[-1], signal.SIGSTOP)  # a machine that is so busy that the fork server does not get its turn
    unborn = workers.spawn(opening(silent_camera), lambda _: None)
    waiting = [asyncio.ensure_future(asyncio.shield(worker.gone)) for worker in (running, unborn)]
    await workers.close(0.1)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [-signal.SIGKILL] * 2
    assert workers.alive == 0


async def test_nothing_is_left_after_many_short_lives(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(png())
    start = picture(tmp_path / "logo.png")
    await workers.spawn(start, lambda _: None).gone
    gc.collect()  # what others have left goes before, and not meanwhile
    before = open_files()
    for _ in range(10):
        await asyncio.gather(*(workers.spawn(start, lambda _: None).gone for _ in range(5)))
    assert open_files() == before
    assert workers.alive == 0


GATEWAY = """
import asyncio, sys
from media.process.workers import Workers
from tests.media.process.test_workers import stuck

async def main():
    workers = Workers()
    workers.start()
    worker = await stuck(workers, sys.argv[1])
    while worker.pid is None:  # the fork server's word of it may come after the worker's own
        await asyncio.sleep(0.01)
    print(*workers.pids(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_workers_are_gone_soon_after_the_gateway_is_killed(silent_camera: str) -> None:
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GATEWAY, silent_camera, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert gateway.stdout is not None
    pids = [int(word) for word in (await gateway.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(state(pid) for pid in pids)
    gateway.kill()
    await gateway.wait()
    await until(lambda: all(state(pid) in ("", "Z") for pid in pids), 15)  # the peer would keep it twice as long
    assert await gateway.stdout.read() == b""  # which they had too: it is closed before the loop is


async def test_a_worker_that_is_told_to_stop_ends_in_good_order(workers: Workers) -> None:
    from media.faultcamera.server import Camera
    from media.faultcamera.settings import CameraSettings

    async with Camera(CameraSettings()) as camera:
        heard: list[Message] = []
        worker = workers.spawn(opening(camera.url), heard.append)
        await until(lambda: PhaseReached("live") in heard)
        worker.send(StopTask(10.0))
        assert await asyncio.wait_for(worker.gone, 30) == 0
        assert heard[-1] == Finished({})
