"""The clock of channels: the event loop's time without the seconds in which the process did not run."""

import asyncio
import logging
from typing import Final

log = logging.getLogger(__name__)

PULSE: Final = 0.5  # seconds between two looks at the time, besides those of viewers
LOST: Final = 2.0  # a step longer than this was no step of a running process: SIGSTOP, a suspended machine, overload


class RunningClock:
    """Call it for seconds. Channels that run by it are as late as the process was, and never burst to catch up.

    One timer for all channels. Make it inside a running event loop, and `close` it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen = self._loop.time()
        self._lost = 0.0
        self.anchored = 0  # how often time was lost
        self._timer = self._loop.call_later(PULSE, self._pulse)

    def __call__(self) -> float:
        now = self._loop.time()
        step = now - self._seen
        self._seen = now
        if step > LOST:
            # A viewer or the timer finds the stop, whoever looks first. A step of PULSE is usual and not lost.
            self._lost += step - PULSE
            self.anchored += 1
            log.warning("channels-anchored-again", extra={"lost_s": round(step - PULSE, 3)})
        return now - self._lost

    def close(self) -> None:
        """Stops the timer."""
        self._timer.cancel()

    def _pulse(self) -> None:
        self._timer = self._loop.call_later(PULSE, self._pulse)
        self()
