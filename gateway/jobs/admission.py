"""Whether the store is ready for one more job."""

from typing import Final

from gateway.jobs.failures import Failure
from gateway.jobs.ports import Archive

RETRY_AFTER: Final = 5  # seconds


def check_store(store: Archive) -> None:
    """Raises `Failure`: `store-failing` while nothing can be written, `capacity-exceeded` when too much waits."""
    if store.room:
        return
    if store.trouble:
        detail = "The gateway's store cannot be written, so nothing could be promised; try again later."
        raise Failure("store-failing", detail, retry_after=RETRY_AFTER)
    detail = "The store does not keep up (is the disk full or slow?); try again later."
    raise Failure("capacity-exceeded", detail, retry_after=RETRY_AFTER)
