"""Answers that promise something wait until it is on disk, and no longer than their callers are ready to wait."""

import asyncio
import logging
from typing import Final

from gateway.jobs.failures import Failure
from gateway.jobs.ports import Archive
from gateway.jobs.storage.database import StoreError

log = logging.getLogger(__name__)

GRACE: Final = 1.0  # seconds beyond a caller's `wait` that the disk gets; what it needs is some milliseconds
UNTIMED_LIMIT: Final = 5.0  # seconds for calls that have no `wait`
RETRY_AFTER: Final = 5


async def on_disk(store: Archive, job_id: str, seconds: float) -> bool:
    """Whether the last version of a job, and all that was saved with it, is on disk within so many seconds."""
    try:
        await store.settled(job_id, seconds)
    except StoreError as error:
        log.error("job-not-saved", extra={"job": job_id, "error": str(error)})
        return False
    return True


async def all_on_disk(store: Archive, detail: str, **extra: object) -> None:
    """Returns when all that was saved before this call is on disk. Raises `Failure` `store-failing` with this detail
    when that is not so in time.
    """
    try:
        async with asyncio.timeout(UNTIMED_LIMIT):
            await store.flush()
    except (StoreError, TimeoutError) as error:
        log.error("change-not-saved", extra={"error": str(error) or "the disk has not answered in time"})
        raise Failure("store-failing", detail, retry_after=RETRY_AFTER, **extra) from None
