"""What the core wants done: the answers to an event, applied in order by the supervisor in the same loop callback."""

from dataclasses import dataclass

from gateway.jobs.job import Job
from gateway.jobs.state import Event, Phase


@dataclass(frozen=True, slots=True)
class Moved:
    """The job went from one phase to the next (from nowhere: it was accepted). One log line each.

    `revision` is given when the job may have moved on before the line is written.
    """

    job: Job
    source: Phase | None
    target: Phase
    event: Event | None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Save:
    """The public record changed: persist it, and tell whoever listens."""

    job: Job


@dataclass(frozen=True, slots=True)
class Start:
    """The job has a slot: run its work."""

    job: Job


@dataclass(frozen=True, slots=True)
class Stop:
    """End the work and release all it holds, then say `gone`. Comes at most once for a job."""

    job: Job


@dataclass(frozen=True, slots=True)
class Kill:
    """The work did not stop in its grace: use force. `gone` is still awaited."""

    job: Job


@dataclass(frozen=True, slots=True)
class Wake:
    """The job has ended: answer its waiters. Comes exactly once for a job."""

    job: Job


@dataclass(frozen=True, slots=True)
class Late:
    """A result came after a cancel or the deadline: it is not published, and the job's `Stop` rolls it back."""

    job: Job


@dataclass(frozen=True, slots=True)
class Free:
    """The job has ended and nothing of it is left: it may leave memory once it is persisted."""

    job: Job


Effect = Moved | Save | Start | Stop | Kill | Wake | Late | Free
