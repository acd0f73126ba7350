"""Where the public record of a job is: with the job in memory, among those that have just ended, or in the store."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from gateway.jobs.core import Core
from gateway.jobs.feed import portable
from gateway.jobs.job import Job, Record, encode
from gateway.jobs.ports import EVERYTHING, Archive, Query

KEPT: Final = 1000
LARGEST_RESULT: Final = 4096  # bytes; a job with a larger one is read from the disk each time


class Records:
    """The public records of all jobs. `clock` is the core's.

    The last KEPT jobs that ended and were saved are remembered: callers come back for those, and the disk costs ten
    times as much. Such a record changes no more; it can only be dropped.
    """

    def __init__(self, core: Core, store: Archive, clock: Callable[[], float]) -> None:
        self._core = core
        self._store = store
        self._clock = clock
        self._recent: OrderedDict[str, Record] = OrderedDict()

    def of(self, job: Job) -> Record:
        """The record of a job in memory, as of now."""
        return job.record(self._clock())

    async def find(self, job_id: str) -> Record | None:
        """The record of a job that goes on, or that is kept; None for any other."""
        if (job := self._core.jobs.get(job_id)) is not None:
            return self.of(job)
        if (recent := self._recent.get(job_id)) is not None:
            return dict(recent)
        return await self._store.find(job_id)

    async def result(self, job_id: str) -> bytes | None:
        """The result of a DONE job, byte for byte as it was serialised when the job was committed."""
        job = self._core.jobs.get(job_id)
        return job.result_json if job is not None else await self._store.result(job_id)

    async def list(self, limit: int, query: Query = EVERYTHING) -> list[Record]:
        """At most `limit` records of the query, newest first; without results too large for a list."""
        jobs = reversed(self._core.jobs.values())
        here = [portable(record) for job in jobs if query.matches(record := self.of(job))]
        # A record in memory is newer than its stored version, which may even be of another state.
        stored = await self._store.newest(limit, query, frozenset(self._core.jobs))
        return sorted(here + stored, key=lambda record: str(record["createdAt"]), reverse=True)[:limit]

    async def expired(self, job_id: str) -> bool:
        """Whether there was such a job and its record was dropped, by age, by count or on request."""
        return job_id not in self._core.jobs and await self._store.expired(job_id)

    def keep(self, record: Record, result: bytes | None) -> None:
        """A job leaves memory, and this is the last version of its record."""
        if len(result or b"") <= LARGEST_RESULT:
            self._recent[record["id"]] = record
            if len(self._recent) > KEPT:
                self._recent.popitem(last=False)

    def remember(self) -> None:
        """Saves all that memory holds once more, as the store has been made anew."""
        for record in self._recent.values():
            result = None if record["result"] is None else encode(record["result"])
            self._store.save_job(_kept(record), result)
        for job in self._core.jobs.values():
            self._store.save_job(_kept(self.of(job)), job.result_json, job.draft.claim)

    def drop(self, job_ids: Iterable[str]) -> None:
        """Forgets jobs that have left the store."""
        for job_id in job_ids:
            self._recent.pop(job_id, None)


def _kept(record: Record) -> Record:
    """The members of a record that are kept beside the result; not `zombie`, which is one in this process alone."""
    return {key: value for key, value in record.items() if key not in ("result", "zombie")}
