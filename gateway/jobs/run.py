"""What the supervisor keeps of one job in memory, and what it gives to its work."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.jobs.job import Job, Work

# What a work gets for its own limits beyond the deadline, in seconds (contract, D44).
BUDGET_MARGIN: Final = 0.25


@dataclass(slots=True, eq=False)
class Run:
    """One job in memory: strong references to its tasks, its completion future, and who waits for it.

    `changed` is made by the first who waits for any change. `told` is the revision that was told last, `progress_at`
    the loop's time at which progress was told last.
    """

    job: Job
    work: Work
    ended: asyncio.Future[None]
    task: asyncio.Task[None] | None = None
    halt: asyncio.Task[None] | None = None
    changed: asyncio.Future[None] | None = None
    later: asyncio.TimerHandle | None = None
    progress_at: float = float("-inf")
    told: int = 0
    waiters: int = 0
    saved: bool = False

    def hush(self) -> None:
        """Tell no progress later: something newer is told now."""
        if self.later is not None:
            self.later.cancel()
            self.later = None

    def wake(self) -> None:
        """Wake those who wait for any change."""
        if self.changed is not None:
            self.changed.set_result(None)
            self.changed = None


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
