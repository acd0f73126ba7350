"""Ends a reader that FFmpeg keeps waiting, when its time is over or the gateway says stop."""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from media.faults import Fault
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Failed

EVERY: Final = 0.5  # seconds between two looks
NOTICE: Final = 0.1  # seconds that a reader has to see by itself that the gateway has said stop
LAST_WORD: Final = 2.0  # seconds after hanging up in which the reader must be done


class Watchdog:
    """A thread beside a reader that blocks in FFmpeg. `with Watchdog(...) as lookout:` reads, and `lookout.fault` says
    why it was made to end, if it was.

    `look` is called twice a second with monotonic time, and raises `Fault` when the time is over. It is believed at the
    second time in a row: where all of the process stood still, the reader first gets to read what has come meanwhile.
    `hang_up` makes the reader's stream end. A reader that goes on after that has its process ended around it.
    """

    def __init__(self, channel: GatewaySocket, look: Callable[[float], None], hang_up: Callable[[], None]) -> None:
        self._channel = channel
        self._look = look
        self._hang_up = hang_up
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
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
                self._hang_up()
                self._see_out(told)
                return
        if not self._done.wait(NOTICE):
            self._hang_up()  # the gateway kills those who do not end in time

    def _over(self) -> Fault | None:
        try:
            self._look(time.monotonic())
        except Fault as fault:
            return fault
        return None

    def _see_out(self, fault: Fault) -> None:
        if not self._done.wait(LAST_WORD):
            self._channel.send(Failed(fault.code, fault.phase, fault.detail))
            os._exit(0)
