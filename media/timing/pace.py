"""When each frame leaves: a source's chunks come in bursts, and its pictures should go out evenly."""

from typing import Final

MARGIN: Final = 0.03  # seconds that a chunk may be early without anything being done about it
BACK: Final = 0.02  # of a chunk's length that is won back when it came too early
BURST: Final = 0.7  # of a chunk's length: one that is so early came together with the one before it


class Pace:
    """Ties media time to the clock. All times in seconds."""

    def __init__(self) -> None:
        self._base: float | None = None  # the clock when media time was zero

    def arrived(self, begins: float, lasts: float, now: float) -> float:
        """A chunk came at `now`, with media from `begins` on. Returns what to add to its media times to get the clock.

        A late chunk makes everything after it later. An early one shows that there is time to be won back: a little at
        each, but all of it when two chunks came at once, for then the older one is nothing but backlog.
        """
        earliest = now - begins
        if self._base is None:
            self._base = earliest
        early = self._base - earliest
        if early < 0 or early > BURST * lasts:
            self._base = earliest
        elif early > MARGIN:
            self._base -= min(early - MARGIN, BACK * lasts)
        return self._base

    def forget(self) -> None:
        """What comes next does not follow from what was."""
        self._base = None
