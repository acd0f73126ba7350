"""Worker processes as the event loop sees them: forked in milliseconds, killed for certain, and known to be gone."""

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from media.faults import Fault
from media.process import messages
from media.process.fork_client import ForkServer, Patience
from media.process.framing import Decoder, FrameError
from media.process.messages import Message, StartTask
from media.supervision import FAILURES

READ_SIZE: Final = 1024 * 1024
MAX_OUTGOING: Final = 4 * 1024 * 1024  # bytes waiting for a worker when there is more to send: then it counts as hung

# The trace of the request on whose behalf this task runs: each worker is told, and says it where it ends by a defect.
TRACE: Final[ContextVar[str]] = ContextVar("trace", default="")

# What was read last, by whichever worker of this process's one loop: to allocate that much for each read took half of
# all that a camera costs the gateway, and left holes in the heap.
_INBOX: Final = memoryview(bytearray(READ_SIZE))

log = logging.getLogger(__name__)

OnMessage = Callable[[Message], None]


class Worker:
    """One process doing one task. Messages arrive by callback on the loop, in order, until `gone` is done."""

    def __init__(self, task: str, on_message: OnMessage) -> None:
        self.task = task
        self.pid: int | None = None  # None until the fork is reported
        self.unmade = ""  # why there never was a process
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # exit status; negative: a signal
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._taken = asyncio.Event()
        self._pidfd: int | None = None
        self._kill_wanted = False
        self._socket: socket.socket | None = None

    def connect(self, ask: Callable[[socket.socket], None]) -> None:
        """Makes a socket pair, and asks with the worker's end of it for a process. Raises `OSError`."""
        near_end, far_end = socket.socketpair()
        with far_end:
            self._socket = near_end
            near_end.setblocking(False)
            self._loop.add_reader(near_end, self._read)
            ask(far_end)

    def send(self, message: Message) -> None:
        """Queues one message; never blocks. A worker that has too much to read already is killed.

        Raises `FrameError` for a message that fits into no frame.
        """
        if self._socket is None:
            return
        frame = memoryview(messages.encode(message))
        if self.outgoing > MAX_OUTGOING:
            log.warning("worker-hung", extra={"pid": self.pid, "task": self.task})
            self.kill()
            return
        self._outgoing.append(frame)
        self._write()

    @property
    def outgoing(self) -> int:
        """Bytes that wait until the worker reads."""
        return sum(map(len, self._outgoing))

    async def room(self, most: int) -> None:
        """Returns when at most so many bytes wait until the worker reads, or when the worker is gone."""
        while self.outgoing > most and self._socket is not None:
            self._taken.clear()
            await self._taken.wait()

    def kill(self) -> None:
        """Kills the worker (SIGKILL), now or as soon as its process is known. `gone` follows."""
        self._kill_wanted = True
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def hang_up(self) -> None:
        """Closes the socket: the worker ends by itself, as it has nobody to speak to."""
        self._close_socket()

    def never(self, why: str) -> None:
        """Notes that there is no process, and that there will be none."""
        self.unmade = why
        self.ended(-signal.SIGKILL)

    def crash(self, who: str, phase: str = "") -> Fault:
        """The fault of a worker that is gone and has not said why. `who` begins the sentence, as "The packager"."""
        if self.unmade:
            detail = f"{who} could not be started ({self.unmade}); try again later."
            return Fault("worker-unavailable", detail, phase)
        return Fault("worker-crashed", f"{who} ended by {how_ended(self.gone.result())}.", phase)

    def forked(self, pid: int, pidfd: int) -> None:
        """Notes that the fork server has made the process."""
        self.pid, self._pidfd = pid, pidfd
        if self._kill_wanted:
            self.kill()

    def watch(self) -> None:
        """Watches the process through the kernel, since the fork server is gone; its exit status is then not known."""
        if self._pidfd is None:
            self.never("the process that makes workers has ended")
        elif not self.gone.done():
            self._loop.add_reader(self._pidfd, self.ended, -signal.SIGKILL)

    def ended(self, status: int) -> None:
        """Notes that the process is gone: hands over what it still said, then resolves `gone`."""
        if self.gone.done():
            return
        self._read(all_of_it=True)
        self._close_socket()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            with contextlib.suppress(ChildProcessError):  # an orphan is a child of this process if that is number 1
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            os.close(self._pidfd)
            self._pidfd = None
        if not self.gone.done():
            self.gone.set_result(status)

    def _read(self, *, all_of_it: bool = False) -> None:
        while self._socket is not None:
            try:
                size = self._socket.recv_into(_INBOX)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                self._close_socket()
                return
            self._take(_INBOX[:size])
            if not all_of_it:
                return  # others on the loop want their turn

    def _take(self, data: memoryview) -> None:
        """Hands over messages. A message that cannot be taken ends the worker, and whoever wanted it hears that it is
        gone.
        """
        try:
            for header, body in self._decoder.feed(data):
                self._on_message(messages.decode(header, body))
            return
        except FrameError as error:
            log.error("worker-garbled", extra={"pid": self.pid, "task": self.task, "reason": str(error)})
        except Exception as error:
            FAILURES.note("worker-message", error, pid=self.pid, task=self.task)
        self._close_socket()
        self.kill()

    def _write(self) -> None:
        self._taken.set()
        if self._socket is None:
            return
        while self._outgoing:
            view = self._outgoing[0]
            try:
                sent = self._socket.send(view)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._write)
                return
            except OSError:
                self._outgoing.clear()
                break
            if sent == len(view):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = view[sent:]
        self._loop.remove_writer(self._socket)

    def _close_socket(self) -> None:
        gone, self._socket = self._socket, None
        if gone is not None:
            self._loop.remove_reader(gone)
            self._loop.remove_writer(gone)
            gone.close()
        self._taken.set()


class Workers:
    """The workers of a gateway, and the fork server that makes them. Every worker is gone after `close`."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._numbers = itertools.count(1)
        self._forking: dict[int, Worker] = {}
        self._running: dict[int, Worker] = {}
        self._server = ForkServer(self, patience or Patience())

    @property
    def alive(self) -> int:
        """Workers whose process is not known to be gone."""
        return len(self._forking) + len(self._running)

    @property
    def trouble(self) -> str | None:
        """Why no worker can be had just now, in a sentence; None when one can."""
        return self._server.trouble

    @property
    def restarts(self) -> int:
        """How often the fork server was started anew."""
        return self._server.restarts

    def pids(self) -> list[int]:
        """The processes of the workers, and last that of the fork server."""
        server = self._server.pid
        return [*self._running, *([server] if server is not None else [])]

    def start(self) -> None:
        """Starts the fork server; workers may be asked for at once and come when it is ready (some 0.2 s).

        Raises `OSError` when it cannot be started.
        """
        self._server.start()

    def spawn(self, start: StartTask, on_message: OnMessage) -> Worker:
        """A worker for one task, at once; its process follows within milliseconds. `start` may hold secrets.

        Where there is no process, or no file descriptor, to be had, it is `gone` at once, and `crash` says why.
        """
        worker = self._asked(start.task, on_message)
        if not worker.gone.done():
            worker.send(replace(start, trace=TRACE.get()))
        return worker

    async def close(self, grace: float = 1.0) -> None:
        """Kills every worker and ends the fork server; returns when all are gone or the time is over, twice `grace`
        seconds for the workers and the fork server each.
        """
        workers = [*self._forking.values(), *self._running.values()]
        for worker in workers:
            worker.kill()
        if workers:
            await asyncio.wait([worker.gone for worker in workers], timeout=grace)
        await self._server.close(grace)
        for worker in [*self._forking.values(), *self._running.values()]:
            worker.ended(-signal.SIGKILL)  # nobody is left to tell of its end: whoever waits for that is let go

    def _asked(self, task: str, on_message: OnMessage) -> Worker:
        """Asks the fork server for a worker. If it cannot be asked, the worker is gone at once."""
        worker = Worker(task, on_message)
        number = next(self._numbers)
        self._forking[number] = worker
        worker.gone.add_done_callback(lambda _: self._forget(number, worker))
        try:
            worker.connect(lambda far_end: self._server.fork(number, far_end))
        except OSError as error:  # no descriptor is free, the fork server is down, or its queue is full
            self._refused(worker, error.strerror or str(error))
        return worker

    def _refused(self, worker: Worker, why: str) -> None:
        log.error("worker-not-made", extra={"task": worker.task, "reason": why})
        self._server.refused(why)
        worker.never(why)

    # What the fork server tells.

    def forked(self, number: int, pid: int, pidfd: int | None) -> None:
        """Notes that the process of a worker is there."""
        worker = self._forking.pop(number, None)
        if pidfd is None:  # there was no descriptor free to take it
            self._server.kill(pid)
            if worker is not None:
                self._refused(worker, os.strerror(errno.EMFILE))
        elif worker is None:  # given up in the meantime
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        else:
            self._server.refused("")
            self._running[pid] = worker
            worker.forked(pid, pidfd)

    def failed(self, number: int, why: str) -> None:
        """Notes that the process of a worker could not be made."""
        worker = self._forking.pop(number, None)
        if worker is not None:
            self._refused(worker, why)

    def exited(self, pid: int, status: int) -> None:
        """Notes that a process is gone."""
        worker = self._running.get(pid)
        if worker is not None:
            worker.ended(status)

    def server_gone(self) -> None:
        """Watches running workers, which live on, through the kernel."""
        for worker in [*self._forking.values(), *self._running.values()]:
            worker.watch()

    def try_one(self) -> None:
        """Starts a process that is told nothing, and ends at that."""
        self._asked("none", lambda _: None).hang_up()

    def _forget(self, number: int, worker: Worker) -> None:
        self._forking.pop(number, None)
        if worker.pid is not None:
            self._running.pop(worker.pid, None)


def how_ended(status: int) -> str:
    """A worker's exit status in words: `signal SIGSEGV`, `exit status 1`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
