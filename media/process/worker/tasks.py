"""A worker process: reads one `StartTask` from its socket, does that task, and ends."""

import resource
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import av.subtitles.stream  # noqa: F401 - av itself loads it with the first container, in each worker anew

from media.camera.worker import reader
from media.channel.worker import package, probe
from media.faults import Fault, shortage
from media.pictures.worker import read_picture, snapshot
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Failed
from media.transcoding.worker import calibrate, transcode


@dataclass(frozen=True, slots=True)
class Task:
    """One row: what to run, and the most address space (bytes) and CPU time (seconds; None: no limit) it may have."""

    run: Callable[[GatewaySocket, dict[str, Any]], None]
    memory: int
    cpu: int | None


GIB: Final = 1024**3


def _webrtc(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    # Only when it is asked for: it belongs to an extra, and no other worker has a use for what it loads.
    from media.watch.worker import webrtc

    webrtc.run(channel, spec)


TASKS: Final[dict[str, Task]] = {
    "rtsp": Task(reader.run, 2 * GIB, None),
    "package": Task(package.run, 1 * GIB, None),
    "probe": Task(probe.run, 1 * GIB, 5),
    "picture": Task(read_picture.run, GIB // 2, 2),
    "still": Task(snapshot.run, 1 * GIB, 3),
    "transcode": Task(transcode.run, 2 * GIB, None),
    "webrtc": Task(_webrtc, 2 * GIB, None),
    "calibrate": Task(calibrate.run, GIB, 5),
}


def main(sock: socket.socket) -> int:
    """The whole life of a worker; returns its exit status."""
    channel = GatewaySocket(sock)
    try:
        start = channel.start()
    except RuntimeError as error:  # there is no thread to be had (`threading`), and nothing was begun
        if (short := shortage(error)) is None:
            raise
        channel.send(Failed(short.code, "", short.detail))
        return 1
    task = TASKS[start.task]
    _limit(task)
    try:
        task.run(channel, start.spec)
    except Fault as fault:
        channel.send(Failed(fault.code, fault.phase, fault.detail, fault.status))
    except MemoryError:
        channel.send(Failed("limits-exceeded", "", f"The {start.task} task needs more memory than it may have."))
    except Exception as error:
        if (short := shortage(error)) is not None:
            channel.send(Failed(short.code, "", short.detail))
            return 1
        # FFmpeg's texts hold the URL with its password, so neither the record nor the log gets the text.
        where = "".join(traceback.format_tb(error.__traceback__))
        trace = f" trace={start.trace}" if start.trace else ""
        print(f"worker task={start.task} error={type(error).__name__}{trace}\n{where}", file=sys.stderr, flush=True)
        channel.send(Failed("internal", "", f"The {start.task} task failed unexpectedly ({type(error).__name__})."))
        return 1
    return 0


def _limit(task: Task) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (task.memory, task.memory))
    if task.cpu is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (task.cpu, task.cpu + 1))
