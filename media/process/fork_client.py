"""The fork server as the event loop sees it: asked, watched, and started again when it has ended or hangs."""

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol

from media.process.environment import clean
from media.supervision import ended, noted, supervise

RESTART_DELAY: Final = 1.0  # seconds between two starts of a fork server that dies at once
LOOK: Final = 1.0  # seconds between two looks at it
STARTING: Final = 30.0  # seconds for its first word: it loads av, on a machine that is perhaps very busy
HUNG: Final = 5.0  # seconds without a word, although it was asked, after which it is killed
REAPING: Final = 0.02  # seconds between two looks whether it has ended

log = logging.getLogger(__name__)


class Forks(Protocol):
    """Who hears of the processes that were made."""

    def forked(self, number: int, pid: int, pidfd: int | None) -> None:
        """The process of that number is there; `pidfd` None: its descriptor was lost on the way."""

    def failed(self, number: int, why: str) -> None:
        """A process could not be made."""

    def exited(self, pid: int, status: int) -> None:
        """A process is gone and reaped."""

    def server_gone(self) -> None:
        """The fork server is gone: nothing more is told of any process."""

    def try_one(self) -> None:
        """The last process could not be made: try whether one can be made by now."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits in seconds: between two looks at the fork server, and without a word of it until it is killed."""

    look: float = LOOK
    hung: float = HUNG
    starting: float = STARTING  # as `hung`, before the first word


class ForkServer:
    """The fork server, one process at a time. `trouble` says in a sentence why it makes no process just now; None: it
    does.
    """

    def __init__(self, forks: Forks, patience: Patience) -> None:
        self.restarts = 0
        self._forks = forks
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._dying: list[subprocess.Popen[bytes]] = []  # killed, and not yet reaped
        self._keeper: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._heard_at = 0.0
        self._spoke = False
        self._down = ""
        self._refused = ""

    @property
    def pid(self) -> int | None:
        """The number of the fork server's process, while there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def trouble(self) -> str | None:
        """Why no process can be made just now, in a sentence for a person; None when one can."""
        if self._down:
            return f"The process that makes workers {self._down}; it is started again."
        return f"No worker can be started: {self._refused}." if self._refused else None

    def start(self) -> None:
        """Starts the fork server, and keeps it running until `close`. Raises `OSError`."""
        self._launch()
        self._keeper = supervise("forkserver", self._keep)

    def fork(self, number: int, far_end: socket.socket) -> None:
        """Asks for a process with that end of a socket pair. Raises `OSError` when it cannot be asked."""
        if self._control is None:
            raise ConnectionError("it is being started again")
        socket.send_fds(self._control, [json.dumps({"fork": number}).encode()], [far_end.fileno()])

    def kill(self, pid: int) -> None:
        """Asks the fork server to kill a process that it made: only the fork server can be sure to hit the right
        one.
        """
        self._tell({"kill": pid})

    def refused(self, why: str) -> None:
        """Notes why a process could not be made; "": one was made."""
        self._refused = why

    async def close(self, grace: float) -> None:
        """Ends the fork server: closes its socket, and kills it after `grace` seconds. What the kernel does not end is
        left.
        """
        await ended(self._keeper)
        self._drop_control()
        if self._process is not None:
            self._dying.append(self._process)
            self._process = None
        if not await self._reaped(grace):
            for process in self._dying:
                process.kill()
            await self._reaped(grace)

    async def _keep(self) -> None:
        """Keeps a fork server running until this is cancelled."""
        while True:
            began = self._loop.time()
            if self._control is not None or self._relaunched():
                await self._watch()
                self._lost()
            await asyncio.sleep(max(0.0, RESTART_DELAY - (self._loop.time() - began)))

    def _launch(self) -> None:
        control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with far_end:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "media.process.worker.fork_server", str(far_end.fileno())],
                    pass_fds=[far_end.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=clean(MALLOC_ARENA_MAX="2"),
                    start_new_session=True,
                )
            control.setblocking(False)
            self._loop.add_reader(control, self._read)
        except BaseException:
            control.close()
            raise
        self._control = control
        self._heard_at, self._spoke = self._loop.time(), False
        self._gone.clear()

    def _relaunched(self) -> bool:
        try:
            self._launch()
        except OSError as error:
            self._down = f"cannot be started ({error.strerror})"
            log.error("forkserver-not-started", extra={"reason": error.strerror})
            return False
        self.restarts += 1
        return True

    async def _watch(self) -> None:
        """Returns when the fork server is gone, or says nothing although it is asked again and again.

        A look that comes late does not count: then this process stood still, perhaps with the whole machine.
        """
        while not self._gone.is_set():
            self._tell({"ping": 1})
            due = self._loop.time() + self._patience.look
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._gone.wait()
            now = self._loop.time()
            if now - due >= self._patience.look:
                self._heard_at = now
            if now - self._heard_at > (self._patience.hung if self._spoke else self._patience.starting):
                self._down = "hung"
                log.error("forkserver-hung", extra={"pid": self.pid})
                return
            if self._refused:
                self._forks.try_one()
            self._reap()

    def _lost(self) -> None:
        """The fork server is gone, or will be. Running workers live on, and a new one takes the next requests."""
        why = self._down or "has ended"
        self._read()  # what it still said
        self._down = why
        self._drop_control()
        log.error("forkserver-died", extra={"pid": self.pid, "why": self._down})
        if self._process is not None:
            self._process.kill()
            self._dying.append(self._process)
            self._process = None
        self._reap()
        self._forks.server_gone()

    def _reap(self) -> bool:
        """Reaps old fork servers without waiting: one that hangs in the kernel takes its time. Returns whether all have
        ended.
        """
        self._dying = [process for process in self._dying if process.poll() is None]
        return not self._dying

    async def _reaped(self, seconds: float) -> bool:
        # No pidfds: there may be no descriptor left for one.
        end = self._loop.time() + seconds
        while not self._reap() and self._loop.time() < end:  # noqa: ASYNC110 - there is nothing that would tell
            await asyncio.sleep(REAPING)
        return self._reap()

    def _drop_control(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._control = None

    def _tell(self, message: dict[str, int]) -> None:
        """Sends a message. A fork server that cannot be told is gone or hangs, and `_watch` notices that by itself."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps(message).encode())

    def _read(self) -> None:
        while self._control is not None:
            try:
                message, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
            except BlockingIOError:
                return
            except OSError:
                message, fds = b"", []
            if not message:
                self._loop.remove_reader(self._control)
                self._gone.set()
                return
            self._heard_at, self._spoke = self._loop.time(), True
            self._down = ""
            with noted("forkserver-report"):
                self._heard(json.loads(message), fds)

    def _heard(self, report: dict[str, Any], fds: list[int]) -> None:
        match report:
            case {"forked": number, "pid": pid}:
                self._forks.forked(number, pid, fds[0] if fds else None)
            case {"failed": number, "why": why}:
                self._forks.failed(number, why)
            case {"exited": pid, "status": status}:
                self._forks.exited(pid, status)
            case _:
                pass  # it lives
