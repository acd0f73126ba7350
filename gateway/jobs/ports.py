"""What the supervisor needs of others: somewhere to keep records, and whoever wants to hear what happens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.jobs.effects import Effect
from gateway.jobs.job import Claim, Record


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs a list is of; what is None does not matter. `since` and `until`, which are among them, are RFC 3339 in
    UTC with milliseconds; `owner` is the id of the key that asked for the job.
    """

    states: Collection[str] | None = None
    kinds: Collection[str] | None = None
    since: str | None = None
    until: str | None = None
    owner: str | None = None

    def matches(self, record: Record) -> bool:
        """Whether the query asks for this record."""
        return (
            (self.states is None or record["state"] in self.states)
            and (self.kinds is None or record["kind"] in self.kinds)
            and (self.since is None or str(record["createdAt"]) >= self.since)
            and (self.until is None or str(record["createdAt"]) <= self.until)
            and (self.owner is None or record.get("request", {}).get("key") == self.owner)
        )


EVERYTHING = Query()


@dataclass(frozen=True, slots=True)
class Keep:
    """How long finished jobs are kept: at most `count`, and the ids of the last `tombstones` that were dropped."""

    count: int = 100_000
    tombstones: int = 10_000


@dataclass(frozen=True, slots=True)
class Eviction:
    """What one round of clearing away did: jobs dropped by age and by count, and how many finished ones are left."""

    by_age: list[str]
    by_count: list[str]
    retained: int


class Archive(Protocol):
    """Where records are kept: what the supervisor needs of the store."""

    @property
    def room(self) -> bool:
        """Whether the store keeps up with what it is given."""

    @property
    def trouble(self) -> str:
        """Why nothing can be kept at the moment; "" when all is well."""

    def accepted(self, job_id: str) -> bool:
        """Whether a version of a job that goes on is safe."""

    def save_job(self, record: Record, result: bytes | None, claim: Claim | None = None) -> None:
        """Keep this version of the record (without its result), soon. A claim lives as long as its job's record."""

    def delete_job(self, job_id: str) -> None:
        """Drop a job, soon, and remember that there was one."""

    def note_revision(self, revision: int) -> None:
        """Remember, soon, that this revision was used."""

    async def flush(self) -> None:
        """Return when all that was handed in before is safe. Raises StoreError when it is not."""

    async def settled(self, job_id: str, seconds: float) -> None:
        """Return when the last version of one job is safe, with all that was handed in in the same callback.

        Raises StoreError when it is not, or when it takes longer than `seconds`.
        """

    async def find(self, job_id: str) -> Record | None:
        """The last saved record."""

    async def result(self, job_id: str) -> bytes | None:
        """The serialised result of a job that is DONE."""

    async def newest(self, limit: int, query: Query = EVERYTHING, without: Collection[str] = ()) -> list[Record]:
        """Saved records, newest first."""

    async def claimed(self, key: str) -> tuple[str, str] | None:
        """The id and the fingerprint of the saved job that has this key."""

    async def expired(self, job_id: str) -> bool:
        """Whether there was such a job, and it was dropped."""

    async def evict(self, keep: Keep, protected: Collection[str]) -> Eviction:
        """Drop jobs that are over their age, or too many, but none of the `protected`. It may leave some for the next
        round.
        """


class Observer(Protocol):
    """Hears of all that happens to jobs, in order, in the loop callback in which it happens. It must not block."""

    def happened(self, effects: Sequence[Effect]) -> None:
        """The effects of one event, in order, after they were done."""

    def changed(self, record: Record) -> None:
        """One new version of a public record; revisions increase from call to call."""
