"""The end of the process: in good order when it is asked, by force when that takes too long or it is asked again."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

from media.supervision import FAILURES

SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
POLL: Final = 0.1  # seconds between two looks whether the time is over
HURRY: Final = 2.0  # seconds that an end in good order gets after the second signal
LEFT: Final = 1.0  # seconds for threads that a disk may hold, when all else has ended


class Ending:
    """Takes the signals that end the process, in a thread of its own: a loop that stands still cannot keep it alive.

    `asked` is called on the loop at the first signal, `again` at each later one. `seconds` after the first one, or
    `HURRY` after the second, the process ends as if it were killed: what was acknowledged is on disk, and workers end
    when their gateway is gone. Make it in the main thread, before any other thread.
    """

    def __init__(self, seconds: float, asked: Callable[[], None], again: Callable[[], None]) -> None:
        self._seconds = seconds
        self._asked = asked
        self._again = again
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._status = 1
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # each thread from now on inherits it
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def done(self, status: int) -> int:
        """Everything has ended in good order, with this exit status. Whatever still hangs is not waited for."""
        self._status = status
        self._due = time.monotonic() + LEFT
        signal.pthread_kill(self._thread.ident or 0, signal.SIGTERM)  # wakes it
        return status

    def _run(self) -> None:
        signal.sigwait(SIGNALS)
        if self._due is None:
            self._due = time.monotonic() + self._seconds
            self._tell(self._asked)
        while time.monotonic() < self._due:
            if signal.sigtimedwait(SIGNALS, POLL) is not None:
                self._due = min(self._due, time.monotonic() + HURRY)
                self._tell(self._again)
        if self._status:
            _say("reelgate: the end in good order took too long; it ends by force")
        os._exit(self._status)

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            return  # the loop is closed: it is ending already


def _say(text: str) -> None:
    """Writes to standard error past the log and its locks, which a thread that hangs may hold."""
    os.write(sys.stderr.fileno(), text.encode() + b"\n")


async def closed(part: str, close: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Closes one part, or leaves it when that takes too long, so that the parts after it are closed, too."""
    try:
        async with asyncio.timeout(seconds):
            await close()
    except TimeoutError as error:
        FAILURES.note("close", error, part=part)
