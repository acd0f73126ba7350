"""Delivery to one target: what waits is sent in order for each job and stream, again and again until it is taken."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from gateway.jobs.storage.database import StoreError
from gateway.jobs.storage.outbox import Outbox, Parcel
from gateway.webhooks import signature
from gateway.webhooks.post import Reply, Unreachable
from media.supervision import FAILURES

log = logging.getLogger(__name__)

PLACES: Final = 8  # deliveries to one target at once, each of another job or stream
LOOK_AGAIN: Final = 60.0  # seconds until the store is looked at without news: the command line may have changed it
SHORTEST: Final = 0.001  # seconds of a wait: what is shorter than a clock can tell would be waited for in circles
STORE_RETRY: Final = 5.0  # seconds until a store that could not be written is tried again
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds, of a target that takes nothing
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0  # seconds, of one event that the target answered and did not take

Send = Callable[[str, dict[str, str], bytes], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where to, and signed with what. `give_up` is in seconds, `backlog` a number of events."""

    url: str
    keys: tuple[bytes, ...]
    give_up: float = 259_200.0
    backlog: int = 10_000

    @property
    def key(self) -> str:
        """What it is called in the store, which is no place for an address that may hold a secret."""
        return sha256(self.url.encode()).hexdigest()[:16]

    @property
    def host(self) -> str:
        """What it is called in the log."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


class Delivery:
    """What waits for one target goes out: at least once, and never an older event of a job after a newer one.

    A target that takes nothing at all is left alone for up to a minute at a time; a single event that it refuses for up
    to an hour, and holds up only what happened to the same job or stream.
    """

    def __init__(
        self, target: WebhookTarget, outbox: Outbox, send: Send, wall: Callable[[], float] = time.time
    ) -> None:
        self.target = target
        self.waiting = 0
        self.outcomes: Counter[str] = Counter()
        self._outbox = outbox
        self._send = send
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._posting: dict[int, asyncio.Task[None]] = {}
        self._due: dict[int, tuple[float, float]] = {}  # refused events: when they are due, and the delay after that
        self._failures = 0  # in a row, of anything
        self._resume_at = 0.0

    def awake(self) -> None:
        """Something new waits."""
        self._news.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        try:
            while True:
                await self.run_once()
        finally:
            posting = list(self._posting.values())
            for task in posting:
                task.cancel()
            if posting:
                await asyncio.wait(posting)

    async def run_once(self) -> None:
        """Begins what is due, and returns when there may be more to do."""
        self._news.clear()
        if lost := self._outbox.lost.pop(self.target.key, 0):
            self._dropped(lost)
        try:
            await self._outbox.settled()
            await self._trim()
            pause = await self._begin()
        except StoreError as error:
            log.error("webhook-store-failed", extra={"target": self.target.host, "error": str(error)})
            pause = STORE_RETRY
        try:
            async with asyncio.timeout(LOOK_AGAIN if pause is None else max(pause, SHORTEST)):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _trim(self) -> None:
        """Keeps to the bound: the oldest go first, since the newest says how things stand."""
        self.waiting = await self._outbox.waiting(self.target.key)
        if self.waiting <= self.target.backlog:
            return
        dropped = await self._outbox.trim(self.target.key, self.target.backlog)
        self.waiting -= dropped
        self._dropped(dropped)

    def _dropped(self, events: int) -> None:
        self.outcomes["dropped"] += events
        log.error("webhooks-dropped", extra={"target": self.target.host, "events": events})

    async def _begin(self) -> float | None:
        """Starts deliveries. Gives the seconds until something else is due; None when nothing is held back."""
        now = self._loop.time()
        if now < self._resume_at:
            return self._resume_at - now
        # After a failure one at a time, until the target takes something again.
        places = (1 if self._failures else PLACES) - len(self._posting)
        if places <= 0:
            return None
        heads = await self._outbox.heads(self.target.key, places + len(self._posting) + len(self._due))
        self._due = {seq: due for seq, due in self._due.items() if heads and seq >= heads[0]}
        free = [seq for seq in heads if seq not in self._posting]
        for seq in [seq for seq in free if self._due_at(seq) <= now][:places]:
            task = self._posting[seq] = self._loop.create_task(self._deliver(seq), name=f"webhook {seq}")
            task.add_done_callback(lambda _: self.awake())
        return min((self._due_at(seq) - now for seq in free if self._due_at(seq) > now), default=None)

    def _due_at(self, seq: int) -> float:
        return self._due.get(seq, (0.0, 0.0))[0]

    async def _deliver(self, seq: int) -> None:
        """One attempt. The next event of the same job waits until it is on disk that this one was taken."""
        try:
            parcel = await self._outbox.parcel(seq)
            if parcel is not None and await self._attempt(parcel):
                self._due.pop(seq, None)
                await self._written()
        except StoreError as error:
            log.error("webhook-store-failed", extra={"target": self.target.host, "error": str(error)})
            self._resume_at = self._loop.time() + STORE_RETRY
        except Exception as error:  # of this one event, perhaps: others go on, and it is tried later each time
            FAILURES.note("webhook", error, target=self.target.host)
            self._refused(seq, 0.0)
        finally:
            del self._posting[seq]

    async def _written(self) -> None:
        while True:
            try:
                return await self._outbox.settled()
            except StoreError as error:
                log.error("webhook-store-failed", extra={"target": self.target.host, "error": str(error)})
                await asyncio.sleep(STORE_RETRY)

    async def _attempt(self, parcel: Parcel) -> bool:
        """Whether that was the last attempt: it was taken, or is given up."""
        body = parcel.event.body.encode()
        headers = signature.headers(parcel.event.id, int(self._wall()), body, self.target.keys)
        retry_after = 0.0
        try:
            reply = await self._send(self.target.url, headers, body)
        except Unreachable as error:
            why = str(error)
        else:
            if reply.taken:
                self._taken(parcel)
                return True
            why, retry_after = f"it answered {reply.status}", reply.retry_after
            self._refused(parcel.seq, retry_after)
        self._failed(parcel, why, retry_after)
        if self._wall() - parcel.created < self.target.give_up:
            return False
        self._outbox.give_up(parcel.seq, why)
        self.outcomes["given-up"] += 1
        log.error("webhook-given-up", extra=self._about(parcel, why))
        return True

    def _taken(self, parcel: Parcel) -> None:
        self._outbox.taken(parcel.seq)
        self.outcomes["delivered"] += 1
        if self._failures:
            log.info("webhook-target-back", extra={"target": self.target.host, "failures": self._failures})
        self._failures = 0
        self._resume_at = 0.0

    def _refused(self, seq: int, least: float) -> None:
        """Somebody is there, and did not take this one: it may be the event, so others are tried meanwhile."""
        _, delay = self._due.get(seq, (0.0, FIRST_DELAY))
        self._due[seq] = (self._loop.time() + max(delay, least), min(delay * 2, LONGEST_DELAY))

    def _failed(self, parcel: Parcel, why: str, least: float) -> None:
        self.outcomes["failed"] += 1
        log.warning("webhook-failed", extra=self._about(parcel, why))
        if self._loop.time() < self._resume_at:
            return  # this delivery was under way when another one failed
        self._failures += 1
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 16), LONGEST_PAUSE)
        self._resume_at = self._loop.time() + max(least, pause * random.uniform(0.8, 1.0))  # nosec B311

    def _about(self, parcel: Parcel, why: str) -> dict[str, object]:
        return {"target": self.target.host, "id": parcel.event.id, "type": parcel.event.type, "reason": why}
