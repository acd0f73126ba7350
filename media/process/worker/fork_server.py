"""A process that forks workers: it has `av` loaded, no threads and no secrets, so a worker is there in milliseconds.

It speaks over one SOCK_SEQPACKET socket, given by number on the command line; each message is JSON.

    gateway -> {"fork": 7} + the worker's end of a socket pair
            <- {"forked": 7, "pid": 4711} + a pidfd        (opened before the child can be reaped: no pid is confused)
            <- {"failed": 7, "why": "..."}                 (no process, or no descriptor, is to be had just now)
            <- {"exited": 4711, "status": -9}              (reaped; negative: the signal that ended it)
            -> {"kill": 4711}                              (the pidfd was lost on its way)
            -> {"ping": 1}
            <- {"pong": 1}

When the gateway's end closes, for whatever reason, every worker is killed and the process ends: that is what makes
"the gateway was killed" leave nothing behind. Being out of processes or descriptors ends nothing here.
"""

import contextlib
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, Final

from media.process.worker import tasks

MAX_MESSAGE: Final = 4096
MAX_FILES: Final = 64  # open files of a worker
MOST_FILES: Final = 512  # to which a task that serves many peers may raise that
OOM_SCORE: Final = 500  # the kernel takes a worker before it takes the gateway


def main(fd: int) -> None:
    """Serves fork requests from socket `fd` until its other end closes."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the gateway's, which takes signals in a thread of its own
    control = socket.socket(fileno=fd)
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # the wakeup fd is what wakes `select`
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the gateway's to handle
    gc.freeze()  # keeps the preloaded modules' pages shared after a fork
    children: set[int] = set()
    while True:
        readable, _, _ = select.select([control.fileno(), wake_r], [], [])
        if wake_r in readable:
            os.read(wake_r, 512)
            _reap(control, children)
        if control.fileno() in readable and not _serve_one(control, children, (wake_r, wake_w)):
            break
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _serve_one(control: socket.socket, children: set[int], wake: tuple[int, int]) -> bool:
    """Answers one request; False when the gateway is gone."""
    try:
        message, fds, _, _ = socket.recv_fds(control, MAX_MESSAGE, 1)
    except ConnectionError:
        return False
    if not message:
        return False
    match json.loads(message):
        case {"fork": number}:
            try:
                _fork(control, number, fds, children, wake)
            except OSError as error:
                _tell(control, {"failed": number, "why": error.strerror})
            finally:
                for fd in fds:
                    os.close(fd)
        case {"kill": pid} if pid in children:
            os.kill(pid, signal.SIGKILL)
        case {"ping": number}:
            _tell(control, {"pong": number})
    return True


def _fork(control: socket.socket, number: int, fds: list[int], children: set[int], wake: tuple[int, int]) -> None:
    """Makes one worker and tells of it. Raises `OSError`, and then there is none."""
    if not fds:  # this process had no descriptor free to take it
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    pid = os.fork()
    if pid == 0:
        _be_a_worker(control, fds[0], wake)
    children.add(pid)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        raise
    _tell(control, {"forked": number, "pid": pid}, pidfd)
    os.close(pidfd)


def _be_a_worker(control: socket.socket, fd: int, wake: tuple[int, int]) -> None:
    """The child's whole life; never returns."""
    status = 70
    try:
        control.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in wake:
            os.close(inherited)
        os.setsid()
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MOST_FILES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - one write
            file.write(str(OOM_SCORE))
        status = tasks.main(socket.socket(fileno=fd))
    finally:
        os._exit(status)


def _reap(control: socket.socket, children: set[int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        _tell(control, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, message: dict[str, Any], *fds: int) -> None:
    """Sends a message to the gateway.

    A gateway that is gone shows itself at the next read. If the user has too many descriptors on their way, the message
    goes without its own (ETOOMANYREFS, unix(7)).
    """
    data = json.dumps(message).encode()
    with contextlib.suppress(OSError):
        try:
            socket.send_fds(control, [data], fds)
        except ConnectionError:
            raise
        except OSError:
            control.send(data)


if __name__ == "__main__":
    main(int(sys.argv[1]))
