"""What one transaction of the store writes."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from gateway.jobs.job import Claim, Record
from gateway.jobs.storage.rows import Row, Statement

Version = tuple[Record, bytes | None, Claim | None]  # a job's record without its result; its result; its claim


@dataclass(slots=True)
class Batch:
    """What one transaction writes: the newest version of each row; a row that is None is deleted.

    `waiters` are the futures of those who wait until it is on disk; `limits` says until when some of them wait.
    """

    jobs: dict[str, Version | None] = field(default_factory=dict)
    streams: dict[str, Row | None] = field(default_factory=dict)
    also: list[Statement] = field(default_factory=list)
    events: deque[Statement] = field(default_factory=deque)
    revision: int = 0
    waiters: list[asyncio.Future[Exception | None]] = field(default_factory=list)
    limits: list[tuple[float, asyncio.Future[Exception | None]]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.jobs) + len(self.streams) + len(self.also) + len(self.events) + bool(self.revision)

    def settle(self, error: Exception | None) -> None:
        """Tells those who wait that the batch is on disk, or why it could not be written."""
        if self.timer is not None:
            self.timer.cancel()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(error)

    def limit(self, waiter: asyncio.Future[Exception | None], until: float, loop: asyncio.AbstractEventLoop) -> None:
        """Lets this waiter give up at that time of the loop. One timer serves all waiters."""
        self.limits.append((until, waiter))
        if self.timer is None or self.timer.when() > until:
            if self.timer is not None:
                self.timer.cancel()
            self.timer = loop.call_at(until, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self.timer.when() if self.timer is not None else loop.time()
        for until, waiter in self.limits:
            if until <= now and not waiter.done():
                waiter.set_result(TimeoutError("the disk has not answered in time"))
        self.limits = [each for each in self.limits if each[0] > now]
        self.timer = None
        if self.limits:
            self.timer = loop.call_at(min(until for until, _ in self.limits), self._expire, loop)

    def put_stream(self, stream_id: str, row: Row | None) -> None:
        # To the end: a name that is freed and taken again in one batch must be freed first.
        self.streams.pop(stream_id, None)
        self.streams[stream_id] = row

    def put_back(self, older: "Batch") -> None:
        """Takes up what an older batch could not write. Rows that are here are newer and stay."""
        self.jobs = {**older.jobs, **self.jobs}
        self.also = older.also + self.also
        self.events = older.events + self.events
        self.revision = max(older.revision, self.revision)
        streams, self.streams = self.streams, older.streams
        for stream_id, row in streams.items():
            self.put_stream(stream_id, row)
