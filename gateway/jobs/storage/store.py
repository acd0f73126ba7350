"""The SQLite store: job records, wanted streams and what goes with them, written in group commits by one thread."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.jobs.job import Claim, Record, encode
from gateway.jobs.ports import EVERYTHING, Eviction, Keep, Query
from gateway.jobs.storage.batch import Batch
from gateway.jobs.storage.database import Database, StoreError, WantedStream
from gateway.jobs.storage.rows import Statement
from media.supervision import supervise

T = TypeVar("T")

log = logging.getLogger(__name__)

# Turns of the loop between the first row of a batch and its cut. A busy loop has long turns: most that has just begun
# has ended by then, and is written once. An idle loop has short ones, so that a single job does not wait for others.
TURNS: Final = 8

RETRY: Final = 1.0  # seconds until what could not be written is tried again, unless somebody asks for it before
SLOW: Final = 3.0  # seconds of one write after which the store counts as failing
LOOK_PATIENCE: Final = 1.0  # seconds that a look at one row may take; a folder that hangs takes longer
LIST_PATIENCE: Final = 5.0  # of a look at many rows
CLOSE_PATIENCE: Final = 3.0  # seconds that are left for the last rows when the gateway ends
SHUT_PATIENCE: Final = 0.5  # seconds for each of the two connections


class Store:
    """One SQLite file, for one gateway. All methods are called on the event loop; nothing here blocks it.

    Group commit: `save_*` and `delete_*` only note a row. A batch is cut in a loop callback of its own and written in
    one transaction, so **what is saved in one loop callback is saved together or not at all**; while one batch is being
    written the next one gathers. `flush` is the promise that it is done.

    What could not be written is tried again until it is; `trouble` says meanwhile that it is not.

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
        self._file = Database(path, retention, wall)
        self._queue_limit = queue_limit
        # A thread each: a connection belongs to its thread, and a long read does not keep a commit waiting.
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._writing: Batch | None = None
        self._pump: asyncio.Task[None] | None = None
        self._began: float | None = None  # the loop's time at which the write that is under way began
        self._error = ""
        self._asked = asyncio.Event()
        self._accepted: set[str] = set()
        self.failures = 0  # writes that failed
        self.rescues = 0  # databases that were lost while they were open, and made anew
        self.rescued = ""  # what happened to the last lost database
        # Called after a database was made anew: `keeping` in a thread, to write the files beside it anew; `remembering`
        # on the loop, to save all that memory holds, which is all there is where rows could not be read.
        self.keeping: list[Callable[[], None]] = []
        self.remembering: list[Callable[[], None]] = []
        self._lost = ""  # why a database that is lost cannot be made anew
        self._looked: float | None = None  # the loop's time at which the files were looked at last
        self._turn = asyncio.Lock()  # held by who writes, or makes the database anew
        self._watch: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """Why nothing can be written at the moment; "" when all is well."""
        if reason := self._error or self._lost:
            return reason
        now = self._loop.time()
        slow = self._began is not None and now - self._began > SLOW
        if slow or (self._looked is not None and now - self._looked > RETRY + SLOW):
            return f"the store {self.path} has not answered for over {SLOW:g} s"
        return ""

    @property
    def revision(self) -> int:
        """The highest revision ever used, as of `open`."""
        return self._file.revision

    @property
    def interrupting(self) -> list[Callable[[Record], Iterable[Statement]]]:
        """The function that says what is written with the record of a job that a restart has interrupted, in its
        transaction.
        """
        return self._file.interrupting

    async def open(self) -> None:
        """Open or make the file. Unfinished jobs become FAILED `interrupted`.

        Raises StoreError when the file is broken, of a newer version, or in use by another gateway.
        """
        self._loop = asyncio.get_running_loop()
        self._pending = Batch()
        try:
            await self._on(self._writer, self._file.open_writer)
            await self._on(self._reader, self._file.open_reader)
        except BaseException:
            await self._shut()
            raise
        self._watch = self._loop.create_task(self._look_after(), name="store-watch")

    async def close(self) -> None:
        """Write what is waiting, and close. Raises StoreError when that could not be written, or not in time."""
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self.flush()
        except TimeoutError:
            detail = f"the store {self.path} has not been written for {CLOSE_PATIENCE:g} s; does its disk hang?"
            raise StoreError(detail) from None
        finally:
            await self._shut()

    @property
    def room(self) -> bool:
        """Whether the disk keeps up: it can be written, and no more rows are waiting than the bound."""
        return not self.trouble and len(self._pending) < self._queue_limit

    def accepted(self, job_id: str) -> bool:
        """Whether a version of a job that goes on is on disk: after a restart there is a record of it."""
        return job_id in self._accepted

    def save_job(self, record: Record, result: bytes | None, claim: Claim | None = None) -> None:
        """Notes a version of a job's public record, without its `result` member; `result` is the serialised result.

        The claim of the first version that reaches the disk is the job's.
        """
        # It becomes text in the writer's thread: of the versions of one batch only the last one is written.
        self._pending.jobs[record["id"]] = (record, result, claim)
        self._wake()

    def delete_job(self, job_id: str) -> None:
        """Notes that a job and its claim are to be forgotten. Its id is remembered as the id of a dropped job."""
        self._pending.jobs[job_id] = None
        self._wake()

    def note_revision(self, revision: int) -> None:
        """Notes that a revision was used for something that is not saved here."""
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
        """Notes a statement for the transaction of all else that is saved in this loop callback."""
        self._pending.also.append(statement)
        self._wake()

    def post(self, statement: Statement, most: int) -> list[Statement]:
        """Notes the statement of an event, for the transaction of all else that is saved in this loop callback.

        While the disk cannot be written, only the newest `most` events are kept. Returns those that were dropped.
        """
        events = self._pending.events
        events.append(statement)
        self._wake()
        return [events.popleft() for _ in range(len(events) - most)]

    async def ask(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query about what is on disk."""
        return await self._look(LIST_PATIENCE, lambda: self._file.select(query, *values).fetchall())

    async def change(self, statement: str, *values: object) -> int:
        """Write at once, in a transaction of its own. Gives the number of rows that it changed."""
        return await self._on(self._writer, lambda: self._file.change(statement, *values))

    async def flush(self) -> None:
        """Return when all that was saved before this call is on disk. Raises StoreError when it could not be written.

        What could not be written is kept, and tried again.
        """
        batch = self._pending if len(self._pending) else self._writing
        if batch is not None:
            await self._settled(batch)

    async def settled(self, job_id: str, seconds: float) -> None:
        """Returns when the last saved version of one job is on disk, with all that was saved in the same callback.

        Raises StoreError when it could not be written, or not within `seconds`. Who has waited long for a job finds it
        written long ago, and need not wait for what others have saved since.
        """
        batch = self._pending if job_id in self._pending.jobs else self._writing
        if batch is not None and job_id in batch.jobs:
            await self._settled(batch, seconds)

    async def find(self, job_id: str) -> Record | None:
        """The record of a job, its result included, as last written."""
        return await self._look(LOOK_PATIENCE, self._file.find, job_id)

    async def result(self, job_id: str) -> bytes | None:
        """The serialised result of a DONE job."""
        return await self._look(LOOK_PATIENCE, self._file.result, job_id)

    async def newest(self, limit: int, query: Query = EVERYTHING, without: Collection[str] = ()) -> list[Record]:
        """At most `limit` records of the query, newest first, and not those `without`; without results too large for
        a list.
        """
        return await self._look(LIST_PATIENCE, self._file.newest, limit, query, without)

    async def claimed(self, key: str) -> tuple[str, str] | None:
        """The id and the fingerprint of the job that has this key."""
        return await self._look(LOOK_PATIENCE, self._file.claimed, key)

    async def expired(self, job_id: str) -> bool:
        """Whether there was such a job, and it was dropped not too long ago."""
        return await self._look(LOOK_PATIENCE, self._file.expired, job_id)

    async def evict(self, keep: Keep, protected: Collection[str]) -> Eviction:
        """Drop finished jobs over their age, and the oldest of those beyond `keep.count`; never those `protected`.

        Does at most EVICTED_AT_ONCE; call again as long as it drops that many.
        """
        return await self._on(self._writer, self._file.evict, keep, frozenset(protected))

    async def streams(self) -> list[WantedStream]:
        """The wanted streams, oldest first."""
        return await self._on(self._reader, self._file.streams)

    # The group commit.

    async def _settled(self, batch: Batch, seconds: float | None = None) -> None:
        self._asked.set()
        self._wake()
        # A future for each: who is cancelled here must not cancel what others wait for.
        waiter = self._loop.create_future()
        batch.waiters.append(waiter)
        if seconds is not None:
            batch.limit(waiter, self._loop.time() + seconds, self._loop)
        if (error := await waiter) is not None:
            raise StoreError(str(error))

    def _wake(self) -> None:
        if len(self._pending) and (self._pump is None or self._pump.done()):
            self._pump = supervise("store-pump", self._write_all)

    async def _write_all(self) -> None:
        # A task's steps are loop callbacks of their own: a batch is never cut between two saves of one callback.
        while len(self._pending):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch = self._writing = self._pending
            self._pending = Batch()
            self._asked.clear()
            self._began = self._loop.time()
            try:
                await self._write(batch)
            except StoreError as error:
                self._failed(batch, error)
                await self._pause()
            else:
                self._written(batch)
            finally:
                self._writing = self._began = None

    async def _write(self, batch: Batch) -> None:
        async with self._turn:
            try:
                await self._on(self._writer, self._file.write, batch)
            except StoreError:
                if not await self._rescue():
                    raise
                await self._on(self._writer, self._file.write, batch)

    async def _look_after(self) -> None:
        """Runs until it is cancelled: notices also when nobody writes that the database is lost."""
        while True:
            self._looked = self._loop.time()
            await asyncio.sleep(RETRY)
            try:
                async with self._turn:
                    await self._rescue()
                self._lost = ""
            except StoreError as error:
                self._lost = str(error)

    async def _rescue(self) -> bool:
        """Makes the database anew if it was deleted, cut or replaced while it was open. Gives whether it was."""
        if not (lost := await self._on(self._writer, self._file.lost)):
            return False
        whole = await self._on(self._writer, self._file.salvage)
        await self._on(self._reader, self._file.close_reader)
        await self._on(self._writer, self._file.renew)
        await self._on(self._reader, self._file.open_reader)
        for keep in self.keeping:
            with contextlib.suppress(StoreError):
                await self._on(self._writer, keep)
        self.rescues += 1
        kept = "all of it was still there" if whole else "what memory held was written, older jobs are gone"
        self.rescued = f"{lost}; a new database was made: {kept}"
        log.error("store-rescued", extra={"path": str(self.path), "lost": lost, "whole": whole})
        for remember in self.remembering:
            try:
                remember()
            except Exception as error:  # one that cannot be saved must not keep the others from it
                log.error("not-remembered", extra={"error": type(error).__name__})
        return True

    def _written(self, batch: Batch) -> None:
        if self._error:
            log.warning("store-written-again", extra={"failures": self.failures})
            self._error = ""
        for job_id, version in batch.jobs.items():
            if version is not None and version[0]["finishedAt"] is None:
                self._accepted.add(job_id)
            else:
                self._accepted.discard(job_id)
        batch.settle(None)

    def _failed(self, batch: Batch, error: StoreError) -> None:
        """Keeps what could not be written. Those who wait for the next batch are told too, and not held for longer."""
        self.failures += 1
        if not self._error:
            log.error("store-failed", extra={"error": str(error)})
        self._error = str(error)
        waiting, self._pending = self._pending, Batch()
        self._pending.put_back(waiting)
        self._pending.put_back(batch)
        self._writing = self._began = None
        batch.settle(error)
        waiting.settle(error)

    async def _pause(self) -> None:
        """Waits until it is time to try again, or somebody waits for the disk."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY):
                await self._asked.wait()

    async def _look(self, seconds: float, call: Callable[..., T], *args: object) -> T:
        """Calls in the reader's thread. Raises StoreError also when that has not answered in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._on(self._reader, call, *args)
        except TimeoutError:
            raise StoreError(f"the store {self.path} has not answered for {seconds:g} s; does its disk hang?") from None

    async def _on(self, thread: ThreadPoolExecutor, call: Callable[..., T], *args: object) -> T:
        """Calls in a thread of the store's own, and raises StoreError for whatever goes wrong: nobody may wait for
        ever.
        """
        try:
            return await self._loop.run_in_executor(thread, call, *args)
        except StoreError:
            raise  # its text says already what to do
        except Exception as error:
            detail = f"the store {self.path} cannot be used: {error}"
            advice = "free the disk, or move the file away (a new one is made) or restore a copy of it"
            raise StoreError(f"{detail}; {advice}") from error

    async def _shut(self) -> None:
        for task in (self._pump, self._watch):
            if task is not None:
                task.cancel()
        for thread, close in ((self._reader, self._file.close_reader), (self._writer, self._file.close_writer)):
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(SHUT_PATIENCE):
                    await self._on(thread, close)
            thread.shutdown(wait=False)  # one that hangs in the disk must not keep the gateway from ending
