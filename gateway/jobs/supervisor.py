"""The asyncio driver of the job core: it runs the works, keeps the time, and lets callers wait, cancel and look."""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from gateway.jobs.core import Core, Limits
from gateway.jobs.effects import Effect, Free, Kill, Late, Moved, Save, Start, Stop, Wake
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Job, Record, Work
from gateway.jobs.state import Phase, Reason
from gateway.jobs.store import StoreError

log = logging.getLogger(__name__)

# What a work gets for its own limits beyond the deadline, in seconds (contract, D44).
BUDGET_MARGIN: Final = 0.25
# How long the tasks of zombies get to end when the supervisor closes, in seconds.
CLOSE_GRACE: Final = 0.5
STORE_RETRY_AFTER: Final = 5

Records = list[Record]
Effects = list[Effect]


class Archive(Protocol):
    """Where records are kept: what the supervisor needs of the store."""

    @property
    def room(self) -> bool:
        """Whether the store keeps up with what it is given."""

    def save_job(self, record: Record, result: bytes | None) -> None:
        """Keep this version of the record (without its result), soon."""

    async def flush(self) -> None:
        """Return when all that was handed in before is safe. Raises StoreError when it is not."""

    async def find(self, job_id: str) -> Record | None:
        """The last saved record."""

    async def result(self, job_id: str) -> bytes | None:
        """The serialised result of a job that is DONE."""

    async def newest(
        self, limit: int, states: Collection[str] | None, kinds: Collection[str] | None, without: Collection[str]
    ) -> Records:
        """Saved records, newest first."""


@dataclass(slots=True, eq=False)
class _Run:
    """What the supervisor keeps of one job: strong references to its tasks, and its completion future."""

    job: Job
    work: Work
    ended: asyncio.Future[None]
    task: asyncio.Task[None] | None = None
    halt: asyncio.Task[None] | None = None
    waiters: int = 0
    saved: bool = False


class Supervisor:
    """All jobs of a gateway. Make it inside a running event loop; its clock is the loop's.

    `wall` gives the time of day in seconds since the epoch, for display only; `revision` is the highest one ever used.
    """

    def __init__(
        self,
        limits: Limits,
        store: Archive,
        *,
        max_waiters: int = 512,
        revision: int = 0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._core = Core(limits, revision)
        self._store = store
        self._max_waiters = max_waiters
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, _Run] = {}
        self._waiting = 0
        self._freed: list[str] = []
        self._retiring: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None
        self._shutdown: asyncio.Future[None] = self._loop.create_future()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.closed = False

    # What callers ask.

    @property
    def waiting(self) -> int:
        """How many callers wait for a job right now."""
        return self._waiting

    @property
    def draining(self) -> bool:
        """Whether a shutdown has begun: nothing more is accepted. `closed` follows when it has ended."""
        return self._core.draining

    def submit(self, draft: Draft, work: Work) -> Job:
        """Admit a job, and start it if it has a slot. Raises Failure (see `Core.accept`), and then there is no job."""
        if not self._store.room:
            detail = "The store does not keep up (is the disk full or slow?); try again later."
            raise Failure("capacity-exceeded", detail, retry_after=STORE_RETRY_AFTER)
        effects = self._core.accept(draft, self._loop.time(), self._wall())
        job = self._core.jobs[draft.id]
        self._runs[job.id] = _Run(job, work, self._loop.create_future())
        self._apply(effects)
        return job

    async def wait(self, job: Job, seconds: float) -> bool:
        """Wait until the job has ended, `seconds` are over, or the gateway shuts down. The job never notices.

        Read the job's record once afterwards, with no `await` in between. False says that there are too many waiters
        and that the wait was not honoured. Being cancelled here cancels nothing else.
        """
        run = self._runs.get(job.id)
        if run is None or job.state.terminal or seconds <= 0:
            return True
        if self._waiting >= self._max_waiters:
            return False
        self._waiting += 1
        run.waiters += 1
        try:
            # Not wait_for or timeout: those cancel what they wait for. Not the task: it ends before the record does.
            await asyncio.wait({run.ended, self._shutdown}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
            run.waiters -= 1
            self._forget(run)
        return True

    def cancel(self, job_id: str, reason: str = "client") -> Job:
        """Ask for the end of a job in memory. Raises Failure `job-unknown` or `job-already-finished`."""
        self._apply(self._core.cancel(job_id, self._loop.time(), Reason(reason)))
        return self._core.jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        """The job, if it is in memory: it has not ended, or it is not yet persisted, or someone waits for it."""
        return self._core.jobs.get(job_id)

    def record(self, job: Job) -> Record:
        """The public record as of now."""
        return job.record(self._loop.time())

    def active(self) -> list[Job]:
        """The jobs that have not ended, oldest first."""
        return [job for job in self._core.live() if not job.state.terminal]

    async def find(self, job_id: str) -> Record | None:
        """The public record, from memory or else from the store."""
        job = self.get(job_id)
        return self.record(job) if job is not None else await self._store.find(job_id)

    async def result(self, job_id: str) -> bytes | None:
        """The result of a DONE job, byte for byte as it was serialised when the job was committed."""
        job = self.get(job_id)
        return job.result_json if job is not None else await self._store.result(job_id)

    async def list(
        self, limit: int, states: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> Records:
        """At most `limit` public records, newest first; of these states and kinds only, if given."""
        here = [
            self.record(job)
            for job in reversed(self._core.jobs.values())
            if (states is None or job.state in states) and (kinds is None or job.draft.kind in kinds)
        ]
        # A record in memory is newer than its stored version, which may even be of another state.
        stored = await self._store.newest(limit, states, kinds, frozenset(self._core.jobs))
        return sorted(here + stored, key=lambda record: str(record["createdAt"]), reverse=True)[:limit]

    # The end.

    async def drain(self, timeout: float) -> None:
        """Accept nothing more, wake all waiters, give running jobs `timeout` seconds, then cancel and kill.

        Returns after at most `timeout`, both graces and a second. Zombies are left behind; they end with the process.
        """
        if not self._shutdown.done():
            self._shutdown.set_result(None)
        self._apply(self._core.drain(self._loop.time(), timeout))
        limits = self._core.limits
        try:
            async with asyncio.timeout(timeout + limits.cancel_grace + limits.kill_grace + CLOSE_GRACE):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("drain-incomplete", extra={"jobs": len(self._core.live())})
        await self._close()

    def kill(self) -> None:
        """The second signal: cancel all jobs and use force now. A `drain` that is under way returns soon."""
        self._apply(self._core.kill(self._loop.time()))

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        tasks = {task for run in self._runs.values() for task in (run.task, run.halt) if task and not task.done()}
        if self._retiring is not None and not self._retiring.done():
            tasks.add(self._retiring)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_GRACE)
        self.closed = True

    # Driving the core. All of it runs in callbacks of the loop and none of it may raise.

    def _apply(self, effects: Effects) -> None:
        """Do what the core wants, in its order; save each changed job once, and set the timer."""
        changed: dict[str, Job] = {}
        for effect in effects:
            match effect:
                case Moved():
                    self._log(effect)
                case Save(job):
                    changed[job.id] = job
                case Start(job):
                    self._start(self._runs[job.id])
                case Stop(job):
                    self._stop(self._runs[job.id])
                case Kill(job):
                    self._kill(self._runs[job.id])
                case Wake(job):
                    self._runs[job.id].ended.set_result(None)
                case Late(job):
                    log.info("job-late-result", extra={"job": job.id, "kind": job.draft.kind})
                case Free(job):
                    self._freed.append(job.id)
        for job in changed.values():
            self._save(job)
        if self._freed and (self._retiring is None or self._retiring.done()):
            self._retiring = self._loop.create_task(self._retire(), name="job-retire")
        self._arm()

    def _arm(self) -> None:
        if all(job.phase is Phase.ZOMBIE for job in self._core.live()):
            self._quiet.set()
        else:
            self._quiet.clear()
        due = self._core.next_tick()
        if due == self._armed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = None if due is None else self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self._timer = self._armed = None
        # A loop fires a timer up to one tick of its clock too early.
        self._apply(self._core.tick(max(due, self._loop.time())))

    def _start(self, run: _Run) -> None:
        progress = _Progress(self, run.job)
        run.task = self._loop.create_task(run.work.run(progress), name=f"job {run.job.id} {run.job.draft.kind}")
        run.task.add_done_callback(partial(self._ran, run))

    def _ran(self, run: _Run, task: asyncio.Task[None]) -> None:
        """`run` is over. Its outcome is read here and not in the coroutine, whose body may never have begun."""
        job_id, now = run.job.id, self._loop.time()
        if task.cancelled():
            if run.halt is None:
                failure = Failure("internal", "The work was cancelled, and not by its supervisor.")
                self._apply(self._core.broken(job_id, now, failure))
            return
        error = task.exception()
        if error is None:
            self._apply(self._core.prepared(job_id, now, partial(self._publish, run)))
        elif isinstance(error, Failure):
            self._apply(self._core.failed(job_id, now, error))
        else:
            self._defect("job-defect", run, error)
            self._apply(self._core.broken(job_id, now, Failure("internal", "The work ended by a defect.")))

    def _publish(self, run: _Run) -> dict[str, Any]:
        try:
            return run.work.publish()
        except Exception as error:
            self._defect("job-publish-failed", run, error)
            raise

    def _stop(self, run: _Run) -> None:
        if run.task is not None:
            run.task.cancel()
        run.halt = self._loop.create_task(self._halt(run), name=f"job-stop {run.job.id}")

    async def _halt(self, run: _Run) -> None:
        """End the work and report it gone. The graces are the core's: this takes as long as it takes."""
        if run.task is not None:
            await asyncio.wait({run.task})
        for _ in range(2):
            try:
                await run.work.stop()
            except Exception as error:
                # It may hold anything now. Force, and one more try; if that fails too it stays, and becomes a zombie.
                self._defect("job-stop-failed", run, error)
                self._kill(run)
            else:
                self._apply(self._core.gone(run.job.id, self._loop.time()))
                return

    def _kill(self, run: _Run) -> None:
        log.warning("job-killed", extra={"job": run.job.id, "kind": run.job.draft.kind})
        try:
            run.work.kill()
        except Exception as error:
            self._defect("job-kill-failed", run, error)

    def _stage(self, job: Job, key: str) -> None:
        self._apply(self._core.stage(job.id, key))

    # Persistence and memory.

    def _save(self, job: Job) -> None:
        record = self.record(job)
        del record["result"]
        # A zombie lives in this process alone and keeps its job in memory; after a restart there is none.
        record.pop("zombie", None)
        self._store.save_job(record, job.result_json)

    async def _retire(self) -> None:
        """Let the ended jobs leave memory when they are on disk. After an error they stay until the next one ends."""
        while self._freed:
            ready, self._freed = self._freed, []
            try:
                await self._store.flush()
            except StoreError as error:
                self._freed = ready + self._freed
                log.error("store-failed", extra={"error": str(error), "jobs": len(self._freed)})
                return
            for job_id in ready:
                self._runs[job_id].saved = True
                self._forget(self._runs[job_id])

    def _forget(self, run: _Run) -> None:
        if run.saved and not run.waiters and run.job.id in self._runs:
            del self._runs[run.job.id]
            self._core.forget(run.job.id)

    # Words.

    def _log(self, moved: Moved) -> None:
        job = moved.job
        fields = {
            "job": job.id,
            "kind": job.draft.kind,
            "from": None if moved.source is None else str(moved.source),
            "to": str(moved.target),
            "state": str(job.state),
            "reason": None if job.cancel_reason is None else str(job.cancel_reason),
            "code": None if job.error is None else job.error["code"],
            "elapsed_ms": round(job.elapsed(self._loop.time()) * 1000),
            "rev": job.revision,
        }
        log.log(logging.WARNING if moved.target is Phase.ZOMBIE else logging.INFO, "job-moved", extra=fields)

    def _defect(self, event: str, run: _Run, error: BaseException) -> None:
        """Log where a defect was, and of which type; not its text, which may hold an address with a password."""
        frames = traceback.extract_tb(error.__traceback__)
        fields = {
            "job": run.job.id,
            "kind": run.job.draft.kind,
            "error": type(error).__name__,
            "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        log.error(event, extra=fields)


@dataclass(frozen=True, slots=True)
class _Progress:
    """The `Progress` of one job."""

    supervisor: Supervisor
    job: Job

    def stage(self, key: str) -> None:
        self.supervisor._stage(self.job, key)

    def budget(self) -> float:
        return max(0.0, self.job.deadline - self.supervisor._loop.time()) + BUDGET_MARGIN
