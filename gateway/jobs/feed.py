"""What happened, for whoever listens: numbered, kept for a while, and never waiting for a slow listener."""

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from gateway.jobs.job import Record
from gateway.jobs.storage.rows import LARGEST_LISTED

KEPT: Final = 1000  # events that a listener who comes back can catch up on
KEPT_BYTES: Final = 16 * 1024 * 1024
QUEUE: Final = 256  # events that may wait for one listener


def portable(record: Record) -> Record:
    """The record as it is listed and told: without a result that is too large, which is fetched by its link."""
    result = record.get("result")
    if result is None or len(json.dumps(result, ensure_ascii=False)) <= LARGEST_LISTED:
        return record
    return {**record, "result": None}


@dataclass(frozen=True)
class Happening:
    """One event: its number (the revision), its type (`job` or `stream`), and the public record.

    An event without a number tells figures of the moment: it is not kept, and nobody catches up on it.
    """

    number: int | None
    type: str
    record: Record

    @cached_property
    def wire(self) -> bytes:
        """The event in the form of server-sent events (WHATWG HTML, 9.2)."""
        data = json.dumps(portable(self.record), ensure_ascii=False, separators=(",", ":"))
        number = "" if self.number is None else f"id: {self.number}\n"
        return f"{number}event: {self.type}\ndata: {data}\n\n".encode()


@dataclass(eq=False)
class Listener:
    """One who listens: `awake` is set when something waits.

    When its queue is full it is `lost`: it is told nothing more, and should come back and resume. With `figures` it
    also gets events without a number.
    """

    figures: bool = False
    waiting: deque[Happening] = field(default_factory=deque)
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """A ring of the last events, and those who listen. Numbers increase, over restarts of the gateway too.

    `newest` is the highest number that was used before: nothing that happened until then can be caught up on.
    """

    def __init__(self, newest: int = 0) -> None:
        self.dropped = 0
        self._ring: deque[tuple[int, int, Happening]] = deque()  # with its rough number of bytes
        self._bytes = 0
        self._floor = newest
        self._newest = newest
        self._listeners: set[Listener] = set()

    @property
    def listeners(self) -> int:
        """How many listen right now."""
        return len(self._listeners)

    def tell(self, number: int, type: str, record: Record) -> None:
        """Something happened. Never blocks and never waits."""
        happening = Happening(number, type, record)
        self._keep(happening, number)
        for listener in list(self._listeners):
            if len(listener.waiting) >= QUEUE:
                self._lose(listener)
            else:
                listener.waiting.append(happening)
                listener.awake.set()

    def mention(self, type: str, record: Record) -> None:
        """Tells figures of the moment to those who want them and are not behind. Nobody is lost because of them."""
        happening = Happening(None, type, record)
        for listener in self._listeners:
            if listener.figures and len(listener.waiting) < QUEUE // 2:
                listener.waiting.append(happening)
                listener.awake.set()

    @property
    def wants_figures(self) -> bool:
        """Whether anybody wants figures of the moment."""
        return any(listener.figures for listener in self._listeners)

    @contextmanager
    def listening(self, since: int | None, figures: bool = False) -> Iterator[tuple[Listener, list[Happening] | None]]:
        """Listens from now on. Gives what happened after `since`, too; None when that is not known any more."""
        listener = Listener(figures)
        missed = [] if since is None else self._after(since)
        self._listeners.add(listener)
        try:
            yield listener, missed
        finally:
            self._listeners.discard(listener)

    def _after(self, number: int) -> list[Happening] | None:
        if not self._floor <= number <= self._newest:
            return None
        return [happening for kept, _, happening in self._ring if kept > number]

    def _keep(self, happening: Happening, number: int) -> None:
        weight = _weight(happening)  # not the bytes of `wire`, which is made only when someone listens
        self._ring.append((number, weight, happening))
        self._newest = number
        self._bytes += weight
        while len(self._ring) > KEPT or self._bytes > KEPT_BYTES:
            self._floor, weight, _ = self._ring.popleft()
            self._bytes -= weight

    def _lose(self, listener: Listener) -> None:
        self.dropped += 1
        self._listeners.discard(listener)
        listener.waiting.clear()
        listener.lost.set()
        listener.awake.set()


def _weight(happening: Happening) -> int:
    """A rough number of bytes: results are what is large."""
    result = happening.record.get("result")
    return 2048 + (sum(len(str(value)) for value in result.values()) if isinstance(result, dict) else 0)
