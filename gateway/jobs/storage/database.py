"""The SQLite file of the store: its tables, opened, written and read by calls that block."""

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from gateway.jobs.job import Record, interrupted, time_of_day
from gateway.jobs.ports import Eviction, Keep, Query
from gateway.jobs.storage.batch import Batch
from gateway.jobs.storage.presence import Presence
from gateway.jobs.storage.rows import LARGEST_LISTED, Row, Statement, job_row, record_of
from gateway.jobs.storage.schema import (
    BURY,
    DELETE_JOB,
    FORGET_GRAVES,
    HIGHEST_REVISION,
    MARK_REVISION,
    MIGRATIONS,
    SAVE_STREAM,
    SCHEMA_VERSION,
    save_jobs,
)

log = logging.getLogger(__name__)

# How many jobs one round of clearing away drops at most, so that no commit waits long for it.
EVICTED_AT_ONCE: Final = 2000
# A burst must not push a job out before its caller has asked for it: jobs younger than this many seconds are kept,
# unless there are this many times more of them than should be (job-contract.md, "Retention").
YOUNG: Final = 60.0
FAR_TOO_MANY: Final = 10
ROWS_AT_ONCE: Final = 64  # of one statement, which has a limit for values


class StoreError(Exception):
    """The store cannot be opened, read or written; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class WantedStream:
    """A stream that is to be live, also after a restart. `body` is what its session needs, as JSON-ready values."""

    id: str
    name: str
    body: dict[str, Any]


class Database:
    """Two connections to one file, and the lock that keeps other gateways out.

    A connection belongs to the thread that opened it: all methods that write are called in one thread, all that read
    in another. `interrupting` gives what is written with the record of each job that a restart has interrupted, in the
    same transaction; `revision` is the highest one ever used.
    """

    def __init__(self, path: Path, retention: float, wall: Callable[[], float]) -> None:
        self.path = path
        self.revision = 0
        self.interrupting: list[Callable[[Record], Iterable[Statement]]] = []
        self._retention = retention
        self._wall = wall
        self._connections: dict[str, sqlite3.Connection] = {}
        self._lock: IO[str] | None = None
        self._presence = Presence()
        # The database, what SQLite keeps beside it, and the lock.
        self._all = (path, *(path.with_name(path.name + more) for more in ("-wal", "-shm", ".lock")))

    # In the writer's thread.

    def open_writer(self) -> None:
        """Open or make the file, and end what a restart has interrupted. Raises StoreError when it cannot be ours."""
        connection = self._open()
        self.revision = connection.execute(HIGHEST_REVISION).fetchone()[0]
        self._interrupt(connection)
        self._presence.note(self._all)

    def _open(self) -> sqlite3.Connection:
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
        return connection

    def lost(self) -> str:
        """What has happened to the open files, in words; "" when they are as they were, or somebody did a VACUUM."""
        lost = self._presence.lost(self._all)
        if lost and all(path.exists() for path in self._all) and self._is_well():
            self._presence.note(self._all)
            return ""
        return lost

    def _is_well(self) -> bool:
        """Whether the same file can be read whole. A connection of its own looks, since it remembers nothing of the
        file.
        """
        if self._presence.replaced(self._all):
            return False
        try:
            with contextlib.closing(sqlite3.connect(self.path)) as fresh:
                return bool(fresh.execute("PRAGMA quick_check").fetchone()[0] == "ok")
        except sqlite3.Error:
            return False

    def salvage(self) -> bool:
        """Writes all rows that can still be read to another file. A deleted file can be read as long as it is open.

        Returns whether these are all rows; if not, there is no other file.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._beside.unlink(missing_ok=True)
        try:
            self._connections["writer"].execute("VACUUM INTO ?", (str(self._beside),))
        except sqlite3.Error as error:
            log.error("store-not-readable", extra={"error": str(error)})
            self._beside.unlink(missing_ok=True)
            return False
        self._beside.chmod(0o600)
        return True

    def renew(self) -> None:
        """Puts what was salvaged, or a new file, in the place of the lost one; what lies there now is put aside.

        Call it while the reader is closed. Raises StoreError as `open_writer` does.
        """
        with contextlib.suppress(sqlite3.Error):
            self._close("writer")
        for path in self._all[:3]:
            if path.exists():
                path.replace(path.with_name(f"{path.name}.aside"))
        if self._beside.exists():
            self._beside.replace(self.path)
        connection = self._open()
        connection.execute(MARK_REVISION, (self.revision,))
        self._presence.note(self._all)

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.rescued")

    def _take_lock(self) -> None:
        """Keeps other gateways out: a second one would declare the first one's jobs interrupted."""
        before, self._lock = self._lock, self._all[-1].open("a")
        if before is not None and os.path.sameopenfile(before.fileno(), self._lock.fileno()):
            self._lock.close()
            self._lock = before
            return
        if before is not None:
            before.close()
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

    def _close(self, name: str) -> None:
        if (connection := self._connections.pop(name, None)) is not None:
            connection.close()

    def _interrupt(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT record FROM jobs WHERE finished IS NULL ORDER BY seq").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            self.revision += 1
            record = interrupted(json.loads(row["record"]), self._wall(), self._retention, self.revision)
            _save_jobs(connection, [job_row(record, None)])
            for statement, values in (each for told in self.interrupting for each in told({**record, "result": None})):
                connection.execute(statement, values)
        connection.execute(MARK_REVISION, (self.revision,))
        connection.execute("COMMIT")
        if rows:
            log.warning("jobs-interrupted", extra={"jobs": len(rows)})

    def write(self, batch: Batch) -> None:
        connection, highest = self._connections["writer"], _highest(batch)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if dropped := [(job_id,) for job_id, job in batch.jobs.items() if job is None]:
                connection.executemany(DELETE_JOB, dropped)
                connection.executemany(BURY, dropped)
            # After the deletions: a key that is freed and taken again in one batch must be freed first.
            _save_jobs(connection, [job_row(*job) for job in batch.jobs.values() if job is not None])
            connection.execute(MARK_REVISION, (highest,))
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
        self.revision = max(self.revision, highest)
        if lost := self._presence.lost(self._all[:1]):  # the others are looked at each second
            raise StoreError(f"the store {self.path} cannot be used: {lost}")

    def evict(self, keep: Keep, protected: frozenset[str]) -> Eviction:
        connection = self._connections["writer"]
        now = self._wall()
        retained = connection.execute("SELECT count(*) FROM jobs WHERE finished IS NOT NULL").fetchone()[0]

        def oldest(condition: str, value: str, most: int) -> list[str]:
            query = f"SELECT id FROM jobs WHERE {condition} <= ? ORDER BY {condition}, seq LIMIT ?"
            rows = connection.execute(query, (value, max(0, most) + len(protected))).fetchall()
            return [row["id"] for row in rows if row["id"] not in protected][: max(0, most)]

        aged = oldest("expires", time_of_day(now), EVICTED_AT_ONCE)
        surplus = min(retained - len(aged) - keep.count, EVICTED_AT_ONCE)
        surplus_jobs = [
            each for each in oldest("finished", time_of_day(now - YOUNG), surplus + len(aged)) if each not in aged
        ]
        surplus_jobs = surplus_jobs[: max(0, surplus)]
        far_over = min(retained - len(aged) - len(surplus_jobs) - FAR_TOO_MANY * keep.count, EVICTED_AT_ONCE)
        if far_over > 0:
            taken = {*aged, *surplus_jobs}
            young = oldest("finished", time_of_day(now), far_over + len(taken))
            surplus_jobs += [each for each in young if each not in taken][:far_over]
        self._drop(connection, [*aged, *surplus_jobs], keep.tombstones)
        return Eviction(aged, surplus_jobs, retained - len(aged) - len(surplus_jobs))

    def _drop(self, connection: sqlite3.Connection, doomed: list[str], tombstones: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(DELETE_JOB, [(job_id,) for job_id in doomed])
        connection.executemany(BURY, [(job_id,) for job_id in doomed])
        connection.execute(FORGET_GRAVES, (tombstones,))
        connection.execute("COMMIT")

    def change(self, statement: str, *values: object) -> int:
        """Writes in a transaction of its own. Returns the number of rows that it changed."""
        return self._connections["writer"].execute(statement, values).rowcount

    def close_writer(self) -> None:
        """Closes the connection that writes, and lets another gateway have the file."""
        self._close("writer")
        if self._lock is not None:
            self._lock.close()

    # In the reader's thread.

    def open_reader(self) -> None:
        """Opens the connection that reads."""
        self._connect("reader").execute("PRAGMA query_only = ON")

    def close_reader(self) -> None:
        """Closes the connection that reads."""
        self._close("reader")

    def find(self, job_id: str) -> Record | None:
        row = self.select("SELECT record, result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else record_of(row)

    def result(self, job_id: str) -> bytes | None:
        row = self.select("SELECT result FROM jobs WHERE id = ?", job_id).fetchone()
        return None if row is None else row["result"]

    def newest(self, limit: int, query: Query, without: Collection[str]) -> list[Record]:
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
        rows = self.select(select, *values, limit + len(without)).fetchall()
        return [record_of(row) for row in rows if row["id"] not in without][:limit]

    def claimed(self, key: str) -> tuple[str, str] | None:
        row = self.select("SELECT id, fingerprint FROM jobs WHERE key = ?", key).fetchone()
        return None if row is None else (row["id"], row["fingerprint"])

    def expired(self, job_id: str) -> bool:
        return self.select("SELECT 1 FROM tombstones WHERE id = ?", job_id).fetchone() is not None

    def streams(self) -> list[WantedStream]:
        rows = self.select("SELECT id, name, body FROM streams ORDER BY seq").fetchall()
        return [WantedStream(row["id"], row["name"], json.loads(row["body"])) for row in rows]

    def select(self, query: str, *values: object) -> sqlite3.Cursor:
        return self._connections["reader"].execute(query, values)


def _save_jobs(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Write rows, many with one statement: SQLite lets go of the interpreter for each one, and asks for it again."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        connection.execute(save_jobs(len(some)), [value for row in some for value in row.values()])


def _highest(batch: Batch) -> int:
    """The highest revision of a batch."""
    return max([batch.revision, *(int(job[0]["revision"]) for job in batch.jobs.values() if job is not None)])
