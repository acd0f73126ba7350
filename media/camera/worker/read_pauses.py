"""When a live camera's reader may look away for a moment, and read what has come meanwhile in one go. Pure."""

from typing import Final

PAUSE: Final = 0.1  # seconds of a pause that is always allowed; a longer one only until a chunk is due
LONGEST: Final = 0.3  # seconds: a chunk is about that long, and nothing is late when its last picture is read at once
HELD: Final = 64 * 1024  # bytes that any socket holds while nobody reads: a high bitrate allows no long pause
JITTER: Final = 0.02  # seconds by which packets are later than usual without being late
LEAST: Final = 0.02  # seconds of a pause when a chunk is overdue, so that a busy machine is not made busier
IDLE: Final = 0.02  # seconds that a packet took if its reader surely had nothing else to read
WAITED: Final = 0.003  # seconds that a packet took if it was not there yet
BEHIND: Final = 0.4  # seconds later than the promptest pictures at which there is work to catch up with
FORGET: Final = 0.001  # by which the promptest grows a second: more than the clock of a sound camera drifts
JUMP: Final = 5.0  # seconds between two pictures by which the camera's clock and ours differ if one was set anew
STEADY: Final = 8  # pictures over which what is usual is averaged


class ReadPauses:
    """Says when a reader may pause. One that had to wait for a packet is up to date, and may sleep until the chunk
    under way is due.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None  # by how much the camera's clock is ahead of ours
        self._promptest = 0.0
        self._usual = 0.0  # how late pictures are that were waited for
        self._shown = 0.0
        self._at = 0.0
        self.behind = False  # pictures come too late: a reader that has much to do with each has to catch up

    def note(self, arrival: float, shown: float, waited: float) -> None:
        """A picture that is to be shown at `shown` of the camera's clock came at `arrival` of ours; seconds.

        `waited` is how long it took to come once it was asked for.
        """
        if self._ahead is None:
            self._ahead, self._at, self._shown = shown - arrival, arrival, shown
        jump = (shown - self._shown) - (arrival - self._at)
        if not -JUMP < jump < JUMP:
            self._ahead += jump
        late = arrival - shown + self._ahead
        self._promptest = min(late, self._promptest + FORGET * (arrival - self._at))
        if waited > IDLE:
            self._promptest = late  # nobody who has to wait is behind, whatever the camera's clock says
        self._at, self._shown = arrival, shown
        self.behind = late - self._promptest > BEHIND
        if waited > WAITED:
            self._usual += (late - self._usual) / STEADY

    def due(self, now: float, waited: float, left: float, rate: float) -> float:
        """How many seconds to pause after a packet that took `waited` seconds to come; 0: not at all.

        `left` is what a chunk still lacks, in seconds of pictures; `rate` is bytes a second.
        """
        if self._ahead is None or waited <= WAITED:
            return 0.0
        most = max(PAUSE, min(LONGEST, HELD / max(1.0, rate)))
        full = self._shown + left - self._ahead + self._usual + JITTER
        return min(most, max(LEAST, full - now))
