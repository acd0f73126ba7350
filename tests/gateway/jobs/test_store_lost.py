"""A database that is deleted, cut or replaced while it is open is noticed, and made anew from what is known."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.jobs.storage.database import StoreError
from gateway.jobs.storage.store import Store
from tests.gateway.jobs.store_writer import record_of
from tests.support.processes import until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "data" / "reelgate.db")
    await store.open()
    store.save_job(record_of("old", state="DONE"), b"{}")
    store.save_stream("1", "lobby", {})
    await store.flush()
    yield store
    await store.close()


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    shutil.rmtree(path.parent)


def delete_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def delete_lock(path: Path) -> None:
    path.with_name(f"{path.name}.lock").unlink()


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("other"))
    path.with_name("other").replace(path)


WAYS = [delete, delete_all, delete_log, delete_lock, replace]


async def reopened(path: Path) -> Store:
    store = Store(path)
    await store.open()
    return store


@pytest.mark.parametrize("lose", WAYS)
async def test_what_is_saved_after_the_database_is_lost_is_in_a_new_one_with_all_that_was_before(
    store: Store, lose: Callable[[Path], None]
) -> None:
    lose(store.path)
    store.save_job(record_of("new", revision=2, state="DONE"), b"{}")
    await store.flush()
    await until(lambda: store.rescues == 1)  # at once, unless it is a file that holds no rows
    assert "a new database was made: all of it was still there" in store.rescued
    with closing(sqlite3.connect(store.path)) as other:  # what a gateway that is started next will see
        assert sorted(other.execute("SELECT id FROM jobs").fetchall()) == [("new",), ("old",)]
        assert other.execute("SELECT name FROM streams").fetchall() == [("lobby",)]
    assert await store.find("old") is not None
    assert store.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lose", WAYS)
async def test_a_lost_database_is_noticed_while_nobody_writes(store: Store, lose: Callable[[Path], None]) -> None:
    lose(store.path)
    await until(lambda: store.rescues == 1)
    await until(store.path.exists)
    assert not store.trouble
    with pytest.raises(StoreError, match="in use by another gateway"):
        await reopened(store.path)


async def test_a_database_that_is_cut_is_put_aside_and_memory_is_written_to_a_new_one(store: Store) -> None:
    for number in range(3000):  # more than SQLite keeps in memory of it
        store.save_job(record_of(f"job{number}", state="DONE") | {"text": "x" * 3000}, b"{}")
    await store.flush()
    await asyncio.get_running_loop().run_in_executor(
        store._writer, store._file._connections["writer"].execute, "PRAGMA wal_checkpoint(RESTART)"
    )
    store.remembering.append(lambda: store.save_stream("1", "lobby", {}))
    store.save_job(record_of("before", revision=8, state="DONE"), b"{}")
    await store.flush()
    os.truncate(store.path, 8192)
    store.save_job(record_of("new", revision=9, state="DONE"), b"{}")
    await store.flush()
    assert store.rescues == 1
    assert "has been cut from" in store.rescued
    assert "older jobs are gone" in store.rescued
    assert store.path.with_name("reelgate.db.aside").exists()
    with closing(sqlite3.connect(store.path)) as other:
        assert ("new",) in other.execute("SELECT id FROM jobs").fetchall()
        assert other.execute("SELECT value FROM marks WHERE name = 'revision'").fetchall() == [(9,)]
    await store.flush()
    assert [stream.name for stream in await store.streams()] == ["lobby"]


async def test_a_database_that_became_smaller_by_a_vacuum_is_not_lost(store: Store) -> None:
    for number in range(500):
        store.save_job(record_of(f"job{number}", state="DONE") | {"text": "x" * 3000}, b"{}")
    await store.flush()
    for number in range(500):
        store.delete_job(f"job{number}")
    await store.flush()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.save_job(record_of("new", revision=2, state="DONE"), b"{}")
    with_retry = asyncio.create_task(store.flush())
    await asyncio.wait({with_retry})
    await until(lambda: not store.trouble)
    await store.flush()
    assert store.rescues == 0
    assert await store.find("new") is not None
