"""The store: what it promises of records and wanted streams, in memory and in SQLite, and after a SIGKILL."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.jobs.core import Limits
from gateway.jobs.job import Record, encode
from gateway.jobs.ports import Archive, Query
from gateway.jobs.state import State
from gateway.jobs.storage.database import ROWS_AT_ONCE, StoreError, WantedStream
from gateway.jobs.storage.rows import LARGEST_LISTED
from gateway.jobs.storage.schema import SCHEMA_VERSION
from gateway.jobs.storage.store import TURNS, Store
from gateway.jobs.supervisor import Supervisor
from tests.gateway.jobs.store_writer import record_of
from tests.support.archives import MemoryArchive
from tests.support.works import Sleep, draft


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "data" / "reelgate.db", wall=lambda: 1e9)
    await store.open()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def archive(request: pytest.FixtureRequest, store: Store) -> Archive:
    return MemoryArchive() if request.param == "memory" else store


def ids(records: list[Record]) -> list[str]:
    return [record["id"] for record in records]


async def turns() -> None:
    """More turns of the loop than a batch waits for others."""
    for _ in range(5 * TURNS):
        await asyncio.sleep(0)


# What every archive promises.


async def test_what_was_flushed_is_found(archive: Archive) -> None:
    archive.save_job(record_of("a"), None)
    await archive.flush()
    assert await archive.find("a") == {**record_of("a"), "result": None}
    assert await archive.find("b") is None
    assert await archive.result("b") is None


async def test_the_last_version_of_a_record_counts(archive: Archive) -> None:
    archive.save_job(record_of("a"), None)
    archive.save_job(record_of("a", revision=2, state="RUNNING"), None)
    await archive.flush()
    archive.save_job(record_of("a", revision=3, state="DONE"), b'{"name":"h\xc3\xb6he"}')
    await archive.flush()
    found = await archive.find("a")
    assert found is not None
    assert (found["revision"], found["state"], found["result"]) == (3, "DONE", {"name": "höhe"})
    assert await archive.result("a") == b'{"name":"h\xc3\xb6he"}'


async def test_lists_are_newest_first_bounded_and_filtered(archive: Archive) -> None:
    for number, job_id in enumerate("abcde"):
        archive.save_job(record_of(job_id, state="DONE" if number % 2 else "FAILED", kind="vod"), None)
    archive.save_job(record_of("a", revision=9, state="FAILED", kind="rtsp"), None)
    await archive.flush()
    assert ids(await archive.newest(9)) == list("edcba")
    assert ids(await archive.newest(2)) == list("ed")
    assert ids(await archive.newest(2, without={"e", "c"})) == list("db")
    assert ids(await archive.newest(9, Query({State.DONE}))) == list("db")
    assert ids(await archive.newest(9, Query(["FAILED"], ["rtsp"]))) == ["a"]
    assert ids(await archive.newest(9, Query([]))) == []


async def test_a_list_is_of_one_owner_and_leaves_large_results_to_their_links(archive: Archive) -> None:
    for number, job_id in enumerate("abcd"):
        record = record_of(job_id, state="DONE") | {"request": {"key": "mine" if number % 2 else "yours"}}
        archive.save_job(record, b'{"data":"%s"}' % (b"x" * (LARGEST_LISTED if job_id == "d" else 9)))
    archive.save_job(record_of("e", state="DONE") | {"request": {}}, b"{}")
    await archive.flush()
    found = await archive.newest(9, Query(owner="mine"))
    assert [(record["id"], record["result"]) for record in found] == [("d", None), ("b", {"data": "x" * 9})]
    assert ids(await archive.newest(1, Query(owner="yours"))) == ["c"]
    assert len(await archive.result("d") or b"") > LARGEST_LISTED


# What the SQLite store promises beyond that.


async def test_finished_survives_restart_and_unfinished_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "reelgate.db"
    first = Store(path)
    await first.open()
    first.save_job(record_of("done", revision=5, state="DONE"), b"{}")
    first.save_job(record_of("running", revision=6, state="RUNNING"), None)
    await first.close()
    second = Store(path, retention=60.0, wall=lambda: 1e9)
    await second.open()
    done, interrupted = await second.find("done"), await second.find("running")
    assert done == {**record_of("done", revision=5, state="DONE"), "result": {}}
    assert interrupted is not None
    assert (interrupted["state"], interrupted["httpStatus"], interrupted["revision"]) == ("FAILED", 503, 7)
    assert (interrupted["error"]["code"], interrupted["error"]["retryable"]) == ("interrupted", True)
    assert (interrupted["finishedAt"], interrupted["expiresAt"]) == (
        "2001-09-09T01:46:40.000Z",
        "2001-09-09T01:47:40.000Z",
    )
    assert second.revision == 7
    await second.close()


async def test_wanted_streams_keep_their_order_and_their_body(store: Store) -> None:
    store.save_stream("1", "lobby", {"uri": "rtsp://camera", "since": 1.5})
    store.save_stream("2", "hall", {})
    store.save_stream("1", "lobby", {"uri": "rtsp://other"})
    await store.flush()
    assert await store.streams() == [WantedStream("2", "hall", {}), WantedStream("1", "lobby", {"uri": "rtsp://other"})]
    store.delete_stream("2")
    store.delete_stream("unknown")
    await store.flush()
    assert [stream.name for stream in await store.streams()] == ["lobby"]


async def test_a_name_moves_from_one_stream_to_the_next_in_one_batch(store: Store) -> None:
    store.save_stream("1", "lobby", {})
    await store.flush()
    store.save_stream("2", "hall", {})
    store.delete_stream("1")
    store.save_stream("2", "lobby", {})
    store.save_stream("3", "hall", {})
    await store.flush()
    assert {stream.name: stream.id for stream in await store.streams()} == {"lobby": "2", "hall": "3"}


@pytest.mark.parametrize(
    ("name", "body"), [("lobby", {"at": object()}), ("lobby", {"at": float("nan")}), ("\ud800", {})]
)
async def test_a_stream_that_cannot_be_written_is_refused_alone(
    store: Store, name: str, body: dict[str, object]
) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.save_stream("1", name, body)
    store.save_stream("2", "hall", {})
    await store.flush()
    assert [stream.id for stream in await store.streams()] == ["2"]


async def test_what_one_callback_saves_is_one_transaction(tmp_path: Path) -> None:
    """A reader of another connection never sees a job that is DONE without its stream, nor the other way round."""
    store = Store(tmp_path / "reelgate.db")
    await store.open()
    reader = sqlite3.connect(tmp_path / "reelgate.db")
    counts = set()
    for number in range(200):
        store.save_job(record_of(f"job{number}", state="DONE"), b"{}")
        store.save_stream(f"stream{number}", f"name{number}", {})
        # The reader must see the store between batches, and it is up to the disk when they end: so now and then wait.
        await (store.flush() if number % 20 == 19 else asyncio.sleep(0))
        counts.add(reader.execute("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM streams)").fetchone())
    await store.flush()
    assert all(jobs == streams for jobs, streams in counts)
    assert len(counts) >= 10
    reader.close()
    await store.close()


async def test_the_supervisor_saves_the_done_record_with_what_publish_saves(store: Store) -> None:
    class Publishing(Sleep):
        def publish(self) -> dict[str, object]:
            store.save_stream("1", "lobby", {})
            return super().publish()

    batches: list[tuple[list[str], list[str]]] = []
    write = store._file.write

    def watch(batch: object) -> None:
        rows, streams = batch.jobs, batch.streams  # type: ignore[attr-defined]
        batches.append(([version[0]["state"] for version in rows.values()], list(streams)))
        write(batch)  # type: ignore[arg-type]

    store._file.write = watch  # type: ignore[method-assign]
    supervisor = Supervisor(Limits(), store)
    job = supervisor.submit(draft(), Publishing())
    await supervisor.wait(job, 5.0)
    await supervisor.drain(0.0)
    await store.flush()
    # One batch: what ends within a few turns of the loop is written once, as it ended.
    assert batches == [(["DONE"], ["1"])]


async def test_a_batch_that_fails_is_told_kept_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "reelgate.db"
    store = Store(path)
    await store.open()
    blocker = sqlite3.connect(path, isolation_level=None)
    await asyncio.get_running_loop().run_in_executor(
        store._writer, store._file._connections["writer"].execute, "PRAGMA busy_timeout = 10"
    )
    blocker.execute("BEGIN IMMEDIATE")
    store.save_job(record_of("a"), None)
    waiters = [asyncio.create_task(store.flush()) for _ in range(2)]
    await asyncio.sleep(0)
    store.save_job(record_of("a", revision=2), None)
    store.save_job(record_of("b"), None)
    waiters.append(asyncio.create_task(store.flush()))
    for error in await asyncio.gather(*waiters, return_exceptions=True):
        assert isinstance(error, StoreError)
        assert "reelgate.db cannot be used" in str(error)
    blocker.execute("COMMIT")
    await store.flush()
    assert [(r["id"], r["revision"]) for r in await store.newest(9)] == [("b", 1), ("a", 2)]
    blocker.close()
    await store.close()


async def test_a_job_that_is_on_disk_does_not_wait_for_what_others_save(store: Store) -> None:
    store.save_job(record_of("a"), None)
    await store.settled("a", 60.0)
    assert await store.find("a") is not None
    free = threading.Event()
    store._writer.submit(free.wait, 60.0)
    store.save_job(record_of("b"), None)
    other = asyncio.create_task(store.settled("b", 60.0))
    await store.settled("a", 60.0)
    await store.settled("never saved", 60.0)
    assert not other.done()
    assert await store.find("b") is None
    free.set()
    await other
    assert await store.find("b") is not None


async def test_a_job_that_is_being_written_is_waited_for(store: Store) -> None:
    free = threading.Event()
    store._writer.submit(free.wait, 60.0)
    store.save_job(record_of("a"), None)
    await turns()
    assert store._writing is not None
    store.save_job(record_of("b"), None)
    waiter = asyncio.create_task(store.settled("a", 60.0))
    await turns()
    assert not waiter.done()
    free.set()
    await waiter
    assert await store.find("a") is not None


async def test_who_waits_for_a_disk_that_hangs_is_told_at_its_own_time(store: Store) -> None:
    free, told = threading.Event(), list[str]()
    store._writer.submit(free.wait, 60.0)
    store.save_job(record_of("a"), None)

    async def wait(name: str, seconds: float) -> None:
        with pytest.raises(StoreError, match="has not answered in time"):
            await store.settled("a", seconds)
        told.append(name)

    patient = asyncio.create_task(store.settled("a", 60.0))
    await asyncio.gather(wait("second", 0.1), wait("third", 0.15), wait("first", 0.05))
    assert told == ["first", "second", "third"]
    assert not patient.done()
    free.set()
    await patient
    assert await store.find("a") is not None


async def test_one_that_gives_up_waiting_for_the_disk_takes_nobody_along(store: Store) -> None:
    store.save_job(record_of("a"), None)
    waiters = [asyncio.create_task(wait) for wait in (store.flush(), store.settled("a", 60.0), store.flush())]
    await asyncio.sleep(0)
    waiters[0].cancel()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None, None]
    assert await store.find("a") is not None


async def test_more_rows_than_one_statement_takes_are_written(store: Store) -> None:
    names = [f"job{number}" for number in range(2 * ROWS_AT_ONCE + 1)]
    for name in names:
        store.save_job(record_of(name), None)
    await store.flush()
    assert ids(await store.newest(1000)) == names[::-1]


async def test_more_waiting_rows_than_the_bound_leave_no_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "reelgate.db", queue_limit=2)
    await store.open()
    rooms = []
    for job_id in "aabc":
        store.save_job(record_of(job_id), None)
        rooms.append(store.room)
    assert rooms == [True, True, False, False]
    await store.flush()
    assert store.room
    await store.close()


async def test_flush_with_nothing_to_write_returns_at_once(store: Store) -> None:
    await asyncio.wait_for(store.flush(), 30)


async def test_an_error_of_a_kind_that_is_not_json_still_reaches_the_disk(store: Store) -> None:
    store.save_job({**record_of("a"), "error": {"at": Path("x")}}, None)
    await store.flush()
    found = await store.find("a")
    assert found is not None
    assert found["error"] == {"at": "x"}


async def test_a_file_that_is_no_database_is_named_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "reelgate.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"reelgate\.db cannot be used: .*move the file away"):
        await Store(path).open()
    assert path.read_bytes().startswith(b"not a database")


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "reelgate.db"
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(
        StoreError, match=rf"has schema {SCHEMA_VERSION + 1}, and .* knows schema {SCHEMA_VERSION}; run a newer"
    ):
        await Store(path).open()


async def test_a_second_gateway_cannot_open_the_same_store(store: Store) -> None:
    store.save_job(record_of("a", state="RUNNING"), None)
    await store.flush()
    with pytest.raises(StoreError, match=r"^the store \S+ is in use by another gateway; stop that one, or [^;]*$"):
        await Store(store.path).open()
    found = await store.find("a")
    assert found is not None
    assert found["state"] == "RUNNING"


async def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        await Store(tmp_path / "file" / "reelgate.db").open()


def written_until_killed(path: Path) -> list[str]:
    """The ids that a writing process acknowledged before it was killed, at least 100."""
    command = [sys.executable, "-m", "tests.gateway.jobs.store_writer", str(path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(100)]
        os.kill(writer.pid, signal.SIGKILL)
        return acknowledged + [line.strip() for line in writer.stdout if line.endswith("\n")]


async def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "reelgate.db"
    acknowledged = written_until_killed(path)
    store = Store(path)
    await store.open()
    found = {record["id"]: record for record in await store.newest(100_000)}
    streams = {stream.id for stream in await store.streams()}
    assert len(acknowledged) >= 100
    assert set(acknowledged) <= found.keys()
    assert streams == {job_id for job_id, record in found.items() if record["state"] == "DONE"}
    assert {record["state"] for record in found.values()} <= {"DONE", "FAILED"}
    await store.close()


def test_encoding_is_compact_and_gives_the_same_bytes_again() -> None:
    value = {"name": "höhe", "sizes": [1, 2.5], "ok": True}
    assert encode(value) == '{"name":"höhe","sizes":[1,2.5],"ok":true}'.encode()
    assert encode(json.loads(encode(value))) == encode(value)
