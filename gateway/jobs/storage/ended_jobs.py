"""Ended jobs on their way out of memory: each may leave when its last version is on disk."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.jobs.ports import Archive
from gateway.jobs.run import Run
from gateway.jobs.storage.database import StoreError
from media.supervision import noted, supervise

log = logging.getLogger(__name__)

STORE_RETRY: Final = 1.0  # seconds until a store that could not be written is asked again


class EndedJobs:
    """Ended jobs that wait for the disk; `leave` is called for each that is on it. After an error they wait again."""

    def __init__(self, store: Archive, leave: Callable[[Run], None]) -> None:
        self.task: asyncio.Task[None] | None = None
        self._store = store
        self._leave = leave
        self._ended: list[Run] = []

    def add(self, run: Run) -> None:
        """Takes a job that has ended and of which nothing is left; the store gets its last version in this callback."""
        self._ended.append(run)
        if self.task is None or self.task.done():
            self.task = supervise("job-departures", self._see_off)

    async def _see_off(self) -> None:
        while self._ended:
            ready, self._ended = self._ended, []
            try:
                await self._store.flush()
            except StoreError as error:
                self._ended = ready + self._ended
                log.error("jobs-not-saved", extra={"error": str(error), "jobs": len(self._ended)})
                await asyncio.sleep(STORE_RETRY)
                continue
            for run in ready:
                with noted("job-departure", job=run.job.id):
                    run.saved = True
                    self._leave(run)
