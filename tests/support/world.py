"""A world around the core: workers that hold handles, streams, a clock; and the invariants of the contract."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.jobs.core import Core, Limits
from gateway.jobs.effects import Effect, Kill, Moved, Start, Stop, Wake
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Job
from gateway.jobs.state import Phase, Reason, State

LIMITS = Limits(max_running=2, max_pending=3, cancel_grace=0.25, kill_grace=1.0, retention=100.0)
POOLS = ("camera", "file")

# job-contract.md, "Moves", written down a second time on purpose: the table of the product is not its own judge.
EDGES = {
    (None, Phase.QUEUED),
    (Phase.QUEUED, Phase.WORKING),
    (Phase.QUEUED, Phase.GONE),
    (Phase.WORKING, Phase.GONE),
    (Phase.WORKING, Phase.STOPPING),
    (Phase.STOPPING, Phase.KILLING),
    (Phase.STOPPING, Phase.GONE),
    (Phase.KILLING, Phase.GONE),
    (Phase.KILLING, Phase.ZOMBIE),
    (Phase.ZOMBIE, Phase.GONE),
}
STATES = {
    Phase.QUEUED: {State.PENDING},
    Phase.WORKING: {State.RUNNING},
    Phase.STOPPING: {State.RUNNING},
    Phase.KILLING: {State.RUNNING},
    Phase.ZOMBIE: {State.FAILED, State.CANCELLED},
    Phase.GONE: {State.DONE, State.FAILED, State.CANCELLED},
}


@dataclass
class Worker:
    """The live worker of one job. It holds a handle until it is released."""

    job: Job
    returned: bool = False
    stops: int = 0
    kills: int = 0


@dataclass
class Seen:
    """What the world remembers of one job."""

    order: int
    moves: list[Moved] = field(default_factory=list)
    wakes: int = 0
    published: list[float] = field(default_factory=list)
    reason: Reason | None = None
    failed_at: float | None = None
    frozen: dict[str, Any] | None = None
    state: State | None = None
    revision: int = 0


class World:
    """Drives one core. All that happens goes through a method, and `check` looks at all of it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.now = 1000.0
        self.workers: dict[str, Worker] = {}
        self.seen: dict[str, Seen] = {}
        self.jobs: dict[str, Job] = {}
        self.starts: defaultdict[str, list[str]] = defaultdict(list)
        self.accepted = 0
        self.handles: Counter[str] = Counter()

    # What happens.

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            job, seen = effect.job, self.seen[effect.job.id]
            match effect:
                case Moved():
                    seen.moves.append(effect)
                case Start():
                    assert job.id not in self.workers, "started twice"
                    self.workers[job.id] = Worker(job)
                    self.handles[job.id] += 1
                    self.starts[job.draft.pool].append(job.id)
                case Stop():
                    self.workers[job.id].stops += 1
                case Kill():
                    self.workers[job.id].kills += 1
                case Wake():
                    seen.wakes += 1

    def submit(self, pool: str = "camera", name: str = "", timeout: float = 5.0) -> Job | None:
        """A new job, or None when it was refused for the reason that the model expects."""
        draft = Draft("sleep", pool, (f"name:{name}",) if name else (), 5, timeout, {"method": "sleep"})
        expected = self.refusal(draft)
        if expected is not None:
            self.check_refusal(draft, expected)
            return None
        effects = self.core.accept(draft, self.now, wall=1e9)
        self.seen[draft.id] = Seen(self.accepted)
        self.accepted += 1
        self.jobs[draft.id] = self.core.jobs[draft.id]
        self.apply(effects)
        return self.jobs[draft.id]

    def check_refusal(self, draft: Draft, code: str) -> None:
        before = self.traces()
        with pytest.raises(Failure) as refused:
            self.core.accept(draft, self.now, wall=1e9)
        assert refused.value.code == code, "I10: refused for the reason that is the case"
        assert (refused.value.retry_after or 0) >= 1, "I10: a refusal says when to come back"
        assert self.traces() == before, "I10: a refusal leaves no trace"

    def refusal(self, draft: Draft) -> str | None:
        if self.core.draining:
            return "draining"
        if any(name in self.held_names() for name in draft.names):
            return "resource-busy"
        full = sum(worker.job.draft.pool == draft.pool for worker in self.workers.values()) >= LIMITS.max_running
        pending = sum(job.state is State.PENDING for job in self.jobs.values())
        return "queue-full" if full and pending >= LIMITS.max_pending else None

    def traces(self) -> object:
        core = self.core
        places = [(list(core.queued(pool)), core.slots(pool)) for pool in POOLS]
        return list(core.jobs), dict(core.names), core.revision, core.accepted, core.next_tick(), places

    def advance(self, seconds: float) -> None:
        """Time passes, and the timer fires when it is due."""
        end = self.now + seconds
        for _ in range(1000):
            due = self.core.next_tick()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.tick()
        else:
            raise AssertionError("L1: the timer never comes to rest")
        self.now = end
        self.check_deadlines()

    def tick(self) -> None:
        self.apply(self.core.tick(self.now))
        self.check_deadlines()

    def check_deadlines(self) -> None:
        for job in self.jobs.values():
            in_time = self.now < job.deadline or job.phase not in (Phase.QUEUED, Phase.WORKING)
            assert in_time, "L1: the time of a job runs from acceptance, in the queue too"

    def lag(self, seconds: float) -> None:
        """Time passes, and the loop is too busy to fire the timer."""
        self.now += seconds

    def prepare(self, worker: Worker, publish: Callable[[], dict[str, Any]] | None = None) -> None:
        worker.returned = True
        self.apply(self.core.prepared(worker.job.id, self.now, publish or (lambda: self.publish(worker))))

    def publish(self, worker: Worker) -> dict[str, Any]:
        """The stream takes the handle over from the worker."""
        self.seen[worker.job.id].published.append(self.now)
        self.workers.pop(worker.job.id, None)
        return {"name": worker.job.id}

    def fail(self, worker: Worker) -> None:
        """`run` raised Failure: all is released - unless the worker is being stopped, for then `gone` says so."""
        worker.returned = True
        seen = self.seen[worker.job.id]
        seen.failed_at = self.now if seen.failed_at is None else seen.failed_at
        if worker.job.phase is Phase.WORKING:
            self.release(worker)
        self.apply(self.core.failed(worker.job.id, self.now, Failure("source-refused", "The port is closed.")))

    def crash(self, worker: Worker) -> None:
        """`run` raised something else: it may hold anything."""
        worker.returned = True
        seen = self.seen[worker.job.id]
        seen.failed_at = self.now if seen.failed_at is None else seen.failed_at
        self.apply(self.core.broken(worker.job.id, self.now, Failure("internal", "A defect.")))

    def let_go(self, worker: Worker) -> None:
        """A worker that was stopped has released all."""
        self.release(worker)
        self.apply(self.core.gone(worker.job.id, self.now))

    def release(self, worker: Worker) -> None:
        self.workers.pop(worker.job.id, None)
        self.handles[worker.job.id] -= 1

    def cancel(self, job: Job) -> None:
        phase = job.phase
        if job.state in (State.DONE, State.FAILED):
            with pytest.raises(Failure, match="job-already-finished"):
                self.core.cancel(job.id, self.now)
            return
        effects = self.core.cancel(job.id, self.now)
        if phase in (Phase.QUEUED, Phase.WORKING):
            self.seen[job.id].reason = Reason.TIMEOUT if self.now >= job.deadline else Reason.CLIENT
        self.apply(effects)

    def forget(self, job: Job) -> None:
        self.core.forget(job.id)
        del self.jobs[job.id]

    # What must hold.

    def held_names(self) -> dict[str, str]:
        held: dict[str, str] = {}
        for job in self.jobs.values():
            if not job.state.terminal or job.id in self.workers:
                for name in job.draft.names:
                    assert name not in held, "I8: at most one holder for a name"
                    held[name] = job.id
        return held

    def check(self) -> None:
        """The invariants, in the order of the contract."""
        for job in self.jobs.values():
            self.check_job(job, self.seen[job.id])
        for pool in POOLS:
            self.check_pool(pool)
        assert self.core.names == self.held_names(), "I8: a name is reserved while its job or its worker lives"
        self.check_handles()
        self.check_counts()

    def check_job(self, job: Job, seen: Seen) -> None:
        record = job.record(self.now)
        for move in seen.moves:
            assert (move.source, move.target) in EDGES, "I1: only the moves of the table"
        assert job.state in STATES[job.phase], "I1: state and phase agree"
        assert seen.moves[-1].target is job.phase, "I1: no phase changes without a move"
        frozen = {key: record[key] for key in record if key not in ("zombie",)}
        if seen.frozen is not None:
            assert frozen == seen.frozen, "I2: a terminal record is frozen"
        if job.state.terminal:
            seen.frozen = frozen
        self.check_shape(record)
        if job.state is State.DONE:
            assert len(seen.published) == 1, "I6: a DONE job publishes once"
            assert seen.published[0] < job.deadline, "I4: DONE before the deadline"
            assert seen.reason is None, "I4: no cancel came before the commit"
        else:
            assert not seen.published, "I6: only a DONE job publishes"
        if job.state is State.FAILED:
            assert seen.failed_at is not None, "I4: FAILED needs a failure"
            assert seen.failed_at < job.deadline, "I4: what fails after the deadline is CANCELLED"
        if job.state.terminal and job.id in self.workers:
            assert job.phase is Phase.ZOMBIE, "I5: it ends when its worker is gone, or declared a zombie"
            assert self.workers[job.id].kills == 1, "I5: a zombie was killed before it was given up"
        if job.state is not seen.state:
            assert job.revision > seen.revision, "I9: each state change has its own revision"
        seen.state, seen.revision = job.state, job.revision
        if job.phase in (Phase.QUEUED, Phase.WORKING):
            assert (self.core.next_tick() or 0.0) <= job.deadline, "L1: the timer is set no later than the deadline"
        if job.cancel_reason is not None:
            seen.reason = seen.reason or job.cancel_reason
            assert job.cancel_reason is seen.reason, "I12: the first reason wins"
        assert seen.wakes == int(job.state.terminal), "I13: waiters are woken exactly once, by the end"

    def check_shape(self, record: dict[str, Any]) -> None:
        state, finished = record["state"], State(record["state"]).terminal
        assert (record["result"] is not None) == (state == "DONE"), "I3: result"
        assert (record["error"] is not None) == (state in ("FAILED", "CANCELLED")), "I3: error"
        assert record["cancelRequested"] == (record["cancelReason"] is not None), "I3: cancelReason"
        assert state != "CANCELLED" or record["cancelRequested"], "I3: CANCELLED has a reason"
        assert state in ("RUNNING", "CANCELLED") or not record["cancelRequested"], "I3: a reason leads to CANCELLED"
        for key in ("finishedAt", "expiresAt", "httpStatus"):
            assert (record[key] is not None) == finished, f"I3: {key}"
        assert (record["queuePosition"] is not None) == (state == "PENDING"), "I3: queuePosition"

    def check_pool(self, pool: str) -> None:
        queue, slots = self.core.queued(pool), self.core.slots(pool)
        alive = {worker.job.id for worker in self.workers.values() if worker.job.draft.pool == pool}
        assert slots == alive, "I7: a slot is a live worker"
        assert len(alive) <= LIMITS.max_running, "I7: live workers within the limit"
        assert all(job.state is State.PENDING for job in queue), "I7: only PENDING jobs queue"
        assert not queue or len(slots) == LIMITS.max_running, "I7: work conserving"
        assert [job.queue_position for job in queue] == list(range(1, len(queue) + 1)), "I7: queue positions"
        orders = [self.seen[job_id].order for job_id in self.starts[pool]]
        assert orders == sorted(orders), "I7: first in, first out"
        assert not (queue and self.core.draining), "L2: nothing waits for a slot while draining"

    def check_handles(self) -> None:
        published = {job_id for job_id, seen in self.seen.items() if seen.published}
        held = {job_id for job_id, count in self.handles.items() if count}
        assert set(self.handles.values()) <= {0, 1}, "I5: no double close"
        assert held == published | set(self.workers), "I5: open handles are those of streams and live workers"

    def check_counts(self) -> None:
        states = Counter(job.state for job in self.jobs.values())
        pending = sum(len(self.core.queued(pool)) for pool in POOLS)
        assert states[State.PENDING] == pending <= LIMITS.max_pending, "I7: pending within the limit"
        assert self.core.accepted == self.accepted, "I11: accepted"
        assert self.core.accepted == len(self.core.jobs) + self.core.forgotten.total(), "I11: conservation"
        assert self.core.jobs.keys() == self.jobs.keys(), "I11: no job is lost"
        revisions = [job.revision for job in self.jobs.values()]
        assert len(set(revisions)) == len(revisions), "I9: revisions are unique"
        assert max(revisions, default=0) <= self.core.revision, "I9: revisions increase"

    def check_liveness(self) -> None:
        """L1 and L2: without a single worker returning all jobs end, and then what comes late is rolled back."""
        self.tick()
        last = max((job.deadline for job in self.jobs.values()), default=self.now)
        self.advance(max(0.0, last - self.now) + LIMITS.cancel_grace + LIMITS.kill_grace + 0.001)
        self.check()
        assert all(job.state.terminal for job in self.jobs.values()), "L1: every job ends in its time and the graces"
        self.apply(self.core.drain(self.now, 1.0))
        for worker in list(self.workers.values()):
            assert worker.stops == 1, "L1: each worker that lives on was told to stop, once"
            if not worker.returned:
                self.prepare(worker)
            self.let_go(worker)
            self.check()
        assert not self.workers, "L2: no live worker"
        assert not self.core.names, "L1: no name is held"
        assert not self.core.live(), "L2: nothing lives"
        assert self.submit() is None, "L2: draining accepts nothing"
