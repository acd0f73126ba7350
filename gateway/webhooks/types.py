"""What events there are, and which of them a setting names; pure."""

from collections.abc import Iterable
from typing import Final

# The types of a job are its states, those of a stream its statuses.
TYPES: Final = (
    "job.pending",
    "job.running",
    "job.done",
    "job.failed",
    "job.cancelled",
    "stream.live",
    "stream.waiting",
    "stream.idle",
    "stream.paused",
    "stream.failed",
    "stream.stopped",
)


def chosen(words: Iterable[str]) -> frozenset[str]:
    """The types that these words name: `job.done`, `stream.*`, `*`. Raises `ValueError` for a word that names none."""
    found: set[str] = set()
    for word in words:
        named = {each for each in TYPES if word in (each, "*", each.partition(".")[0] + ".*")}
        if not named:
            raise ValueError(f"{word!r} names no event; there are {', '.join(TYPES)}, and job.*, stream.* and *")
        found |= named
    return frozenset(found)
