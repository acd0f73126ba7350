"""Delivery: in order for each job, again until it is taken, bounded; in virtual time, with a receiver in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.jobs.storage.database import StoreError
from gateway.jobs.storage.outbox import OutboxEvent
from gateway.webhooks.delivery import LONGEST_DELAY, LONGEST_PAUSE, PLACES, Delivery, WebhookTarget
from gateway.webhooks.post import Reply, Unreachable
from tests.support.outboxes import MemoryOutbox

pytestmark = pytest.mark.looptime

TARGET = WebhookTarget("https://portal.example/hooks", (bytes(32),), give_up=3600.0, backlog=100)
TAKEN = Reply(204)


class DeliveryWorld:
    """One target in memory. `answer` says what it does with an event; `took` and `tried` are (id, second)."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox(TARGET.key, wall=self.now)
        self.answer: Callable[[str], Reply] = lambda _: TAKEN
        self.seconds = 0.0  # that an answer takes
        self.tried: list[tuple[str, float]] = []
        self.took: list[str] = []
        self.busy = self.busiest = 0
        self.delivery = Delivery(TARGET, self.outbox, self.send, self.now)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def put(self, id: str, subject: str = "job:1") -> None:
        self.outbox.put(OutboxEvent(id, "job.done", subject, "{}"))
        self.delivery.awake()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        assert (url, body) == (TARGET.url, b"{}")
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        self.tried.append((headers["webhook-id"], self.now()))
        try:
            await asyncio.sleep(self.seconds)
            reply = self.answer(headers["webhook-id"])
        finally:
            self.busy -= 1
        if reply.taken:
            self.took.append(headers["webhook-id"])
        return reply


@asynccontextmanager
async def world() -> AsyncIterator[DeliveryWorld]:
    made = DeliveryWorld()
    task = asyncio.create_task(made.delivery.run())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not made.busy


def gone(_: str) -> Reply:
    raise Unreachable("cannot connect: Connection refused")


async def test_what_happens_to_one_job_is_told_in_order_and_to_several_side_by_side() -> None:
    async with world() as w:
        w.seconds = 1.0
        for number in range(3):
            for job in range(PLACES + 2):
                w.put(f"{job}.{number}", f"job:{job}")
        await asyncio.sleep(10)
        for job in range(PLACES + 2):
            assert [each for each in w.took if each.startswith(f"{job}.")] == [f"{job}.{n}" for n in range(3)]
        assert w.busiest == PLACES
        assert len(w.tried) == 3 * (PLACES + 2)
        assert w.delivery.outcomes == {"delivered": len(w.took)}


async def test_a_target_that_is_gone_is_asked_by_one_event_at_a_time_and_less_and_less_often() -> None:
    async with world() as w:
        w.answer = gone
        for job in range(50):
            w.put(f"{job}", f"job:{job}")
        await asyncio.sleep(600)
        assert not w.took
        assert w.busiest == PLACES  # before it was known
        assert len(w.tried) < PLACES + 25
        assert w.tried[-1][1] - w.tried[-2][1] <= LONGEST_PAUSE + 0.1
        w.answer = lambda _: TAKEN
        await asyncio.sleep(LONGEST_PAUSE + 0.1)
        assert sorted(w.took, key=int) == [str(job) for job in range(50)]


async def test_an_event_that_is_refused_holds_up_its_own_job_alone() -> None:
    async with world() as w:
        w.answer = lambda id: Reply(500) if id == "poison" else TAKEN
        w.put("poison", "job:1")
        w.put("after it", "job:1")
        for job in range(2, 20):
            w.put(f"{job}", f"job:{job}")
        await asyncio.sleep(30)
        assert sorted(w.took, key=int) == [str(job) for job in range(2, 20)]
        w.answer = lambda _: TAKEN
        await asyncio.sleep(LONGEST_DELAY)
        assert w.took[-2:] == ["poison", "after it"]


async def test_after_its_time_an_event_is_given_up_and_the_next_one_goes_out() -> None:
    async with world() as w:
        w.answer = lambda id: Reply(400) if id == "poison" else TAKEN
        w.put("poison")
        await asyncio.sleep(60)
        w.put("after it")
        await asyncio.sleep(3 * LONGEST_DELAY)
        assert w.took == ["after it"]
        assert list(w.outbox.given_up.values()) == ["it answered 400"]
        assert w.delivery.outcomes["given-up"] == 1


async def test_a_target_may_say_when_to_come_back() -> None:
    async with world() as w:
        w.answer = lambda _: Reply(429, retry_after=100.0)
        w.put("1")
        w.put("2", "job:2")
        await asyncio.sleep(99)
        assert len(w.tried) == 2
        w.answer = lambda _: TAKEN
        await asyncio.sleep(10)
        assert w.took == ["1", "2"]


async def test_of_too_many_the_oldest_are_dropped() -> None:
    async with world() as w:
        w.answer = gone
        for number in range(TARGET.backlog + 20):
            w.put(f"{number}")
        await asyncio.sleep(1)
        w.answer = lambda _: TAKEN
        await asyncio.sleep(LONGEST_PAUSE)
        assert w.took == [f"{number}" for number in range(20, TARGET.backlog + 20)]
        assert w.delivery.outcomes["dropped"] == 20
        w.outbox.lost[TARGET.key] = 3  # they never reached the disk
        w.put("last")
        await asyncio.sleep(1)
        assert w.delivery.outcomes["dropped"] == 23


async def test_a_store_that_cannot_be_written_delays_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        full = True

        async def settled() -> None:
            if full:
                raise StoreError("the disk is full")

        monkeypatch.setattr(w.outbox, "settled", settled)
        w.put("1")
        w.put("2")
        await asyncio.sleep(30)
        assert not w.tried
        full = False
        await asyncio.sleep(10)
        assert w.took == ["1", "2"]


def test_a_target_is_named_without_what_may_be_secret_in_its_address() -> None:
    target = WebhookTarget("https://portal.example:8443/hooks?token=hidden", (bytes(32),))
    assert target.host == "portal.example:8443"
    assert len(target.key) == 16
    assert "hidden" not in target.key
