"""Ends a reader that FFmpeg keeps waiting, when its time is over or the gateway says stop."""

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from media.faults import Fault
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Failed

EVERY: Final = 0.5  # seconds between two looks
NOTICE: Final = 0.1  # seconds that a reader has to see by itself that the gateway has said stop
ENDING: Final = 0.5  # seconds after hanging up in which a reader is to have read the end; one that writes does not
LAST_WORD: Final = 0.5  # seconds after that in which it must be done: the gateway is to hear the fault in its time


class Line(Protocol):
    """The connection that a reader reads from, as another thread may end it."""

    def hang_up(self) -> None:
        """Lets the reader read the end of the stream; what it says still goes out."""

    def cut(self) -> None:
        """Ends the connection in both directions."""


class Watchdog:
    """A thread beside a reader that blocks in FFmpeg.

    `with Watchdog(...) as watchdog:` reads; then `watchdog.fault` says why the reader was made to end, if it was.

    `look` is called twice a second with monotonic time, and raises `Fault` when the time is over. It counts when it
    raises twice in a row: if the whole process stood still, the reader first gets to read what has come meanwhile.
    `line.hang_up` makes the reader's stream end; `line.cut` lets go of a reader that waits until it can write. If the
    reader still goes on after that, its process is ended.
    """

    def __init__(self, channel: GatewaySocket, look: Callable[[float], None], line: Line) -> None:
        self._channel = channel
        self._look = look
        self._line = line
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self.fault: Fault | None = None

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _run(self) -> None:
        told: Fault | None = None
        while not self._channel.rest(EVERY):
            if self._done.is_set():
                return
            before, told = told, self._over()
            if before is not None and told is not None:
                self.fault = told
                if not self._let_go():
                    self._channel.send(Failed(told.code, told.phase, told.detail))
                    os._exit(0)
                return
        if not self._done.wait(NOTICE):
            self._let_go()  # the gateway kills those who do not end in time

    def _let_go(self) -> bool:
        """Whether the reader has ended once its stream had."""
        self._line.hang_up()
        if self._done.wait(ENDING):
            return True
        self._line.cut()
        return self._done.wait(LAST_WORD)

    def _over(self) -> Fault | None:
        try:
            self._look(time.monotonic())
        except Fault as fault:
            return fault
        return None
