"""Clearing away: finished jobs leave the store by age and by count, and for a while it is known that there was one."""

import asyncio
import logging
from collections import Counter
from typing import Final

from gateway.jobs.ports import Archive, Keep
from gateway.jobs.storage.database import EVICTED_AT_ONCE, StoreError
from gateway.jobs.supervisor import Supervisor

log = logging.getLogger(__name__)

INTERVAL: Final = 10.0  # seconds between two rounds


class Retention:
    """Drops what is over its time; never a job that goes on, is not saved yet, or is awaited.

    The rules and their reasons: job-contract.md, "Retention".
    """

    def __init__(self, supervisor: Supervisor, store: Archive, keep: Keep) -> None:
        self.retained = 0
        self.evicted: Counter[str] = Counter()
        self._supervisor = supervisor
        self._store = store
        self._keep = keep

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self.run_once()
            except StoreError as error:
                log.error("retention-failed", extra={"error": str(error)})
            await asyncio.sleep(INTERVAL)

    async def run_once(self) -> None:
        """One round: all that is due, in pieces, so that no commit waits long."""
        while True:
            dropped = await self._store.evict(self._keep, self._supervisor.in_memory())
            self.retained = dropped.retained
            self.evicted.update(age=len(dropped.by_age), count=len(dropped.by_count))
            self._supervisor.records.drop([*dropped.by_age, *dropped.by_count])
            if len(dropped.by_age) + len(dropped.by_count) < EVICTED_AT_ONCE:
                return
