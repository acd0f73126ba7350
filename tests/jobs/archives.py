"""An archive in memory: it keeps the contract of the store, and can be told to fail or to be full."""

import json
from collections.abc import Collection
from typing import Any

from gateway.jobs.job import Record
from gateway.jobs.store import StoreError


class MemoryArchive:
    """Records are found after a flush only, as with the store."""

    def __init__(self) -> None:
        self.room = True
        self.failing = False
        self.records: dict[str, tuple[Record, bytes | None]] = {}
        self._waiting: dict[str, tuple[Record, bytes | None]] = {}

    def save_job(self, record: Record, result: bytes | None) -> None:
        self._waiting[record["id"]] = (dict(record), result)

    async def flush(self) -> None:
        if self.failing:
            raise StoreError("the disk is full")
        self.records |= self._waiting
        self._waiting = {}

    async def find(self, job_id: str) -> Record | None:
        return self._whole(job_id) if job_id in self.records else None

    async def result(self, job_id: str) -> bytes | None:
        return self.records[job_id][1] if job_id in self.records else None

    async def newest(
        self,
        limit: int,
        states: Collection[str] | None = None,
        kinds: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Record]:
        found = [self._whole(job_id) for job_id in reversed(self.records) if job_id not in without]
        return [
            record
            for record in found
            if (states is None or record["state"] in states) and (kinds is None or record["kind"] in kinds)
        ][:limit]

    def _whole(self, job_id: str) -> Record:
        record, result = self.records[job_id]
        whole: dict[str, Any] = {**record, "result": None if result is None else json.loads(result)}
        return whole
