"""The words by which a caller may ask for streams of one status: our own, and those of WCS."""

from enum import StrEnum
from typing import Final

from media.stream import Status


class StatusWord(StrEnum):
    """A status of ours, or what WCS calls it."""

    LIVE = "LIVE"
    WAITING = "WAITING"
    IDLE = "IDLE"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    NEW = "NEW"
    PENDING = "PENDING"
    PUBLISHING = "PUBLISHING"
    PLAYING = "PLAYING"
    PROCESSED_LOCAL = "PROCESSED_LOCAL"
    PROCESSED_REMOTE = "PROCESSED_REMOTE"
    UNPUBLISHED = "UNPUBLISHED"


# The one place that says which word means what.
OURS: Final[dict[StatusWord, Status]] = {
    **{StatusWord(status): status for status in Status},
    StatusWord.NEW: Status.WAITING,
    StatusWord.PENDING: Status.WAITING,
    StatusWord.PUBLISHING: Status.LIVE,
    StatusWord.PLAYING: Status.LIVE,
    StatusWord.PROCESSED_LOCAL: Status.LIVE,
    StatusWord.PROCESSED_REMOTE: Status.LIVE,
    StatusWord.UNPUBLISHED: Status.STOPPED,
}
# In the routes of one kind it means what is above. In those of all streams WCS means what viewers get, and who stops
# them wants to be rid of viewers: here no stream is one.
OF_VIEWERS: Final = StatusWord.PLAYING
