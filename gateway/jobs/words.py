"""How jobs are told in the log: one line for each transition, rollback and kill."""

import logging
import traceback
from collections.abc import Mapping
from typing import Any, Final

from gateway.jobs.effects import Moved
from gateway.jobs.job import Job
from gateway.jobs.state import Phase, State

log = logging.getLogger("gateway.jobs")

# The public state of a job in a phase; where there is none, the job has ended, and its record says how.
_STATES: Final[Mapping[Phase, State]] = {
    Phase.QUEUED: State.PENDING,
    Phase.WORKING: State.RUNNING,
    Phase.STOPPING: State.RUNNING,
    Phase.KILLING: State.RUNNING,
}


def moved(move: Moved, now: float) -> None:
    """Logs one transition. The job may have moved on in the same callback, so the line goes by the move, not by the
    job.
    """
    level = logging.WARNING if move.target is Phase.ZOMBIE else logging.INFO
    if not log.isEnabledFor(level):
        return
    job, state = move.job, _STATES.get(move.target, move.job.state)
    fields = {
        **_names(job),
        "from": None if move.source is None else str(move.source),
        "to": str(move.target),
        "state": str(state),
        "reason": None if job.cancel_reason is None else str(job.cancel_reason),
        "code": None if job.error is None or not state.terminal else job.error["code"],
        "elapsed_ms": round(job.elapsed(now) * 1000),
        "rev": job.revision if move.revision is None else move.revision,
    }
    log.log(level, "job-moved", extra=fields)


def late(job: Job) -> None:
    """Logs a result that came too late and is rolled back."""
    log.info("job-late-result", extra=_names(job))


def killed(job: Job) -> None:
    """Logs that a worker was killed."""
    log.warning("job-killed", extra=_names(job))


def defect(event: str, error: BaseException, job: Job | None = None) -> None:
    """Logs where a defect was and of which type; not its text, which may hold an address with a password."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log.error(event, extra={**(_names(job) if job else {}), "error": type(error).__name__, "where": where})


def _names(job: Job) -> dict[str, Any]:
    names = {"job": job.id, "kind": job.draft.kind, "request_id": job.draft.request_id or None}
    return {**names, "trace": job.draft.trace} if job.draft.trace else names
