"""What every archive promises of claims and of forgetting, in memory and in SQLite; and what a restart keeps of it."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.jobs.job import Claim, Record, time_of_day
from gateway.jobs.ports import Archive, Eviction, Keep
from gateway.jobs.retention import Retention
from gateway.jobs.storage.database import EVICTED_AT_ONCE
from gateway.jobs.storage.schema import MIGRATIONS, SCHEMA_VERSION
from gateway.jobs.storage.store import Store
from gateway.jobs.supervisor import Supervisor
from tests.gateway.jobs.store_writer import record_of
from tests.gateway.jobs.test_supervisor import LIMITS
from tests.support.archives import MemoryArchive
from tests.support.processes import until
from tests.support.works import Sleep, draft

NOW = 1e9


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "reelgate.db", wall=lambda: NOW)
    await store.open()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def archive(request: pytest.FixtureRequest, store: Store) -> Archive:
    return MemoryArchive(lambda: NOW) if request.param == "memory" else store


def finished(job_id: str, ago: float, left: float = 1000.0) -> Record:
    """A job that ended `ago` seconds ago, and is to be kept for `left` seconds more."""
    record = record_of(job_id, state="DONE")
    return {**record, "finishedAt": time_of_day(NOW - ago), "expiresAt": time_of_day(NOW + left)}


async def left_of(archive: Archive) -> str:
    return "".join(sorted(record["id"] for record in await archive.newest(1000)))


async def test_a_claim_is_found_as_long_as_its_job_is(archive: Archive) -> None:
    archive.save_job(record_of("a"), None, Claim("key", "print"))
    archive.save_job(record_of("b"), None)
    await archive.flush()
    archive.save_job(record_of("a", revision=2, state="DONE"), b"{}", Claim("key", "print"))
    await archive.flush()
    assert await archive.claimed("key") == ("a", "print")
    assert await archive.claimed("other") is None
    archive.delete_job("a")
    archive.save_job(record_of("c"), None, Claim("key", "new"))
    await archive.flush()
    assert await archive.claimed("key") == ("c", "new")


async def test_what_was_deleted_is_expired_and_not_unknown(archive: Archive) -> None:
    archive.save_job(record_of("a"), None)
    await archive.flush()
    assert not await archive.expired("a")
    archive.delete_job("a")
    archive.delete_job("a")
    await archive.flush()
    assert (await archive.find("a"), await archive.expired("a"), await archive.expired("b")) == (None, True, False)


async def test_age_drops_what_is_over_and_spares_what_is_protected(archive: Archive) -> None:
    for job_id, left in (("a", -1.0), ("b", 0.0), ("c", 1.0), ("d", -1.0)):
        archive.save_job(finished(job_id, 500.0, left), None)
    archive.save_job(record_of("r", state="RUNNING"), None)
    await archive.flush()
    assert await archive.evict(Keep(), {"d"}) == Eviction(by_age=["a", "b"], by_count=[], retained=2)
    assert (await left_of(archive), await archive.expired("a")) == ("cdr", True)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (6, "abcdefr"),
        (4, "cdefr"),  # the oldest go first
        (2, "defr"),  # a burst: the last minute's three are kept although they are too many
        (0, "r"),  # far too many: nothing is spared but what goes on
    ],
)
async def test_count_drops_the_oldest_and_spares_the_last_minute(archive: Archive, keep: int, left: str) -> None:
    for number, job_id in enumerate("abcdef"):
        archive.save_job(finished(job_id, [300.0, 200.0, 100.0, 50.0, 20.0, 1.0][number]), None)
    archive.save_job(record_of("r", state="RUNNING"), None)
    await archive.flush()
    done = await archive.evict(Keep(count=keep), ())
    assert await left_of(archive) == left
    assert done == Eviction(by_age=[], by_count=[each for each in "abcdef" if each not in left], retained=len(left) - 1)


async def test_graves_are_forgotten_beyond_their_number(archive: Archive) -> None:
    for job_id in "abcd":
        archive.save_job(finished(job_id, 100.0 - ord(job_id), -1.0), None)
    await archive.flush()
    await archive.evict(Keep(tombstones=2), ())
    assert [await archive.expired(job_id) for job_id in "abcd"].count(True) == 2


# What the SQLite store promises beyond that.


async def test_expired_410_unknown_404_finished_survives_restart(tmp_path: Path) -> None:
    path = tmp_path / "again.db"
    first = Store(path, wall=lambda: NOW)
    await first.open()
    first.save_job(finished("a", 100.0, -1.0), b'{"a":1}')
    first.save_job(finished("b", 100.0), b'{"b":1}', Claim("key", "print"))
    await first.flush()
    await first.evict(Keep(), ())
    await first.close()
    second = Store(path, wall=lambda: NOW)
    await second.open()
    assert (await second.find("a"), await second.expired("a"), await second.expired("x")) == (None, True, False)
    assert await second.result("b") == b'{"b":1}'
    assert await second.claimed("key") == ("b", "print")
    await second.close()


async def test_revisions_go_on_rising_after_the_highest_ones_were_dropped(tmp_path: Path) -> None:
    path = tmp_path / "again.db"
    for highest in (7, 30, 30):
        store = Store(path, wall=lambda: NOW)
        await store.open()
        store.save_job({**finished("a", 100.0, -1.0), "revision": 7}, None)
        await store.flush()
        store.note_revision(highest)
        await store.close()
        again = Store(path, wall=lambda: NOW)
        await again.open()
        assert again.revision == highest
        await again.evict(Keep(), ())
        await again.close()


async def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
        record = '{"id": "a", "expiresAt": "2001-01-01T00:00:00.000Z"}'
        row = ("a", 3, "DONE", "vod", "2001-01-01T00:00:00.000Z", "2001-01-01T00:00:00.000Z", record)
        columns = "id, revision, state, kind, created, finished, record"
        old.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    old.close()
    store = Store(path, wall=lambda: NOW)
    await store.open()
    assert store.revision == 3
    assert await store.evict(Keep(), ()) == Eviction(["a"], [], 0)
    await store.close()
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    now.close()


async def test_a_round_clears_away_more_than_one_piece(store: Store) -> None:
    jobs = EVICTED_AT_ONCE + 10
    for number in range(jobs):
        store.save_job(finished(f"{number:032x}", 100.0, -1.0), None)
    await store.flush()
    retention = Retention(Supervisor(LIMITS, store), store, Keep())
    await retention.run_once()
    assert (retention.evicted["age"], retention.retained) == (jobs, 0)


async def test_what_is_awaited_is_not_dropped(store: Store) -> None:
    supervisor = Supervisor(LIMITS, store, wall=lambda: NOW - 1e6)
    retention = Retention(supervisor, store, Keep(count=0))
    job = supervisor.submit(draft(), Sleep(0.0))
    assert job.id in supervisor.in_memory()
    await supervisor.wait(job, 5.0)
    await store.flush()
    await retention.run_once()
    assert supervisor.records.of(job)["state"] == "DONE"
    assert await supervisor.records.expired(job.id) or await supervisor.records.find(job.id)


async def test_what_has_left_the_store_is_not_found_in_memory_either(store: Store) -> None:
    supervisor = Supervisor(LIMITS, store, wall=lambda: NOW - 1e6)
    old = [supervisor.submit(draft(), Sleep(0.0)) for _ in range(2)]
    for job in old:
        await supervisor.wait(job, 5.0)
    await until(lambda: not supervisor.in_memory())
    assert [(await supervisor.records.find(job.id) or {})["state"] for job in old] == ["DONE", "DONE"]
    await supervisor.delete(old[0].id)
    assert (await supervisor.records.find(old[0].id), await supervisor.records.expired(old[0].id)) == (None, True)
    await Retention(supervisor, store, Keep()).run_once()
    assert (await supervisor.records.find(old[1].id), await supervisor.records.expired(old[1].id)) == (None, True)
