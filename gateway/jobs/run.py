"""What the supervisor keeps of one job in memory, and what it gives to its work."""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Final

from gateway.jobs.job import Job, Record, Work

# What a work gets for its own limits beyond the deadline, in seconds. So the supervisor's clock decides first, and a
# job that runs out of time is CANCELLED and not FAILED (job-contract.md, "Timeout").
BUDGET_MARGIN: Final = 0.25


Waker = asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Run:
    """One job in memory: strong references to its tasks, and the wakers of those who wait for its end or any change.

    Its work runs in the `context` of the request that asked for it, also when it has waited in the queue before.

    `record` is what was told last, `told` its revision, `progress_at` the loop's time at which progress was told last.
    """

    job: Job
    work: Work
    for_end: set[Waker] = field(default_factory=set)
    for_change: set[Waker] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    halt: asyncio.Task[None] | None = None
    context: Context = field(default_factory=copy_context)
    later: asyncio.TimerHandle | None = None
    progress_at: float = float("-inf")
    record: Record = field(default_factory=dict)
    told: int = 0
    saved: bool = False

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for this job."""
        return bool(self.for_end or self.for_change)

    def quiet(self) -> None:
        """Cancels progress that was to be told later, since something newer is told now."""
        if self.later is not None:
            self.later.cancel()
            self.later = None


def wake(wakers: Iterable[Waker]) -> None:
    """Lets those who wait go on."""
    for waker in wakers:
        if not waker.done():
            waker.set_result(None)


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """The `Progress` of one job; `clock` is the core's."""

    job: Job
    tell: Callable[[Job, str], None]
    clock: Callable[[], float]

    def stage(self, key: str) -> None:
        self.tell(self.job, key)

    def budget(self) -> float:
        return max(0.0, self.job.deadline - self.clock()) + BUDGET_MARGIN
