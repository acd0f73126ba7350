"""Which changes of jobs and streams are events, and what is told of them."""

import secrets
import time
from collections.abc import Callable, Collection
from typing import Final

from gateway.jobs.feed import portable
from gateway.jobs.job import Record, encode, time_of_day
from gateway.jobs.state import State
from gateway.jobs.storage.outbox import Outbox, OutboxEvent
from gateway.jobs.storage.rows import Statement

# Family -> the member of its record that says how it stands.
STANDING: Final = {"job": "state", "stream": "status"}


class ChangeRecorder:
    """Puts what happens into the outbox, in the loop callback in which it happens. Stages of a job are no events."""

    def __init__(
        self,
        outbox: Outbox,
        wanted: Collection[str],
        awake: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._wanted = wanted
        self._awake = awake
        self._wall = wall
        self._told: dict[str, str] = {}  # the jobs that have not ended, and the last state that was told

    def tell(self, number: int, family: str, record: Record) -> None:
        """Keeps an event for a new version of a record. `number` is that of `/events`, and increases over all that
        happens.
        """
        standing = str(record[STANDING[family]])
        if family == "job":
            if self._told.get(record["id"]) == standing:
                return
            self._told[record["id"]] = standing
            if State(standing).terminal:
                del self._told[record["id"]]
        event = self._event(number, family, record)
        if event.type in self._wanted:
            self._outbox.put(event)
            self._awake()

    def interrupted(self, record: Record) -> list[Statement]:
        """The statements that are written with the record of a job that a restart has interrupted."""
        event = self._event(record["revision"], "job", record)
        return self._outbox.rows(event) if event.type in self._wanted else []

    def _event(self, number: int, family: str, record: Record) -> OutboxEvent:
        type = f"{family}.{record[STANDING[family]].lower()}"
        told = {"type": type, "timestamp": time_of_day(self._wall()), "number": number, "data": portable(record)}
        return OutboxEvent(f"evt_{secrets.token_hex(16)}", type, f"{family}:{record['id']}", encode(told).decode())
