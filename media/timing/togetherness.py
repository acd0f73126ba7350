"""Holds a camera's sound to the picture with which it arrives, when what the camera says of the two cannot be true."""

from typing import Final

BELIEVED: Final = 3.0  # seconds between sound and picture that arrive together, beyond which their stamps are wrong


class SoundOffset:
    """Corrects the time of sound, in seconds of the stream's timeline.

    RTP-Info and sender reports say how the clocks of two tracks belong together (RFC 2326, 12.33; RFC 3550, 6.4.1).
    Some cameras say `rtptime=-1`, or what was true an hour ago. What arrives together was recorded together, give or
    take `BELIEVED`. An offset within that is taken as it is told.
    """

    def __init__(self) -> None:
        self.corrections = 0
        self._added = 0.0

    def place(self, seconds: float, picture: float, since: float) -> float:
        """When a packet of sound is heard that bears `seconds`. The newest picture is shown at `picture`, and the
        packet came `since` seconds after it (below 0: before it).

        Sound may go on while no picture comes, and may have waited in the network as long as the picture has: so
        whatever lies between the two moments is near.
        """
        told = seconds + self._added
        nearest = min(max(told, picture + min(since, 0.0)), picture + max(since, 0.0))
        if abs(told - nearest) <= BELIEVED:
            return told
        self._added += nearest - told
        self.corrections += 1
        return nearest
