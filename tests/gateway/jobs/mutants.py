"""Seeded bugs: cores that are wrong in one way each, all of them mistakes that other job systems have made."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.jobs.core import Core
from gateway.jobs.effects import Effect, Kill, Late, Save, Wake
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Job, encode
from gateway.jobs.pool import Pool
from gateway.jobs.state import Event, Phase, Reason, State

Publish = Callable[[], Mapping[str, Any]]


class NoRollback(Core):
    """What comes after the deadline is dropped, and not rolled back."""

    def prepared(self, job_id: str, now: float, publish: Publish) -> list[Effect]:
        job = self.jobs[job_id]
        if job.phase is not Phase.WORKING or now < job.deadline:
            return super().prepared(job_id, now, publish)
        job.cancel_reason = Reason.TIMEOUT
        moved = self._move(job, Event.FAIL)
        return [moved, *self._finish(job, now, State.CANCELLED), *self._release(job, now)]


class DeadlineByTimerOnly(Core):
    """The commit does not look at the clock."""

    def prepared(self, job_id: str, now: float, publish: Publish) -> list[Effect]:
        return super().prepared(job_id, min(now, self.jobs[job_id].deadline - 0.001), publish)


class ZombieFreesSlot(Core):
    """A job that cannot be killed counts as over."""

    def _expire(self, job: Job, now: float) -> list[Effect]:
        effects = super()._expire(job, now)
        if job.phase is Phase.ZOMBIE:
            pool = self._pools[job.draft.pool]
            pool.free(job, 0.0)
            effects += self._fill(pool, now)
        return effects


class ZombieFreesName(Core):
    """The name of a job that cannot be killed is given to the next."""

    def _expire(self, job: Job, now: float) -> list[Effect]:
        effects = super()._expire(job, now)
        if job.phase is Phase.ZOMBIE:
            for name in job.draft.names:
                self.names.pop(name, None)
        return effects


class CancelledStaysQueued(Core):
    """A cancelled job leaves the queue when its turn comes."""

    def _cancel(self, job: Job, now: float, reason: Reason) -> list[Effect]:
        effects = super()._cancel(job, now, reason)
        if job.started is None:
            self._pools[job.draft.pool].queue.append(job)
        return effects


class ReasonOverwritten(Core):
    """The last reason wins."""

    def tick(self, now: float) -> list[Effect]:
        for job in self.live():
            if job.phase is Phase.STOPPING and job.cancel_reason is not None and now >= job.deadline:
                job.cancel_reason = Reason.TIMEOUT
        return super().tick(now)


class NewestFirst(Core):
    """The queue is a stack."""

    def _fill(self, pool: Pool, now: float) -> list[Effect]:
        pool.queue.reverse()
        try:
            return super()._fill(pool, now)
        finally:
            pool.queue.reverse()
            pool._renumber()


class LateSuccessWins(Core):
    """A result is a result, even after a cancel."""

    def prepared(self, job_id: str, now: float, publish: Publish) -> list[Effect]:
        job = self.jobs[job_id]
        if job.phase is not Phase.STOPPING:
            return super().prepared(job_id, now, publish)
        job.result_json = encode(publish())
        job.cancel_reason = None
        moved = self._move(job, Event.RELEASE)
        return [moved, *self._finish(job, now, State.DONE), *self._release(job, now)]


class PublishedWhenCancelled(Core):
    """The result is made first, and the flag looked at afterwards."""

    def prepared(self, job_id: str, now: float, publish: Publish) -> list[Effect]:
        if self.jobs[job_id].phase is Phase.STOPPING:
            publish()
        return super().prepared(job_id, now, publish)


class EndsTwice(Core):
    """A zombie that goes away at last ends once more."""

    def gone(self, job_id: str, now: float) -> list[Effect]:
        job = self.jobs[job_id]
        again: list[Effect] = [Wake(job)] if job.state.terminal else []
        return [*super().gone(job_id, now), *again]


class SlotFreedAtCancel(Core):
    """The limit counts RUNNING jobs, not live workers."""

    def _stop(self, job: Job, now: float, event: Event) -> list[Effect]:
        effects = super()._stop(job, now, event)
        pool = self._pools[job.draft.pool]
        pool.free(job, 0.0)
        return [*effects, *self._fill(pool, now)]


class NameFreedAtCancel(Core):
    """Two workers on one camera."""

    def _stop(self, job: Job, now: float, event: Event) -> list[Effect]:
        for name in job.draft.names:
            self.names.pop(name, None)
        return super()._stop(job, now, event)


class CancelledBeforeGone(Core):
    """CANCELLED is shown while the worker still lives."""

    def _stop(self, job: Job, now: float, event: Event) -> list[Effect]:
        effects = super()._stop(job, now, event)
        return [*effects, *self._finish(job, now, self._ending(job))]


class RefusalReserves(Core):
    """The name is taken before the queue is looked at."""

    def accept(self, draft: Draft, now: float, wall: float) -> list[Effect]:
        try:
            return super().accept(draft, now, wall)
        except Failure as failure:
            if failure.code == "queue-full":
                self.names.update(dict.fromkeys(draft.names, draft.id))
            raise


class FailsAfterDeadline(Core):
    """A failure is a failure, even when the time was over before."""

    def failed(self, job_id: str, now: float, failure: Failure) -> list[Effect]:
        return super().failed(job_id, min(now, self.jobs[job_id].deadline - 0.001), failure)


class ZombieNotKilled(Core):
    """Force is planned, and never used."""

    def _kill(self, job: Job, now: float) -> list[Effect]:
        return [effect for effect in super()._kill(job, now) if not isinstance(effect, Kill)]


class StopWithoutGrace(Core):
    """A worker is asked to stop, and then waited for without end."""

    def _stop(self, job: Job, now: float, event: Event) -> list[Effect]:
        effects = super()._stop(job, now, event)
        job.due = None
        return effects


class DeadlineFromStart(Core):
    """The time limit begins with the work: waiting in the queue is free."""

    def _start(self, job: Job, now: float) -> list[Effect]:
        effects = super()._start(job, now)
        job.due = now + job.draft.timeout
        return effects


class ProgressAfterEnd(Core):
    """A stage that is told too late still changes the record."""

    def stage(self, job_id: str, stage: str, now: float) -> list[Effect]:
        job = self.jobs[job_id]
        if not job.state.terminal:
            return super().stage(job_id, stage, now)
        job.stage = stage
        return [Save(job)]


class SameRevision(Core):
    """Starting a job is no change worth a revision."""

    def _start(self, job: Job, now: float) -> list[Effect]:
        before, highest = job.revision, self.revision
        effects = super()._start(job, now)
        job.revision, self.revision = before, highest
        return effects


class DrainKeepsQueue(Core):
    """A shutdown lets waiting jobs wait on."""

    def drain(self, now: float, timeout: float) -> list[Effect]:
        self.draining = True
        self._drain_at = now + timeout
        return []


class Unlimited(Core):
    """The queue has no bound."""

    def _admit(self, draft: Draft, now: float) -> None:
        try:
            super()._admit(draft, now)
        except Failure as failure:
            if failure.code != "queue-full":
                raise


class LostRollbackOrder(Core):
    """What comes late is reported, and its worker never told to stop."""

    def prepared(self, job_id: str, now: float, publish: Publish) -> list[Effect]:
        effects = super().prepared(job_id, now, publish)
        late = any(isinstance(effect, Late) for effect in effects)
        return effects[:1] if late else effects


MUTANTS = (
    NoRollback,
    DeadlineByTimerOnly,
    ZombieFreesSlot,
    ZombieFreesName,
    CancelledStaysQueued,
    ReasonOverwritten,
    NewestFirst,
    LateSuccessWins,
    PublishedWhenCancelled,
    EndsTwice,
    SlotFreedAtCancel,
    NameFreedAtCancel,
    CancelledBeforeGone,
    RefusalReserves,
    FailsAfterDeadline,
    ZombieNotKilled,
    StopWithoutGrace,
    DeadlineFromStart,
    ProgressAfterEnd,
    SameRevision,
    DrainKeepsQueue,
    Unlimited,
    LostRollbackOrder,
)
