"""The SQLite store: job records, wanted streams and what goes with them, written in group commits by one thread."""

import asyncio
import contextlib
import fcntl
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from gateway.jobs.batch import Batch
from gateway.jobs.job import Claim, Record, encode, interrupted, time_of_day
from gateway.jobs.ports import EVERYTHING, Eviction, Keep, Query
from gateway.jobs.rows import LARGEST_LISTED, Statement, job_row, record_of
from gateway.jobs.schema import (
    BURY,
    DELETE_JOB,
    FORGET_GRAVES,
    HIGHEST_REVISION,
    MARK_REVISION,
    MIGRATIONS,
    SAVE_JOB,
    SAVE_STREAM,
    SCHEMA_VERSION,
)

log = logging.getLogger(__name__)

# How many jobs one round of clearing away drops at most, so that no commit waits long for it.
EVICTED_AT_ONCE: Final = 2000
# A burst must not push a job out before its caller has asked for it: jobs younger than this many seconds are kept,
# unless there are this many times more of them than should be (contract, pitfall 30).
YOUNG: Final = 60.0
FAR_TOO_MANY: Final = 10

T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be opened, read or written; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class WantedStream:
    """A stream that is to be live, also after a restart. `body` is what its session needs, as JSON-ready values."""

    id: str
    name: str
    body: dict[str, Any]


class Store:
    """One SQLite file, for one gateway. All methods are called on the event loop; nothing here blocks it.

    Group commit: `save_*` and `delete_*` only note a row. A batch is cut in a loop callback of its own and written in
    one transaction, so **what is saved in one loop callback is saved together or not at all**; while one batch is being
    written the next one gathers. `flush` is the promise that it is done.

    `retention` (seconds) dates the records of jobs that a restart interrupted; more than `queue_limit` waiting rows
    turn `room` false, and the supervisor accepts no jobs until the disk has caught up.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: float = 86400.0,
        queue_limit: int = 10_000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.revision = 0
        # What is written with the record of each job that a restart has interrupted, in the same transaction.
        self.interrupting: list[Callable[[Record], Iterable[Statement]]] = []
        self._retention = retention
        self._queue_limit = queue_limit
        self._wall = wall
        # A thread each: a connection belongs to its thread, and a long read does not keep a commit waiting.
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._connections: dict[str, sqlite3.Connection] = {}
        self._lock: IO[str] | None = None
        self._writing: Batch | None = None
        self._pump: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open or make the file. Unfinished jobs become FAILED `interrupted`; `revision` is the highest one ever used.

        Raises StoreError when the file is broken, of a newer version, or in use by another gateway.
        """
        self._loop = asyncio.get_running_loop()
        self._pending = Batch(self._loop.create_future())
        try:
            await self._on(self._writer, self._open_writer)
            await self._on(self._reader, self._open_reader)
        except BaseException:
            await self._shut()
            raise

    async def close(self) -> None:
        """Write what is waiting, and close. Raises StoreError when that could not be written."""
        try:
            await self.flush()
        finally:
            await self._shut()

    @property
    def room(self) -> bool:
        """Whether the disk keeps up: no more rows are waiting than the bound."""
        return len(self._pending) < self._queue_limit

    def save_job(self, record: Record, result: bytes | None, claim: Claim | None = None) -> None:
        """Note a version of a job's public record, without its `result` member; `result` is that, serialised.

        The claim of the first version that reaches the disk is the job's.
        """
        # It becomes text in the writer's thread: of the versions of one batch only the last one is written.
        self._pending.jobs[record["id"]] = (record, result, claim)
        self._wake()

    def delete_job(self, job_id: str) -> None:
        """Note that a job is to be forgotten, and its claim with it. Its id is remembered as that of a dropped one."""
        self._pending.jobs[job_id] = None
        self._wake()

    def note_revision(self, revision: int) -> None:
        """Note that a revision was used for something that is not saved here."""
        self._pending.revision = max(revision, self._pending.revision)
        self._wake()

    def save_stream(self, stream_id: str, name: str, body: dict[str, Any]) -> None:
        """Note a wanted stream. Raises TypeError or ValueError when `body` is not JSON.

        Whoever had the name before loses it: the catalog, which calls this, knows who owns a name.
        """
        name.encode()  # a lone surrogate is refused here: in the writer it would spoil a whole batch
        self._pending.put_stream(stream_id, {"id": stream_id, "name": name, "body": encode(body).decode()})
        self._wake()

    def delete_stream(self, stream_id: str) -> None:
        """Note that a stream is no longer wanted."""
        self._pending.put_stream(stream_id, None)
        self._wake()

    def also(self, statement: Statement) -> None:
        """Note what is to be written in the same transaction as all else that is saved in this loop callback."""
        self._pending.also.append(statement)
        self._wake()

    def post(self, statement: Statement, most: int) -> list[Statement]:
        """The same for an event, which may be lost: while the disk cannot be written, the oldest beyond so many go.
        Gives those that went.
        """
        events = self._pending.events
        events.append(statement)
        self._wake()
        return [events.popleft() for _ in range(len(events) - most)]

    async def ask(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query, of what is on disk."""
        return await self._on(self._reader, lambda: self._select(query, *values).fetchall())

    async def change(self, statement: str, *values: object) -> int:
        """Write at once, in a transaction of its own. Gives the number of rows that it changed."""
        return await self._on(self._writer, lambda: self._connections["writer"].execute(statement, values).rowcount)

    async def flush(self) -> None:
        """Return when all that was saved before this call is on disk. Raises StoreError when it could not be written.

        What could not be written is kept, and tried again with the next save or flush.
        """
        self._wake()
        batch = self._pending if len(self._pending) else self._writing
        if batch is None:
            return
        # The shield: who is cancelled here must not cancel what all others wait for.
        if (error := await asyncio.shield(batch.written)) is not None:
            raise StoreError(str(error))

    async def find(self, job_id: str) -> Record | None:
        """The record of a job, its result included, as last written."""
        return await self._on(self._reader, self._find, job_id)

    async def result(self, job_id: str) -> bytes | None:
        """The serialised result of a DONE job."""
        return await self._on(self._reader, self._result, job_id)

    async def newest(self, limit: int, query: Query = EVERYTHING, without: Collection[str] = ()) -> list[Record]:
        """At most `limit` records of the query, newest first, and not those `without`; without results too large for
        a list.
        """
        return await self._on(self._reader, self._newest, limit, query, without)

    async def claimed(self, key: str) -> tuple[str, str] | None:
        """The id and the fingerprint of the job that has this key."""
        return await self._on(self._reader, self._claimed, key)

    async def expired(self, job_id: str) -> bool:
        """Whether there was such a job, and it was dropped not too long ago."""
        return await self._on(self._reader, self._expired, job_id)

    async def evict(self, keep: Keep, protected: Collection[str]) -> Eviction:
        """Drop finished jobs over their age, and the oldest of those beyond `keep.count`; never those `protected`.

        Does at most EVICTED_AT_ONCE; call again as long as it drops that many.
        """
        return await self._on(self._writer, self._evict, keep, frozenset(protected))

    async def streams(self) -> list[WantedStream]:
        """The wanted streams, oldest first."""
        return await self._on(self._reader, self._streams)

    # On the loop: the group commit.

    def _wake(self) -> None:
        if len(self._pending) and (self._pump is None or self._pump.done()):
            self._pump = self._loop.create_task(self._write_all(), name="store-pump")

    async def _write_all(self) -> None:
        # A task's steps are loop callbacks of their own: a batch is never cut between two saves of one callback.
        while len(self._pending):
            batch = self._writing = self._pending
            self._pending = Batch(self._loop.create_future())
            try:
                await self._on(self._writer, self._write, batch)
            except StoreError as error:
                # Those who wait for the next batch are told too: it will not be tried before someone asks again.
                waiting, self._pending = self._pending, Batch(self._loop.create_future())
                self._pending.put_back(waiting)
                self._pending.put_back(batch)
                batch.written.set_result(error)
                waiting.written.set_result(error)
                return
            finally:
                self._writing = None
            batch.written.set_result(None)

    async def _on(self, thread: ThreadPoolExecutor, call: Callable[..., T], *args: object) -> T:
        """Call in a thread of ours (never the default executor), with SQLite's errors put into words."""
        try:
            return await self._loop.run_in_executor(thread, call, *args)
        except (sqlite3.Error, OSError, ValueError) as error:
            detail = f"the store {self.path} cannot be used: {error}"
            advice = "free the disk, or move the file away (a new one is made) or restore a copy of it"
            raise StoreError(f"{detail}; {advice}") from error

    async def _shut(self) -> None:
        for name, thread in (("reader", self._reader), ("writer", self._writer)):
            connection = self._connections.pop(name, None)
            if connection is not None:
                with contextlib.suppress(StoreError):
                    await self._on(thread, connection.close)
            thread.shutdown()
        if self._lock is not None:
            self._lock.close()

    # In the writer's thread.

    def _open_writer(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self.path.touch(mode=0o600)  # it holds the passwords of wanted cameras; SQLite gives its side files the same
        connection = self._connect("writer")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            detail = f"the store {self.path} has schema {version}, and this gateway knows schema {SCHEMA_VERSION}"
            raise StoreError(f"{detail}; run a newer gateway, or move the file away (a new one is made)")
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a commit is in the page cache of the kernel when it returns, so SIGKILL of this process loses nothing
        # that was acknowledged. Only a power cut may lose the last moments (FULL would pay an fsync for each batch),
        # and the file stays consistent then too.
        connection.execute("PRAGMA synchronous = NORMAL")
        for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
            connection.executescript(f"BEGIN; {migration} PRAGMA user_version = {number}; COMMIT;")
        self.revision = connection.execute(HIGHEST_REVISION).fetchone()[0]
        self._interrupt(connection)

    def _take_lock(self) -> None:
        """One gateway for one file: a second one would declare the first one's jobs interrupted."""
        self._lock = self.path.with_name(self.path.name + ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            detail = f"the store {self.path} is in use by another gateway"
            raise StoreError(f"{detail}; stop that one, or set another data_dir") from None

    def _connect(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        self._connections[name] = connection
        return connection

    def _interrupt(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT record FROM jobs WHERE finished IS NULL ORDER BY seq").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            self.revision += 1
            record = interrupted(json.loads(row["record"]), self._wall(), self._retention, self.revision)
            connection.execute(SAVE_JOB, job_row(record, None))
            for statement, values in (each for told in self.interrupting for each in told({**record, "result": None})):
                connection.execute(statement, values)
        connection.execute(MARK_REVISION, (self.revision,))
        connection.execute("COMMIT")
        if rows:
            log.warning("jobs-interrupted", extra={"jobs": len(rows)})

    def _write(self, batch: Batch) -> None:
        connection = self._connections["writer"]
        connection.execute("BEGIN IMMEDIATE")
        try:
            dropped = [(job_id,) for job_id, job in batch.jobs.items() if job is None]
            connection.executemany(DELETE_JOB, dropped)
            connection.executemany(BURY, dropped)
            # After the deletions: a key that is freed and taken again in one batch must be freed first.
            connection.executemany(SAVE_JOB, [job_row(*job) for job in batch.jobs.values() if job is not None])
            connection.execute(MARK_REVISION, (_highest(batch),))
            for stream_id, row in batch.streams.items():
                if row is None:
                    connection.execute("DELETE FROM streams WHERE id = ?", (stream_id,))
                else:
                    connection.execute("DELETE FROM streams WHERE name = :name AND id <> :id", row)
                    connection.execute(SAVE_STREAM, row)
            for statement, values in (*batch.also, *batch.events):
                connection.execute(statement, values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _evict(self, keep: Keep, protected: frozenset[str]) -> Eviction:
        connection = self._connections["writer"]
        now = self._wall()
        retained = connection.execute("SELECT count(*) FROM jobs WHERE finished IS NOT NULL").fetchone()[0]

        def oldest(condition: str, value: str, most: int) -> list[str]:
            query = f"SELECT id FROM jobs WHERE {condition} <= ? ORDER BY {condition}, seq LIMIT ?"
            rows = connection.execute(query, (value, max(0, most) + len(protected))).fetchall()
            return [row["id"] for row in rows if row["id"] not in protected][: max(0, most)]

        aged = oldest("expires", time_of_day(now), EVICTED_AT_ONCE)
        surplus = min(retained - len(aged) - keep.count, EVICTED_AT_ONCE)
        crowd = [each for each in oldest("finished", time_of_day(now - YOUNG), surplus + len(aged)) if each not in aged]
        crowd = crowd[: max(0, surplus)]
        far_over = min(retained - len(aged) - len(crowd) - FAR_TOO_MANY * keep.count, EVICTED_AT_ONCE)
        if far_over > 0:
            taken = {*aged, *crowd}
            young = oldest("finished", time_of_day(now), far_over + len(taken))
            crowd += [each for each in young if each not in taken][:far_over]
        self._drop(connection, [*aged, *crowd], keep.tombstones)
        return Eviction(aged, crowd, retained - len(aged) - len(crowd))

    def _drop(self, connection: sqlite3.Connection, doomed: list[str], tombstones: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(DELETE_JOB, [(job_id,) for job_id in doomed])
        connection.executemany(BURY, [(job_id,) for job_id in doomed])
        connection.execute(FORGET_GRAVES, (tombstones,))
        connection.execute("COMMIT")

    # In the reader's thread.

    def _open_reader(self) -> None:
        self._connect("reader").execute("PRAGMA query_only = ON")

    def _find(self, job_id: str) -> Record | None:
        row = self._select("SELECT record, result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else record_of(row)

    def _result(self, job_id: str) -> bytes | None:
        row = self._select("SELECT result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else row["result"]

    def _newest(self, limit: int, query: Query, without: Collection[str]) -> list[Record]:
        # The words of `chosen` are from here; what is asked for is in `values`.
        chosen, values = ["TRUE"], list[object]()
        for column, wanted in (("state", query.states), ("kind", query.kinds)):
            if wanted is not None:
                chosen.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += map(str, wanted)
        if query.since is not None:
            chosen.append("created >= ?")
            values.append(query.since)
        if query.until is not None:
            chosen.append("created <= ?")
            values.append(query.until)
        if query.owner is not None:
            chosen.append("owner = ?")
            values.append(query.owner)
        result = f"CASE WHEN length(result) <= {LARGEST_LISTED} THEN result END AS result"
        select = f"SELECT id, record, {result} FROM jobs WHERE {' AND '.join(chosen)} ORDER BY seq DESC LIMIT ?"
        rows = self._select(select, *values, limit + len(without)).fetchall()
        return [record_of(row) for row in rows if row["id"] not in without][:limit]

    def _claimed(self, key: str) -> tuple[str, str] | None:
        row = self._select("SELECT id, fingerprint FROM jobs WHERE key = ?", key).fetchone()
        return None if row is None else (row["id"], row["fingerprint"])

    def _expired(self, job_id: str) -> bool:
        return self._select("SELECT 1 FROM tombstones WHERE id = ?", job_id).fetchone() is not None

    def _streams(self) -> list[WantedStream]:
        rows = self._select("SELECT id, name, body FROM streams ORDER BY seq").fetchall()
        return [WantedStream(row["id"], row["name"], json.loads(row["body"])) for row in rows]

    def _select(self, query: str, *values: object) -> sqlite3.Cursor:
        return self._connections["reader"].execute(query, values)


def _highest(batch: Batch) -> int:
    """The highest revision of a batch."""
    return max([batch.revision, *(int(job[0]["revision"]) for job in batch.jobs.values() if job is not None)])
