"""When a stream that went off air is tried again, and when it is given up. Pure: the caller brings the time."""

import random
from collections import deque
from collections.abc import Callable
from typing import Final

FIRST_DELAY: Final = 0.5  # seconds
LONGEST_DELAY: Final = 30.0

# Codes after which a quick retry would only do harm, with the least delay in seconds: cameras lock an account after
# repeated bad passwords, and keep the session of a client that crashed for a minute.
SLOW: Final = {
    "source-auth-failed": 60.0,
    "source-auth-or-busy": 60.0,
    "source-not-found": 30.0,
    "source-untrusted": 30.0,
    "source-no-media": 30.0,
    "source-no-parameters": 30.0,
    "source-busy": 5.0,
}
HOPELESS: Final = frozenset({"codec-unsupported", "source-forbidden", "unsupported-scheme"})
REFUSED_LOGIN: Final = frozenset({"source-auth-failed", "source-auth-or-busy"})
MOST_REFUSED_LOGINS: Final = 5  # in a row, then no more until somebody changes the credentials
CRASHES: Final = frozenset({"worker-crashed", "worker-hung", "internal"})
MOST_CRASHES: Final = 5
CRASH_WINDOW: Final = 600.0  # seconds


class Doubling:
    """Waits twice as long after each failure. For what is on this machine."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY

    def steady(self) -> None:
        """The stream was on air for a minute: the next failure starts over at `FIRST_DELAY`."""
        self._delay = FIRST_DELAY

    def after(self, code: str, now: float) -> float | None:
        """Seconds to wait; neither the code of the failure nor the time matters."""
        delay, self._delay = self._delay, min(LONGEST_DELAY, 2 * self._delay)
        return delay


class Backoff:
    """For cameras: decorrelated jitter by class of failure. `spread(low, high)` draws a number between the two."""

    def __init__(self, spread: Callable[[float, float], float] = random.uniform) -> None:
        self._spread = spread
        self._delay = FIRST_DELAY
        self._refused_logins = 0
        self._crashes: deque[float] = deque(maxlen=MOST_CRASHES)

    def steady(self) -> None:
        """The camera was live for a minute: what was before counts no longer, except crashes."""
        self._delay = FIRST_DELAY
        self._refused_logins = 0

    def after(self, code: str, now: float) -> float | None:
        """Seconds to wait after a failure that was seen at `now` (seconds of any clock); None: give up.

        Given up is what no retry can help, the fifth refused login in a row, and the fifth crash in ten minutes.
        """
        self._refused_logins = self._refused_logins + 1 if code in REFUSED_LOGIN else 0
        if code in CRASHES:
            self._crashes.append(now)
            if len(self._crashes) == MOST_CRASHES and now - self._crashes[0] <= CRASH_WINDOW:
                return None
        if code in HOPELESS or self._refused_logins >= MOST_REFUSED_LOGINS:
            return None
        delay = self._delay
        self._delay = min(LONGEST_DELAY, self._spread(FIRST_DELAY, delay * 3))
        # The least delay is spread too, or all cameras of one recorder would come back in the same moment.
        least = SLOW.get(code, 0.0)
        return max(delay, self._spread(least, least * 1.2))
