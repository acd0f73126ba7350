"""Worker processes as the event loop sees them: forked in milliseconds, killed for certain, and known to be gone."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from media.process import messages
from media.process.framing import Decoder, FrameError
from media.process.messages import Message, Start

READ_SIZE: Final = 1024 * 1024
MAX_OUTGOING: Final = 4 * 1024 * 1024  # bytes waiting for a worker when there is more to send: then it counts as hung
RESTART_DELAY: Final = 1.0  # seconds between two starts of a fork server that dies at once

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
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # exit status; negative: a signal
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._taken = asyncio.Event()
        self._pidfd: int | None = None
        self._kill_wanted = False
        self._socket, self._far_end = socket.socketpair()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._read)

    def send(self, message: Message) -> None:
        """Queues one message; never blocks. A worker that has too much to read already is killed.

        Raises `FrameError` for a message that fits into no frame.
        """
        if self._socket.fileno() < 0:
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
        """Returns when at most so many bytes wait until the worker reads, or nobody is there to read them."""
        while self.outgoing > most and self._socket.fileno() >= 0:
            self._taken.clear()
            await self._taken.wait()

    def kill(self) -> None:
        """SIGKILL, now or as soon as the process is known. `gone` follows."""
        self._kill_wanted = True
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def take_far_end(self) -> socket.socket:
        """The worker's end of the pair; whoever takes it closes it."""
        return self._far_end

    def forked(self, pid: int, pidfd: int) -> None:
        """The fork server has made the process."""
        self.pid, self._pidfd = pid, pidfd
        if self._kill_wanted:
            self.kill()

    def watch(self) -> None:
        """The fork server is gone and reports no more: the kernel tells of the end instead, without a status."""
        if self._pidfd is None:
            self.ended(-signal.SIGKILL)  # it never came to be
        elif not self.gone.done():
            self._loop.add_reader(self._pidfd, self.ended, -signal.SIGKILL)

    def ended(self, status: int) -> None:
        """The process is gone: hands over what it still said, then resolves `gone`."""
        if self.gone.done():
            return
        self._read(all_of_it=True)
        self._close_socket()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if not self.gone.done():
            self.gone.set_result(status)

    def _read(self, *, all_of_it: bool = False) -> None:
        while self._socket.fileno() >= 0:
            try:
                size = self._socket.recv_into(_INBOX)
            except BlockingIOError:
                return
            except ConnectionError:
                size = 0
            if not size:
                self._close_socket()
                return
            try:
                for header, body in self._decoder.feed(_INBOX[:size]):
                    self._on_message(messages.decode(header, body))
            except FrameError as error:
                log.error("worker-garbled", extra={"pid": self.pid, "task": self.task, "reason": str(error)})
                self._close_socket()
                self.kill()
            if not all_of_it:
                return  # others on the loop want their turn

    def _write(self) -> None:
        self._taken.set()
        while self._outgoing:
            view = self._outgoing[0]
            try:
                sent = self._socket.send(view)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._write)
                return
            except ConnectionError:
                self._outgoing.clear()
                break
            if sent == len(view):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = view[sent:]
        self._loop.remove_writer(self._socket)

    def _close_socket(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        self._taken.set()


class Workers:
    """The fork server and the workers it made. One for a gateway; every worker is gone after `close`."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._forking: dict[int, Worker] = {}
        self._running: dict[int, Worker] = {}
        self._started_at = 0.0
        self._restart: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def alive(self) -> int:
        """Workers whose process is not known to be gone."""
        return len(self._forking) + len(self._running)

    def pids(self) -> list[int]:
        """The processes of the workers, and last that of the fork server."""
        return [*self._running, *([self._server.pid] if self._server else [])]

    def start(self) -> None:
        """Starts the fork server; workers may be asked for at once and come when it is ready (some 0.2 s)."""
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far_end:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "media.process.worker.fork_server", str(far_end.fileno())],
                pass_fds=[far_end.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "MALLOC_ARENA_MAX": "2"},
                start_new_session=True,
            )
        control.setblocking(False)
        self._control = control
        loop.add_reader(control, self._read_reports)

    def spawn(self, start: Start, on_message: OnMessage) -> Worker:
        """A worker for one task, at once; its process follows within milliseconds. `start` may hold secrets."""
        worker = Worker(start.task, on_message)
        number = next(self._numbers)
        self._forking[number] = worker
        worker.gone.add_done_callback(lambda _: self._forget(number, worker))
        with worker.take_far_end() as far_end:
            try:
                if self._control is None:
                    raise ConnectionError("no fork server")
                socket.send_fds(self._control, [json.dumps({"fork": number}).encode()], [far_end.fileno()])
            except OSError as error:  # down or its queue is full: this worker never comes to be
                log.error("worker-not-forked", extra={"task": start.task, "reason": type(error).__name__})
                worker.watch()
                return worker
        worker.send(replace(start, trace=TRACE.get()))
        return worker

    async def close(self, grace: float = 1.0) -> None:
        """Kills every worker and ends the fork server; returns when all are gone or `grace` seconds are over."""
        self._closed = True
        if self._restart:
            self._restart.cancel()
        workers = [*self._forking.values(), *self._running.values()]
        for worker in workers:
            worker.kill()
        if workers:
            await asyncio.wait([worker.gone for worker in workers], timeout=grace)
        if self._control is not None:
            self._drop_control()
        if self._server is not None:
            await self._end_server(self._server, grace)
        for worker in [*self._forking.values(), *self._running.values()]:
            worker.ended(-signal.SIGKILL)  # nobody is left to tell of its end: whoever waits for that is let go

    @staticmethod
    async def _end_server(server: subprocess.Popen[bytes], grace: float) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        pidfd = os.pidfd_open(server.pid)
        loop.add_reader(pidfd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), grace)
        except TimeoutError:
            server.kill()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            server.wait()

    def _read_reports(self) -> None:
        while self._control is not None:
            try:
                message, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
            except BlockingIOError:
                return
            except ConnectionError:
                message, fds = b"", []
            if not message:
                self._server_died()
                return
            report = json.loads(message)
            if "forked" in report:
                self._on_forked(report["forked"], report["pid"], fds[0])
            elif worker := self._running.get(report["exited"]):
                worker.ended(report["status"])

    def _on_forked(self, number: int, pid: int, pidfd: int) -> None:
        worker = self._forking.pop(number, None)
        if worker is None:  # given up in the meantime
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return
        self._running[pid] = worker
        worker.forked(pid, pidfd)

    def _forget(self, number: int, worker: Worker) -> None:
        self._forking.pop(number, None)
        if worker.pid is not None:
            self._running.pop(worker.pid, None)

    def _drop_control(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None

    def _server_died(self) -> None:
        """Running workers live on and are watched through the kernel; a new fork server takes the next requests."""
        self._drop_control()
        if self._closed:
            return
        log.error("forkserver-died", extra={"workers": self.alive})
        if self._server is not None:
            self._server.kill()
            self._server.wait()  # it is dead or as good as dead: this takes no time
        for worker in [*self._forking.values(), *self._running.values()]:
            worker.watch()
        loop = asyncio.get_running_loop()
        delay = max(0.0, RESTART_DELAY - (loop.time() - self._started_at))
        self._restart = loop.call_later(delay, self.start)


def how_ended(status: int) -> str:
    """A worker's exit status in words: `signal SIGSEGV`, `exit status 1`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
