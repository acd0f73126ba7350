"""An archive in memory: it keeps the contract of the store, and can be told to fail or to be full."""

import json
import time
from collections.abc import Callable, Collection
from typing import Any

from gateway.jobs.feed import portable
from gateway.jobs.job import Claim, Record, time_of_day
from gateway.jobs.ports import EVERYTHING, Eviction, Keep, Query
from gateway.jobs.storage.database import FAR_TOO_MANY, YOUNG, StoreError

Saved = tuple[Record, bytes | None, Claim | None]


class MemoryArchive:
    """Records are found after a flush only, as with the store."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.keeps_up = True
        self.failing = False
        self.revision = 0
        self.records: dict[str, Saved] = {}
        self.graves: list[str] = []
        self._wall = wall
        self._waiting: dict[str, Saved | None] = {}

    @property
    def room(self) -> bool:
        return self.keeps_up and not self.failing

    @property
    def trouble(self) -> str:
        return "the disk is full" if self.failing else ""

    def accepted(self, job_id: str) -> bool:
        return job_id in self.records

    def save_job(self, record: Record, result: bytes | None, claim: Claim | None = None) -> None:
        self._waiting[record["id"]] = (dict(record), result, claim)
        self.revision = max(self.revision, record["revision"])

    def delete_job(self, job_id: str) -> None:
        self._waiting[job_id] = None

    def note_revision(self, revision: int) -> None:
        self.revision = max(self.revision, revision)

    async def flush(self) -> None:
        if self.failing:
            raise StoreError("the disk is full")
        for job_id, saved in self._waiting.items():
            if saved is None:
                self._bury([job_id])
            else:
                self.records[job_id] = saved
        self._waiting = {}

    async def settled(self, job_id: str, seconds: float) -> None:
        del job_id, seconds
        await self.flush()

    async def find(self, job_id: str) -> Record | None:
        return self._whole(job_id) if job_id in self.records else None

    async def result(self, job_id: str) -> bytes | None:
        return self.records[job_id][1] if job_id in self.records else None

    async def newest(self, limit: int, query: Query = EVERYTHING, without: Collection[str] = ()) -> list[Record]:
        found = [self._whole(job_id) for job_id in reversed(self.records) if job_id not in without]
        return [portable(record) for record in found if query.matches(record)][:limit]

    async def claimed(self, key: str) -> tuple[str, str] | None:
        for job_id, (_, _, claim) in self.records.items():
            if claim is not None and claim.key == key:
                return job_id, claim.fingerprint
        return None

    async def expired(self, job_id: str) -> bool:
        return job_id in self.graves

    async def evict(self, keep: Keep, protected: Collection[str]) -> Eviction:
        now = self._wall()
        ended = {job_id: record for job_id, (record, _, _) in self.records.items() if record["finishedAt"]}
        finished = sorted((record["finishedAt"], job_id) for job_id, record in ended.items())
        over_age = {job_id for job_id, record in ended.items() if record.get("expiresAt", "9") <= time_of_day(now)}
        aged = [each for _, each in finished if each in over_age and each not in protected]
        rest = [(at, each) for at, each in finished if each not in aged and each not in protected]
        over = max(0, len(finished) - len(aged) - keep.count)
        surplus_jobs = [each for at, each in rest if at <= time_of_day(now - YOUNG)][:over]
        far = max(0, len(finished) - len(aged) - len(surplus_jobs) - FAR_TOO_MANY * keep.count)
        surplus_jobs += [each for _, each in rest if each not in surplus_jobs][:far]
        self._bury([*aged, *surplus_jobs])
        self.graves = self.graves[len(self.graves) - keep.tombstones :] if keep.tombstones else []
        return Eviction(aged, surplus_jobs, len(finished) - len(aged) - len(surplus_jobs))

    def _bury(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self.records.pop(job_id, None)
            self.graves.append(job_id)

    def _whole(self, job_id: str) -> Record:
        record, result, _ = self.records[job_id]
        whole: dict[str, Any] = {**record, "result": None if result is None else json.loads(result)}
        return whole
