"""The life of all jobs as (event, now) -> effects: admission, slots, deadlines, graces, the commit."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.jobs.effects import Effect, Free, Kill, Late, Moved, Save, Start, Stop, Wake
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Job, Record, encode
from gateway.jobs.pool import Pool
from gateway.jobs.state import Event, Phase, Reason, State, target

_ENDINGS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.TIMEOUT: ("job-timeout", "The job did not end within its {timeout:g} s (last stage: {stage})."),
    Reason.CLIENT: ("job-cancelled", "The job was cancelled on request (last stage: {stage})."),
    Reason.SHUTDOWN: ("draining", "The gateway shut down before the job ended (last stage: {stage})."),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of the core: numbers of jobs, and seconds. `max_running` is for each pool, `max_pending` for all."""

    max_running: int = 8
    max_pending: int = 64
    cancel_grace: float = 0.3
    kill_grace: float = 1.0
    retention: float = 86400.0


class Core:
    """All jobs of this process that are not yet forgotten.

    Sans-IO: each method is one event, which moves the jobs and returns what must be done, in order. Every `now` is in
    seconds on one monotonic clock. `revision` is the highest one ever used.
    """

    def __init__(self, limits: Limits, revision: int = 0) -> None:
        self.limits = limits
        self.revision = revision
        self.draining = False
        self.jobs: dict[str, Job] = {}
        self.names: dict[str, str] = {}
        self.accepted = 0
        self.forgotten: Counter[State] = Counter()
        self.refused: Counter[str] = Counter()
        self.late = 0
        self._live: dict[str, Job] = {}
        self._pools: defaultdict[str, Pool] = defaultdict(lambda: Pool(limits.max_running))
        self._drain_at: float | None = None

    # What others may ask.

    def live(self) -> list[Job]:
        """The jobs that have not ended, or hold a slot or name: oldest first."""
        return list(self._live.values())

    @property
    def busy(self) -> bool:
        """Whether anything can still happen to a job without a new call: there are more than zombies."""
        return any(job.phase is not Phase.ZOMBIE for job in self._live.values())

    def queued(self, pool: str) -> list[Job]:
        """The jobs that wait for a slot of the pool, in the order in which they will start."""
        return list(self._pools[pool].queue)

    def slots(self, pool: str) -> frozenset[str]:
        """The ids of the jobs that hold a slot of the pool: whose worker lives, stopping ones and zombies included."""
        return frozenset(self._pools[pool].slots)

    def pools(self) -> list[str]:
        """The pools that jobs have asked for."""
        return list(self._pools)

    def next_tick(self) -> float | None:
        """When `tick` is due next, or None when no time limit is running."""
        dues = [job.due for job in self._live.values() if job.due is not None]
        if self._drain_at is not None:
            dues.append(self._drain_at)
        return min(dues, default=None)

    # Events.

    def accept(self, draft: Draft, now: float, wall: float) -> list[Effect]:
        """Admit a job, or raise Failure (`draining`, `resource-busy` with `holder`, `queue-full`) and leave no trace.

        `wall` is the time of day in seconds since the epoch, for display only.
        """
        try:
            self._admit(draft, now)
        except Failure as failure:
            self.refused[failure.code] += 1
            raise
        job = Job(draft, created=now, wall=wall)
        job.due = job.deadline
        self.accepted += 1
        self.jobs[job.id] = self._live[job.id] = job
        self.names.update(dict.fromkeys(draft.names, job.id))
        self._pools[draft.pool].enter(job)
        self._revise(job)
        return [Moved(job, None, job.phase, None, job.revision), Save(job), *self._fill(self._pools[draft.pool], now)]

    def prepared(self, job_id: str, now: float, publish: Callable[[], Mapping[str, Any]]) -> list[Effect]:
        """The work has its result: commit it or roll it back. Only here does a job become DONE.

        Whoever reaches the loop first wins: a cancel before this call, or a deadline that the clock (not the timer)
        says is over, and `publish` is never called; else the result is published and the job DONE before this returns.
        """
        job = self.jobs[job_id]
        if job.phase is not Phase.WORKING:
            self.late += 1
            return [Late(job)]
        if now >= job.deadline:
            self.late += 1
            return [Late(job), *self._cancel(job, now, Reason.TIMEOUT)]
        try:
            result = encode(publish())
            if len(result) > job.draft.result_limit:
                raise ValueError(f"the result has {len(result)} bytes, over its limit of {job.draft.result_limit}")
        except Failure as failure:
            return self.broken(job_id, now, failure)
        except Exception:
            # Whatever it was, the job must end; the caller, who made `publish`, knows more and logs it there.
            return self.broken(job_id, now, Failure("internal", "The result could not be published."))
        moved = self._move(job, Event.COMMIT)
        job.result_json = result
        return [moved, *self._finish(job, now, State.DONE), *self._release(job, now)]

    def failed(self, job_id: str, now: float, failure: Failure) -> list[Effect]:
        """The work ended with a reason and has released all. While it is being stopped, the reason is only noted."""
        job = self.jobs[job_id]
        if job.phase is not Phase.WORKING:
            return self._note(job, failure)
        job.failure = failure
        if now >= job.deadline:
            job.cancel_reason = Reason.TIMEOUT
        moved = self._move(job, Event.FAIL)
        return [moved, *self._finish(job, now, self._ending(job)), *self._release(job, now)]

    def broken(self, job_id: str, now: float, failure: Failure) -> list[Effect]:
        """The work ended in a way that leaves open what it still holds: stop it, then FAILED with this reason."""
        job = self.jobs[job_id]
        if job.phase is not Phase.WORKING:
            return self._note(job, failure)
        job.failure = failure
        if now >= job.deadline:
            return self._cancel(job, now, Reason.TIMEOUT)
        return self._stop(job, now, Event.BREAK)

    def gone(self, job_id: str, now: float) -> list[Effect]:
        """The stopped work has released all: only now are its slot and its names free."""
        job = self.jobs[job_id]
        moved = self._move(job, Event.RELEASE)
        if job.state.terminal:
            # The end of a zombie: its record is frozen and keeps its revision, it only stops being shown as one.
            return [moved, Save(job), *self._release(job, now)]
        return [moved, *self._finish(job, now, self._ending(job)), *self._release(job, now)]

    def cancel(self, job_id: str, now: float, reason: Reason = Reason.CLIENT) -> list[Effect]:
        """Ask for the end of a job. Idempotent; the first reason wins.

        Raises Failure `job-unknown`, or `job-already-finished` when it is DONE or FAILED; its stream is not touched.
        """
        job = self.jobs.get(job_id)
        if job is None:
            raise Failure("job-unknown", f"There is no job {job_id}.")
        if job.state in (State.DONE, State.FAILED):
            raise Failure("job-already-finished", f"The job {job_id} is {job.state} and cannot be cancelled.")
        if job.phase not in (Phase.QUEUED, Phase.WORKING):
            return []
        return self._cancel(job, now, reason)

    def stage(self, job_id: str, stage: str, now: float) -> list[Effect]:
        """The work tells how far it has come. Nothing happens when that comes too late or is not new."""
        job = self.jobs.get(job_id)
        if job is None or job.phase is not Phase.WORKING or job.stage == stage:
            return []
        job.enter(stage, now)
        self._revise(job)
        return [Save(job)]

    def restamp(self, job: Job) -> list[Effect]:
        """The record of a job that goes on is told later than it changed: it takes the newest revision."""
        if job.state.terminal:
            return []
        self._revise(job)
        return [Save(job)]

    def stamp(self) -> int:
        """A revision for something that changed and is no job: one order for all that happens."""
        self.revision += 1
        return self.revision

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: end what is over its deadline or its grace."""
        effects: list[Effect] = []
        for job in self.live():
            if job.due is not None and now >= job.due:
                effects += self._expire(job, now)
        if self._drain_at is not None and now >= self._drain_at:
            effects += self._cancel_all(now, Phase.WORKING)
            self._drain_at = None
        return effects

    def drain(self, now: float, timeout: float) -> list[Effect]:
        """Accept nothing more, cancel what is PENDING, and after `timeout` seconds what is RUNNING."""
        self.draining = True
        self._drain_at = now + timeout
        return self._cancel_all(now, Phase.QUEUED)

    def kill(self, now: float) -> list[Effect]:
        """The last word of a shutdown: cancel all, and use force at once on what is being stopped."""
        effects = [*self.drain(now, 0.0), *self.tick(now)]
        for job in self.live():
            if job.phase is Phase.STOPPING:
                effects += self._kill(job, now)
        return effects

    def forget(self, job_id: str) -> None:
        """Drop a job that has ended and of which nothing is left (it was reported by `Free`, and is persisted)."""
        job = self.jobs[job_id]
        if job.phase is not Phase.GONE:
            raise ValueError(f"the job {job_id} is still {job.phase}")
        del self.jobs[job_id]
        self.forgotten[job.state] += 1

    # Admission and slots.

    def _admit(self, draft: Draft, now: float) -> None:
        if draft.id in self.jobs:
            raise ValueError(f"the id {draft.id} is taken")
        if self.draining:
            left = 0.0 if self._drain_at is None else self._drain_at - now
            detail = "The gateway is shutting down and accepts no jobs; try again later."
            raise Failure("draining", detail, retry_after=max(1, math.ceil(left)))
        for name in draft.names:
            if name in self.names:
                holder = self.names[name]
                detail = f"The job {holder} is working on the same name or address; try again when it has ended."
                raise Failure("resource-busy", detail, retry_after=1, holder=holder)
        pool = self._pools[draft.pool]
        if not pool.has_slot and sum(len(each.queue) for each in self._pools.values()) >= self.limits.max_pending:
            detail = f"All {pool.size} places are in use and the queue is full; try again later."
            raise Failure("queue-full", detail, retry_after=pool.retry_after())

    def _fill(self, pool: Pool, now: float) -> list[Effect]:
        """Gives free slots to the oldest jobs of the queue. When the loop is late, such a job may be over its deadline
        already.
        """
        effects: list[Effect] = []
        while pool.queue and pool.has_slot:
            job = pool.queue[0]
            effects += self._cancel(job, now, Reason.TIMEOUT) if now >= job.deadline else self._start(job, now)
        return effects

    def _start(self, job: Job, now: float) -> list[Effect]:
        moved = self._move(job, Event.SLOT)
        self._pools[job.draft.pool].take(job)
        job.state = State.RUNNING
        job.enter("starting", now)
        job.started = now
        job.due = job.deadline
        self._revise(job)
        return [moved, Save(job), Start(job)]

    def _release(self, job: Job, now: float) -> list[Effect]:
        """Free what a job held of which nothing is left, and let the next one in."""
        self._live.pop(job.id)
        for name in job.draft.names:
            self.names.pop(name, None)
        if job.started is None:
            return [Free(job)]
        pool = self._pools[job.draft.pool]
        pool.free(job, now - job.started)
        return [Free(job), *self._fill(pool, now)]

    # Moves.

    def _move(self, job: Job, event: Event) -> Moved:
        """Moves a job along the table. No phase changes anywhere else."""
        source = job.phase
        job.phase = target(source, event)
        job.due = None
        return Moved(job, source, job.phase, event)

    def _revise(self, job: Job) -> None:
        job.revision = self.stamp()

    def _cancel(self, job: Job, now: float, reason: Reason) -> list[Effect]:
        """Cancels a job that is queued or working. If its deadline is over, that is the reason, whoever asks."""
        job.cancel_reason = Reason.TIMEOUT if now >= job.deadline else reason
        if job.phase is Phase.WORKING:
            return self._stop(job, now, Event.CANCEL)
        moved = self._move(job, Event.CANCEL)
        self._pools[job.draft.pool].leave(job)
        finished = self._finish(job, now, State.CANCELLED)
        return [moved, *finished, *self._release(job, now)]

    def _cancel_all(self, now: float, phase: Phase) -> list[Effect]:
        effects: list[Effect] = []
        for job in self.live():
            if job.phase is phase:
                effects += self._cancel(job, now, Reason.SHUTDOWN)
        return effects

    def _stop(self, job: Job, now: float, event: Event) -> list[Effect]:
        moved = self._move(job, event)
        job.stopping = now
        job.due = now + self.limits.cancel_grace
        if event is Event.BREAK:
            return [moved, Stop(job)]
        self._revise(job)
        return [moved, Save(job), Stop(job)]

    def _kill(self, job: Job, now: float) -> list[Effect]:
        moved = self._move(job, Event.SOFT_GRACE)
        job.due = now + self.limits.kill_grace
        return [moved, Kill(job)]

    def _expire(self, job: Job, now: float) -> list[Effect]:
        match job.phase:
            case Phase.QUEUED | Phase.WORKING:
                return self._cancel(job, now, Reason.TIMEOUT)
            case Phase.STOPPING:
                return self._kill(job, now)
        return [self._move(job, Event.HARD_GRACE), *self._finish(job, now, self._ending(job))]

    def _note(self, job: Job, failure: Failure) -> list[Effect]:
        """Keep the first failure of a job that is being stopped, as the cause in its record; frozen records stay so."""
        if not job.state.terminal and job.failure is None:
            job.failure = failure
        return []

    def _ending(self, job: Job) -> State:
        return State.FAILED if job.cancel_reason is None else State.CANCELLED

    def _finish(self, job: Job, now: float, state: State) -> list[Effect]:
        """Ends a job. Nothing else writes a terminal state, and no job gets here twice."""
        if job.state.terminal:
            raise RuntimeError(f"the job {job.id} has already ended as {job.state}")
        job.error = _error(job)
        job.http_status = int(job.error["status"]) if job.error else 200
        job.state = state
        job.finished = now
        job.expires = now + self.limits.retention
        self._revise(job)
        return [Save(job), Wake(job)]


def _error(job: Job) -> Record | None:
    """The error member of a job that ends: of its failure, of its cancellation, or None when it is done."""
    if job.cancel_reason is None:
        return None if job.failure is None else {"phase": job.stage, **job.failure.record()}
    code, text = _ENDINGS[job.cancel_reason]
    detail = text.format(timeout=job.draft.timeout, stage=job.stage)
    if job.failure is not None:
        detail += f" What went wrong: {job.failure.detail}"
    error = Failure(code, detail, phase=job.stage).record()
    cause = _cause(job)
    return error if cause is None else {**error, "cause": cause}


def _cause(job: Job) -> str | None:
    if job.failure is not None:
        return job.failure.code
    if job.cancel_reason is Reason.TIMEOUT and job.draft.timeout_cause is not None:
        return job.draft.timeout_cause(job.stage)
    return None
