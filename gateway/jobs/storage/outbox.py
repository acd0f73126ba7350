"""What is still to be told to receivers of webhooks: kept in the store with what it tells of, until it was taken."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from gateway.jobs.storage.rows import Statement
from gateway.jobs.storage.store import Store

_EVENT: Final = ("event", "type", "subject", "body")  # the columns of an Event

GIVEN_UP_KEPT: Final = 1000  # of those that are not tried any more, over all targets
UNWRITTEN_KEPT: Final = 10_000  # events for each target, while the disk cannot be written

_ADD: Final = """
INSERT INTO outbox (target, subject, event, type, created, body)
VALUES (:target, :subject, :event, :type, :created, :body)
"""
_TAKEN: Final = "DELETE FROM outbox WHERE seq = :seq"
_GIVE_UP: Final = "UPDATE outbox SET given_up = :why WHERE seq = :seq"
_BURY: Final = """
DELETE FROM outbox WHERE given_up IS NOT NULL AND seq <= (
    SELECT seq FROM outbox WHERE given_up IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET :kept)
"""
_FORGET: Final = "DELETE FROM outbox WHERE target NOT IN (SELECT value FROM json_each(?))"
_HEADS: Final = """
SELECT min(seq) AS seq FROM outbox WHERE target = ? AND given_up IS NULL GROUP BY subject ORDER BY seq LIMIT ?
"""
_WAITING: Final = "SELECT count(*) FROM outbox WHERE target = ? AND given_up IS NULL"
_TRIM: Final = """
DELETE FROM outbox WHERE target = ? AND given_up IS NULL AND seq <= (
    SELECT seq FROM outbox WHERE target = ? AND given_up IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?)
"""


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """What happened, for all targets: `id` never changes, `subject` is the job or stream, `body` is the JSON text."""

    id: str
    type: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event on its way to one target. `created` is in seconds since the epoch."""

    seq: int
    event: OutboxEvent
    created: float


class Outbox:
    """The table `outbox`. `put` and `interrupting` are part of the transaction that writes what they tell of."""

    def __init__(self, store: Store, targets: Collection[str], wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._targets = tuple(targets)
        self._wall = wall
        self.lost: Counter[str] = Counter()  # events that never reached the disk, by target, until somebody tells

    def rows(self, event: OutboxEvent) -> list[Statement]:
        """The statements that put an event into the box of each target."""
        row = {"event": event.id, "type": event.type, "subject": event.subject, "body": event.body}
        return [(_ADD, {**row, "target": target, "created": self._wall()}) for target in self._targets]

    def put(self, event: OutboxEvent) -> None:
        """Keeps an event for all targets. It is written together with all else that is saved in this loop callback."""
        for statement in self.rows(event):
            lost = self._store.post(statement, UNWRITTEN_KEPT * len(self._targets))
            self.lost.update(row["target"] for _, row in lost)

    async def settled(self) -> None:
        """Returns when all events that were put, taken or given up before are on disk. Raises `StoreError`."""
        await self._store.flush()

    async def heads(self, target: str, most: int) -> list[int]:
        """The oldest waiting event of each subject, oldest first: what may be tried now."""
        return [row["seq"] for row in await self._store.ask(_HEADS, target, most)]

    async def parcel(self, seq: int) -> Parcel | None:
        """One event that waits; None when it is not there any more."""
        rows = await self._store.ask("SELECT * FROM outbox WHERE seq = ? AND given_up IS NULL", seq)
        return next((Parcel(seq, OutboxEvent(*(row[name] for name in _EVENT)), row["created"]) for row in rows), None)

    async def waiting(self, target: str) -> int:
        """How many events wait for one target."""
        return int((await self._store.ask(_WAITING, target))[0][0])

    async def trim(self, target: str, most: int) -> int:
        """Drops the oldest of a target's events beyond `most`. Returns how many were dropped."""
        return await self._store.change(_TRIM, target, target, most)

    async def forget_others(self) -> int:
        """Drops what waits for targets that are not there any more. Returns how many were dropped."""
        return await self._store.change(_FORGET, json.dumps(self._targets))

    def taken(self, seq: int) -> None:
        """The target has taken the event: it is removed."""
        self._store.also((_TAKEN, {"seq": seq}))

    def give_up(self, seq: int, why: str) -> None:
        """The event is not tried any more. The last `GIVEN_UP_KEPT` of such events stay on disk."""
        self._store.also((_GIVE_UP, {"seq": seq, "why": why}))
        self._store.also((_BURY, {"kept": GIVEN_UP_KEPT}))
