"""The SQLite store: job records and wanted streams, written in group commits by one thread."""

import asyncio
import contextlib
import fcntl
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from gateway.jobs.job import Record, encode, interrupted

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,  -- the order of acceptance, whatever the wall clock says
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    created TEXT NOT NULL,
    finished TEXT,
    record TEXT NOT NULL,     -- JSON without `result`
    result BLOB               -- the bytes that were serialised at the commit
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (seq) WHERE finished IS NULL;
CREATE TABLE streams (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;
"""

SAVE_JOB: Final = """
INSERT INTO jobs (id, revision, state, kind, created, finished, record, result)
VALUES (:id, :revision, :state, :kind, :created, :finished, :record, :result)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, state = excluded.state, finished = excluded.finished,
    record = excluded.record, result = excluded.result
"""
SAVE_STREAM: Final = """
INSERT INTO streams (id, name, body) VALUES (:id, :name, :body)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body
"""

Row = dict[str, Any]
T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be opened, read or written; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class WantedStream:
    """A stream that is to be live, also after a restart. `body` is what its session needs, as JSON-ready values."""

    id: str
    name: str
    body: dict[str, Any]


@dataclass(slots=True)
class _Batch:
    """What one transaction writes: the newest version of each row. A stream whose row is None is deleted."""

    written: asyncio.Future[StoreError | None]
    jobs: dict[str, Row] = field(default_factory=dict)
    streams: dict[str, Row | None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.jobs) + len(self.streams)

    def put_stream(self, stream_id: str, row: Row | None) -> None:
        # To the end: a name that is freed and taken again in one batch must be freed first.
        self.streams.pop(stream_id, None)
        self.streams[stream_id] = row

    def put_back(self, older: "_Batch") -> None:
        """Take up what could not be written before; what is here is newer."""
        self.jobs = {**older.jobs, **self.jobs}
        streams, self.streams = self.streams, older.streams
        for stream_id, row in streams.items():
            self.put_stream(stream_id, row)


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
        self._retention = retention
        self._queue_limit = queue_limit
        self._wall = wall
        # A thread each: a connection belongs to its thread, and a long read does not keep a commit waiting.
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._connections: dict[str, sqlite3.Connection] = {}
        self._lock: IO[str] | None = None
        self._writing: _Batch | None = None
        self._pump: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open or make the file. Unfinished jobs become FAILED `interrupted`; `revision` is the highest one ever used.

        Raises StoreError when the file is broken, of a newer version, or in use by another gateway.
        """
        self._loop = asyncio.get_running_loop()
        self._pending = _Batch(self._loop.create_future())
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

    def save_job(self, record: Record, result: bytes | None) -> None:
        """Note a version of a job's public record, without its `result` member; `result` is that, serialised."""
        self._pending.jobs[record["id"]] = _job_row(record, result)
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

    async def flush(self) -> None:
        """Return when all that was saved before this call is on disk. Raises StoreError when it could not be written.

        What could not be written is kept, and tried again with the next save or flush.
        """
        self._wake()
        batch = self._pending if len(self._pending) else self._writing
        if batch is None:
            return
        await asyncio.wait({batch.written})
        if (error := batch.written.result()) is not None:
            raise StoreError(str(error))

    async def find(self, job_id: str) -> Record | None:
        """The record of a job, its result included, as last written."""
        return await self._on(self._reader, self._find, job_id)

    async def result(self, job_id: str) -> bytes | None:
        """The serialised result of a DONE job."""
        return await self._on(self._reader, self._result, job_id)

    async def newest(
        self,
        limit: int,
        states: Collection[str] | None = None,
        kinds: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Record]:
        """At most `limit` records, newest first; of these states and kinds only, if given, and not those `without`."""
        return await self._on(self._reader, self._newest, limit, states, kinds, without)

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
            self._pending = _Batch(self._loop.create_future())
            try:
                await self._on(self._writer, self._write, batch)
            except StoreError as error:
                # Those who wait for the next batch are told too: it will not be tried before someone asks again.
                waiting, self._pending = self._pending, _Batch(self._loop.create_future())
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
        if version == 0:
            connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        self.revision = connection.execute("SELECT coalesce(max(revision), 0) FROM jobs").fetchone()[0]
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
            connection.execute(SAVE_JOB, _job_row(record, None))
        connection.execute("COMMIT")
        if rows:
            log.warning("jobs-interrupted", extra={"jobs": len(rows)})

    def _write(self, batch: _Batch) -> None:
        connection = self._connections["writer"]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(SAVE_JOB, batch.jobs.values())
            for stream_id, row in batch.streams.items():
                if row is None:
                    connection.execute("DELETE FROM streams WHERE id = ?", (stream_id,))
                else:
                    connection.execute("DELETE FROM streams WHERE name = :name AND id <> :id", row)
                    connection.execute(SAVE_STREAM, row)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    # In the reader's thread.

    def _open_reader(self) -> None:
        self._connect("reader").execute("PRAGMA query_only = ON")

    def _find(self, job_id: str) -> Record | None:
        row = self._select("SELECT record, result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else _record(row)

    def _result(self, job_id: str) -> bytes | None:
        row = self._select("SELECT result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else row["result"]

    def _newest(
        self, limit: int, states: Collection[str] | None, kinds: Collection[str] | None, without: Collection[str]
    ) -> list[Record]:
        chosen, values = ["TRUE"], list[object]()
        for column, wanted in (("state", states), ("kind", kinds)):
            if wanted is not None:
                chosen.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += map(str, wanted)
        query = f"SELECT id, record, result FROM jobs WHERE {' AND '.join(chosen)} ORDER BY seq DESC LIMIT ?"
        rows = self._select(query, *values, limit + len(without)).fetchall()
        return [_record(row) for row in rows if row["id"] not in without][:limit]

    def _streams(self) -> list[WantedStream]:
        rows = self._select("SELECT id, name, body FROM streams ORDER BY seq").fetchall()
        return [WantedStream(row["id"], row["name"], json.loads(row["body"])) for row in rows]

    def _select(self, query: str, *values: object) -> sqlite3.Cursor:
        return self._connections["reader"].execute(query, values)


def _job_row(record: Record, result: bytes | None) -> Row:
    return {
        "id": record["id"],
        "revision": record["revision"],
        "state": record["state"],
        "kind": record["kind"],
        "created": record["createdAt"],
        "finished": record["finishedAt"],
        # A record must reach the disk whatever a kind put into its error: what is not JSON is written as text.
        "record": json.dumps(record, default=str),
        "result": result,
    }


def _record(row: sqlite3.Row) -> Record:
    record: Record = json.loads(row["record"])
    record["result"] = None if row["result"] is None else json.loads(row["result"])
    return record
