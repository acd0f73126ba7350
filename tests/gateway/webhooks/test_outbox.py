"""The outbox: what both of them promise, and that the one in the store is written with what it tells of."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.jobs.storage.database import StoreError
from gateway.jobs.storage.outbox import GIVEN_UP_KEPT, Outbox, OutboxEvent
from gateway.jobs.storage.schema import MIGRATIONS
from gateway.jobs.storage.store import Store
from tests.gateway.jobs.store_writer import record_of
from tests.support.outboxes import MemoryOutbox


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "reelgate.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def outbox(request: pytest.FixtureRequest, store: Store) -> Outbox:
    return MemoryOutbox("a", "b") if request.param == "memory" else Outbox(store, ["a", "b"])


def event(number: int, subject: str = "job:1") -> OutboxEvent:
    return OutboxEvent(f"evt_{number}", "job.done", subject, f'{{"number":{number}}}')


async def numbers(outbox: Outbox, target: str = "a") -> list[str]:
    """The heads of a target, by the ids of their events."""
    parcels = [await outbox.parcel(seq) for seq in await outbox.heads(target, 100)]
    return [parcel.event.id for parcel in parcels if parcel is not None]


async def test_the_oldest_event_of_each_subject_is_at_the_head(outbox: Outbox) -> None:
    for number, subject in enumerate(["job:1", "job:2", "job:1", "stream:1"]):
        outbox.put(event(number, subject))
    await outbox.settled()
    assert await numbers(outbox, "a") == await numbers(outbox, "b") == ["evt_0", "evt_1", "evt_3"]
    first, second, _ = await outbox.heads("a", 3)
    assert await outbox.heads("a", 1) == [first]
    outbox.taken(first)
    outbox.give_up(second, "refused")
    await outbox.settled()
    assert await numbers(outbox, "a") == ["evt_2", "evt_3"]
    assert await numbers(outbox, "b") == ["evt_0", "evt_1", "evt_3"]
    assert await outbox.parcel(first) is await outbox.parcel(second) is None
    assert [await outbox.waiting(target) for target in "ab"] == [2, 4]


async def test_beyond_the_bound_the_oldest_of_that_target_go(outbox: Outbox) -> None:
    for number in range(5):
        outbox.put(event(number, f"job:{number}"))
    await outbox.settled()
    assert await outbox.trim("a", 5) == 0
    assert await outbox.trim("a", 2) == 3
    assert await numbers(outbox, "a") == ["evt_3", "evt_4"]
    assert len(await numbers(outbox, "b")) == 5


async def test_an_event_is_written_with_what_it_tells_of_or_not_at_all(store: Store) -> None:
    outbox = Outbox(store, ["a"])
    await store.change("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
    store.save_job(record_of("1"), None)
    outbox.put(event(1))
    with pytest.raises(StoreError, match="full"):
        await outbox.settled()
    assert await store.find("1") is None
    await store.change("DROP TRIGGER full")
    await outbox.settled()
    assert await store.find("1") is not None
    assert await numbers(outbox) == ["evt_1"]


async def test_while_the_disk_cannot_be_written_the_oldest_events_go_and_are_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.jobs.storage.outbox.UNWRITTEN_KEPT", 3)
    outbox = Outbox(store, ["a", "b"])
    await store.change("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
    for number in range(10):
        outbox.put(event(number, f"job:{number}"))
        with pytest.raises(StoreError, match="full"):
            await outbox.settled()
    assert outbox.lost == {"a": 7, "b": 7}
    await store.change("DROP TRIGGER full")
    await outbox.settled()
    assert await numbers(outbox, "a") == await numbers(outbox, "b") == ["evt_7", "evt_8", "evt_9"]


async def test_a_restart_puts_what_it_interrupted_into_the_outbox_once(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    for expected in ([], ["evt_7"], ["evt_7"]):
        store = Store(path)
        outbox = Outbox(store, ["a"])
        store.interrupting.append(lambda record, box=outbox: box.rows(event(7, f"job:{record['id']}")))  # type: ignore[misc]
        await store.open()
        assert await numbers(outbox) == expected
        if not expected:
            store.save_job(record_of("1", state="RUNNING"), None)
        await store.close()


async def test_what_was_given_up_is_kept_and_bounded_and_what_nobody_wants_is_forgotten(store: Store) -> None:
    outbox = Outbox(store, ["a"])
    for number in range(GIVEN_UP_KEPT + 3):
        outbox.put(event(number, f"job:{number}"))
    await outbox.settled()
    for seq in await outbox.heads("a", 2000):
        outbox.give_up(seq, "refused")
    await outbox.settled()
    kept = await store.ask("SELECT event, given_up FROM outbox ORDER BY seq")
    assert len(kept) == GIVEN_UP_KEPT
    assert tuple(kept[0]) == ("evt_3", "refused")
    assert await Outbox(store, ["a", "c"]).forget_others() == 0
    assert await Outbox(store, ["c"]).forget_others() == GIVEN_UP_KEPT
    outbox.put(event(0))
    await outbox.settled()
    assert await Outbox(store, []).forget_others() == 1


async def test_a_store_of_before_gets_an_outbox(tmp_path: Path) -> None:
    path = tmp_path / "before.db"
    with contextlib.closing(sqlite3.connect(path)) as before:
        before.executescript(f"{MIGRATIONS[0]} {MIGRATIONS[1]} PRAGMA user_version = 2;")
    store = Store(path)
    await store.open()
    outbox = Outbox(store, ["a"])
    outbox.put(event(1))
    await outbox.settled()
    assert await numbers(outbox) == ["evt_1"]
    await store.close()
