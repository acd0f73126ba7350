"""The records of jobs that have just ended: callers come back for those, and the disk costs ten times as much."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from gateway.jobs.job import Record

KEPT: Final = 1000
LARGEST_RESULT: Final = 4096  # bytes; a job with a larger one is read from the disk each time


class Recent:
    """The last jobs that ended and were saved, at most KEPT. Their records change no more; they can only be dropped."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()

    def keep(self, record: Record, result: bytes | None) -> None:
        """Keep the last version of a record; the oldest one goes."""
        if len(result or b"") <= LARGEST_RESULT:
            self._records[record["id"]] = record
            if len(self._records) > KEPT:
                self._records.popitem(last=False)

    def find(self, job_id: str) -> Record | None:
        """The public record, or None when it has to be read from the store."""
        record = self._records.get(job_id)
        return None if record is None else dict(record)

    def drop(self, job_ids: Iterable[str]) -> None:
        """These have left the store."""
        for job_id in job_ids:
            self._records.pop(job_id, None)
