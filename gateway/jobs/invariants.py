"""A check of what must hold of all jobs between two events (job-contract.md, "Invariants")."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from gateway.jobs.core import Core
from gateway.jobs.job import Job
from gateway.jobs.state import Phase, State

STATES: Final = {
    Phase.QUEUED: {State.PENDING},
    Phase.WORKING: {State.RUNNING},
    Phase.STOPPING: {State.RUNNING},
    Phase.KILLING: {State.RUNNING},
    Phase.ZOMBIE: {State.FAILED, State.CANCELLED},
    Phase.GONE: {State.DONE, State.FAILED, State.CANCELLED},
}
HOLDS_SLOT: Final = frozenset({Phase.WORKING, Phase.STOPPING, Phase.KILLING, Phase.ZOMBIE})


def broken(core: Core) -> list[str]:
    """What does not hold, in words, each beginning with the invariant's number; empty when all is well."""
    jobs = [(job.id, _of_job(core, job)) for job in core.jobs.values()]
    pools = [(pool, _of_pool(core, pool)) for pool in core.pools()]
    found = [f"{text} ({name})" for name, checks in (*jobs, *pools) for text, holds in checks if not holds]
    return found + [text for text, holds in _of_all(core) if not holds]


def _of_job(core: Core, job: Job) -> Iterator[tuple[str, bool]]:
    ended = job.state.terminal
    yield "I1: state and phase do not agree", job.state in STATES[job.phase]
    bad_end = job.state in (State.FAILED, State.CANCELLED)
    in_time = job.cancel_reason is None and (job.finished or 0.0) < job.deadline
    yield "I3: a result without DONE, or DONE without one", (job.result_json is not None) == (job.state is State.DONE)
    yield "I3: an error without an end, or a bad end without one", (job.error is not None) == bad_end
    yield "I3: an end without its time or status", ended == (job.finished is not None) == (job.http_status is not None)
    yield "I3: CANCELLED without a reason", job.state is not State.CANCELLED or job.cancel_reason is not None
    yield "I4: DONE after the deadline, or after a cancel", job.state is not State.DONE or in_time
    yield "I9: a revision that was never given", 0 < job.revision <= core.revision
    yield "L1: it waits for an event that has no time limit", ended or job.due is not None


def _of_pool(core: Core, pool: str) -> Iterator[tuple[str, bool]]:
    queue, slots = core.queued(pool), core.slots(pool)
    holders = {job.id for job in core.live() if job.draft.pool == pool and job.phase in HOLDS_SLOT}
    yield "I7: the slots are not those of the live workers", slots == holders
    yield "I7: more live workers than the limit", len(slots) <= core.limits.max_running
    yield "I7: a slot is free and a job waits", not queue or len(slots) == core.limits.max_running
    yield "I7: something that is not queued waits", all(job.phase is Phase.QUEUED for job in queue)
    yield "I7: the places in the queue are wrong", [job.queue_position for job in queue] == [*range(1, len(queue) + 1)]
    yield "L2: something waits for a slot during a shutdown", not (queue and core.draining)


def _of_all(core: Core) -> Iterator[tuple[str, bool]]:
    held = {name: job.id for job in core.live() for name in job.draft.names}
    states = Counter(job.state for job in core.jobs.values())
    yield "I7: more jobs wait than may", states[State.PENDING] <= core.limits.max_pending
    yield "I8: the reserved names are not those of the live jobs", core.names == held
    yield "I8: a name is held twice", len(held) == sum(len(job.draft.names) for job in core.live())
    yield "I9: a revision was given twice", len({job.revision for job in core.jobs.values()}) == len(core.jobs)
    yield "I11: a job was lost, or counted twice", core.accepted == len(core.jobs) + core.forgotten.total()
