"""The asyncio driver of the job core: it runs the works, keeps the time, and lets callers wait, cancel and look."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

from gateway.jobs import invariants, words
from gateway.jobs.admission import check_store
from gateway.jobs.claims import Claims
from gateway.jobs.core import Core, Limits
from gateway.jobs.effects import Effect, Free, Kill, Late, Moved, Save, Start, Stop, Wake
from gateway.jobs.failures import Failure
from gateway.jobs.job import Claim, Draft, Job, Record, Work
from gateway.jobs.ports import Archive, Observer
from gateway.jobs.run import Run, Waker, WorkProgress, wake
from gateway.jobs.state import Phase, Reason
from gateway.jobs.storage.ended_jobs import EndedJobs
from gateway.jobs.storage.records import Records
from media.supervision import supervise

log = logging.getLogger(__name__)

# How long the tasks of zombies get to end when the supervisor closes, in seconds.
CLOSE_GRACE: Final = 0.5
# Progress of one job is told at most this often, in seconds: it must not fill the feed of events.
PROGRESS_INTERVAL: Final = 0.5


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
        self.observers: list[Observer] = []
        self._core = Core(limits, revision)
        self._store = store
        self._max_waiters = max_waiters
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self.records = Records(self._core, store, self._loop.time)
        self._runs: dict[str, Run] = {}
        self._claims = Claims(store.claimed)
        self._waiting = 0
        self._ended_jobs = EndedJobs(store, self._forget)
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._quiet = asyncio.Event()
        self._quiet.set()

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
        check_store(self._store)
        effects = self._core.accept(draft, self._loop.time(), self._wall())
        job = self._core.jobs[draft.id]
        self._runs[job.id] = Run(job, work)
        self._claims.hold(draft.claim, job.id)
        self._apply(effects)
        return job

    def claiming(self, claim: Claim) -> AbstractAsyncContextManager[str | None]:
        """The id of the job that this claim has made, or None; inside, nobody else can make one under its key.

        Raises Failure `idempotency-mismatch` when the key stands for another request.
        """
        return self._claims.claiming(claim)

    async def wait(self, job: Job, seconds: float) -> bool:
        """Wait until the job has ended, `seconds` are over, or the gateway shuts down. The job never notices.

        Read the job's record once afterwards, with no `await` in between. False says that there are too many waiters
        and that the wait was not honoured. Being cancelled here cancels nothing else.
        """
        run = self._runs.get(job.id)
        if run is None or job.state.terminal or seconds <= 0:
            return True
        if not self.can_wait:
            return False
        await self._hold(run, run.for_end, seconds)
        return True

    async def wait_change(self, job: Job, revision: int, seconds: float) -> bool:
        """Wait until the job's revision is not this one any more, `seconds` are over, or the gateway shuts down.

        False says that there are too many waiters and that the wait was not honoured.
        """
        run = self._runs.get(job.id)
        if run is None or job.state.terminal or job.revision != revision or seconds <= 0:
            return True
        if not self.can_wait:
            return False
        end = self._loop.time() + seconds
        while job.revision == revision and not self.draining and (left := end - self._loop.time()) > 0:
            await self._hold(run, run.for_change, left)
        return True

    @property
    def closed(self) -> bool:
        """Whether a shutdown has ended."""
        return self._over.done()

    @property
    def can_wait(self) -> bool:
        """Whether one more caller may wait."""
        return self._waiting < self._max_waiters

    async def _hold(self, run: Run, wakers: set[Waker], seconds: float) -> None:
        """Hold one caller until its waker is set with the others, or `seconds` are over; its job stays in memory."""
        if self.draining:
            return
        waker: Waker = self._loop.create_future()
        timer = self._loop.call_later(seconds, wake, {waker})
        wakers.add(waker)
        self._waiting += 1
        try:
            await waker
        finally:
            timer.cancel()
            wakers.discard(waker)
            self._waiting -= 1
            self._forget(run)

    def cancel(self, job_id: str, reason: str = "client") -> Job:
        """Ask for the end of a job in memory. Raises Failure `job-unknown` or `job-already-finished`."""
        self._apply(self._core.cancel(job_id, self._loop.time(), Reason(reason)))
        return self._core.jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        """The job, if it is in memory: it has not ended, or it is not yet persisted, or someone waits for it."""
        return self._core.jobs.get(job_id)

    def active(self) -> list[Job]:
        """The jobs that have not ended, oldest first."""
        return [job for job in self._core.live() if not job.state.terminal]

    def live(self) -> list[Job]:
        """The jobs that have not ended, and those of which something is left, oldest first."""
        return self._core.live()

    async def delete(self, job_id: str) -> None:
        """Forget a job that has ended; its id is remembered as expired. Those who wait for it still get its record.

        Raises Failure `resource-busy` when it has not ended, or something of it is left, and StoreError when that is
        not on disk yet.
        """
        job = self.get(job_id)
        if job is not None and job.phase is not Phase.GONE:
            detail = f"The job {job_id} is {job.state} and its worker is not gone; try again later."
            raise Failure("resource-busy", detail, retry_after=1, holder=job_id)
        self._store.delete_job(job_id)
        # At once: a caller that goes away while the disk takes its time leaves nothing half done.
        if job_id in self._runs:
            self._drop(self._runs[job_id])
        self.records.drop([job_id])
        await self._store.flush()

    def in_memory(self) -> frozenset[str]:
        """The ids that must not be dropped: their jobs go on, or are not saved yet, or someone waits for them."""
        return frozenset(self._core.jobs)

    def stamp(self) -> int:
        """A revision for something that changed and is no job: one order for all that happens."""
        revision = self._core.stamp()
        self._store.note_revision(revision)
        return revision

    def broken(self) -> list[str]:
        """Which invariants do not hold (job-contract.md, "Invariants"), in words; none, unless there is a defect."""
        return invariants.broken(self._core)

    async def over(self) -> None:
        """Returns when a shutdown has ended: nothing more will happen to any job."""
        await asyncio.wait({self._over})

    # The end.

    async def drain(self, timeout: float) -> None:
        """Accept nothing more, wake all waiters, give running jobs `timeout` seconds, then cancel and kill.

        Returns after at most `timeout`, both graces and a second. Zombies are left behind; they end with the process.
        """
        self._apply(self._core.drain(self._loop.time(), timeout))
        self._arm(self._core.next_tick())
        for run in self._runs.values():
            wake(run.for_end | run.for_change)
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
        if (leaving := self._ended_jobs.task) is not None and not leaving.done():
            tasks.add(leaving)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_GRACE)
        if not self._over.done():
            self._over.set_result(None)

    # Driving the core. All of it runs in callbacks of the loop and none of it may raise.

    def _apply(self, effects: list[Effect]) -> None:
        """Do what the core wants, in its order; save each changed job once, and set the timer."""
        changed: dict[str, Job] = {}
        for effect in effects:
            match effect:
                case Moved(job):
                    words.moved(effect, self._loop.time())
                case Save(job):
                    changed[job.id] = job
                case Start(job):
                    self._start(self._runs[job.id])
                case Stop(job):
                    self._stop(self._runs[job.id])
                case Kill(job):
                    self._kill(self._runs[job.id])
                case Wake(job):
                    wake(self._runs[job.id].for_end)
                case Late(job):
                    words.late(job)
                case Free(job):
                    self._ended_jobs.add(self._runs[job.id])
        for observer in self.observers:
            self._call(observer.happened, effects)
        for job in sorted(changed.values(), key=lambda job: job.revision):
            self._tell(self._runs[job.id])
        if self._core.busy:
            self._quiet.clear()
        else:
            self._quiet.set()
        self._arm(min((effect.job.due for effect in effects if effect.job.due is not None), default=None))
        if self._loop.get_debug():
            for text in self.broken():
                log.critical("job-invariant-broken", extra={"invariant": text})

    def _tell(self, run: Run) -> None:
        """Save a job's record, and tell it to those who wait and those who listen: each revision once, in order."""
        run.quiet()
        record = run.record = self.records.of(run.job)
        self._save(run.job, dict(record))
        wake(run.for_change)
        if run.told == run.job.revision:
            return  # the end of a zombie: its record is frozen
        run.told = run.job.revision
        for observer in self.observers:
            self._call(observer.changed, record)

    def _call(self, call: Callable[[Any], None], value: object) -> None:
        """Calls an observer. One that raises must not stop a job."""
        try:
            call(value)
        except Exception as error:
            words.defect("job-observer-failed", error)

    def _arm(self, due: float | None) -> None:
        """Sees to it that the core gets its tick at this moment.

        A tick that comes too early does no harm. The earliest moment of all jobs is only looked for after a tick, since
        that looks at every job.
        """
        if due is None or (self._armed is not None and self._armed <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self._timer = self._armed = None
        try:
            # A loop fires a timer up to one tick of its clock too early.
            self._apply(self._core.tick(max(due, self._loop.time())))
        finally:
            self._arm(self._core.next_tick())

    def _start(self, run: Run) -> None:
        progress = WorkProgress(run.job, self._stage, self._loop.time)
        name = f"job {run.job.id} {run.job.draft.kind}"
        run.task = self._loop.create_task(run.work.run(progress), name=name, context=run.context)
        run.task.add_done_callback(partial(self._ran, run))

    def _ran(self, run: Run, task: asyncio.Task[None]) -> None:
        """The task of `run` is over. Its outcome is read here: a coroutine that was cancelled early never began."""
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
            words.defect("job-defect", error, run.job)
            self._apply(self._core.broken(job_id, now, Failure("internal", "The work ended by a defect.")))

    def _publish(self, run: Run) -> dict[str, Any]:
        try:
            return run.work.publish()
        except Failure:
            raise  # a reason and no defect: its stream may have gone meanwhile, for example
        except Exception as error:
            words.defect("job-publish-failed", error, run.job)
            raise

    def _stop(self, run: Run) -> None:
        if run.task is not None:
            run.task.cancel()
        run.halt = supervise("job-stop", partial(self._halt, run), run.job.id, partial(self._halt_failed, run))

    async def _halt(self, run: Run) -> None:
        """Ends the work and reports it gone. The core keeps the limits, so this may take as long as it needs."""
        if run.task is not None:
            await asyncio.wait({run.task})
        await run.work.stop()
        self._apply(self._core.gone(run.job.id, self._loop.time()))

    async def _halt_failed(self, run: Run, error: Exception, _: float) -> None:
        """Stopping the work raised, so it may hold anything: kill it.

        `stop` is called again later. If that takes too long, the job is a zombie until it succeeds.
        """
        words.defect("job-stop-failed", error, run.job)
        self._kill(run)

    def _kill(self, run: Run) -> None:
        words.killed(run.job)
        try:
            run.work.kill()
        except Exception as error:
            words.defect("job-kill-failed", error, run.job)

    def _stage(self, job: Job, key: str) -> None:
        """Puts progress into the record at once, and tells it twice a second at most; what is in between is not
        told.
        """
        effects = self._core.stage(job.id, key, self._loop.time())
        if not effects:
            return
        run = self._runs[job.id]
        rest = run.progress_at + PROGRESS_INTERVAL - self._loop.time()
        if rest <= 0:
            run.progress_at = self._loop.time()
            self._apply(effects)
        elif run.later is None:
            run.later = self._loop.call_later(rest, self._tell_later, run)

    def _tell_later(self, run: Run) -> None:
        run.later = None
        run.progress_at = self._loop.time()
        self._apply(self._core.restamp(run.job))

    # Persistence and memory.

    def _save(self, job: Job, record: Record) -> None:
        del record["result"]
        # A zombie lives in this process alone and keeps its job in memory; after a restart there is none.
        record.pop("zombie", None)
        self._store.save_job(record, job.result_json, job.draft.claim)

    def _forget(self, run: Run) -> None:
        if run.saved and not run.awaited and run.job.id in self._runs:
            self._drop(run)

    def _drop(self, run: Run) -> None:
        del self._runs[run.job.id]
        self.records.keep(run.record, run.job.result_json)
        self._core.forget(run.job.id)
        self._claims.let_go(run.job.draft.claim, run.job.id)
