"""The words for a status, both ways: those by which a caller may ask, our own and WCS's, and those that WCS shows."""

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

# The other way: what WCS calls a status of ours. What is there has another word in each of its objects.
THEIRS: Final[dict[Status, StatusWord]] = {
    Status.LIVE: StatusWord.PUBLISHING,
    Status.WAITING: StatusWord.PENDING,
    Status.IDLE: StatusWord.PENDING,
    Status.PAUSED: StatusWord.PAUSED,
    Status.FAILED: StatusWord.FAILED,
    Status.STOPPED: StatusWord.UNPUBLISHED,
}
LIVE_IN: Final[dict[str, StatusWord]] = {
    "stream": StatusWord.PUBLISHING,
    "rtsp": StatusWord.PLAYING,
    "pull": StatusWord.PLAYING,
    "vod": StatusWord.PROCESSED_LOCAL,
    "transcoder": StatusWord.PROCESSED_LOCAL,
}


def word_of(status: Status, wcs_object: str) -> StatusWord:
    """What WCS calls it in `/stream`, `/rtsp`, ..."""
    return LIVE_IN[wcs_object] if status is Status.LIVE else THEIRS[status]
