"""When a live camera's reader may look away for a moment, and read what has come meanwhile in one go. Pure."""

from typing import Final

NAP: Final = 0.1  # seconds: a few wakings a second instead of one for each packet, and a third of a chunk late
WAITED: Final = 0.003  # seconds that a packet took if it was not there yet
BEHIND: Final = 0.4  # seconds later than the promptest pictures at which there is work to catch up with
FORGET: Final = 0.001  # by which the promptest grows a second: more than the clock of a sound camera drifts


class Naps:
    """A reader that has had to wait is up to date. One that falls behind on a busy machine takes none."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self._promptest = 0.0
        self._at = 0.0
        self.behind = False  # pictures come too late: there is work to catch up with

    def note(self, arrival: float, shown: float) -> None:
        """A picture that is to be shown at `shown` of the camera's clock came at `arrival` of ours; seconds."""
        if self._start is None:
            self._start, self._at = (arrival, shown), arrival
        late = (arrival - self._start[0]) - (shown - self._start[1])
        self._promptest = min(late, self._promptest + FORGET * (arrival - self._at))
        self._at = arrival
        self.behind = late - self._promptest > BEHIND

    def due(self, waited: float) -> bool:
        """Whether to take a nap after a packet that took `waited` seconds to come."""
        return self._start is not None and waited > WAITED and not self.behind
