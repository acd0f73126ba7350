"""One pool of slots: who holds one, who waits for one, and for how long."""

import math
from collections import deque
from statistics import median
from typing import Final

from gateway.jobs.job import Job

RUN_TIMES: Final = 32
LONGEST_RETRY_AFTER: Final = 30


class Pool:
    """Slots for jobs of one sort, so that dead cameras cannot keep files from playing.

    A slot is a live worker, and not a job in the state RUNNING: workers that are being stopped and zombies hold theirs
    (job-contract.md, "Slots").
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.queue: deque[Job] = deque()
        self.slots: set[str] = set()
        self._run_times: deque[float] = deque(maxlen=RUN_TIMES)

    @property
    def has_slot(self) -> bool:
        """Whether one more worker may live."""
        return len(self.slots) < self.size

    def enter(self, job: Job) -> None:
        """Wait for a slot, behind all others."""
        self.queue.append(job)
        self._renumber()

    def leave(self, job: Job) -> None:
        """Leave the queue at once, from any place in it."""
        self.queue.remove(job)
        job.queue_position = None
        self._renumber()

    def take(self, job: Job) -> None:
        """Leave the queue for a slot."""
        self.leave(job)
        self.slots.add(job.id)

    def free(self, job: Job, ran: float) -> None:
        """Give the slot back; the worker lived for `ran` seconds."""
        self.slots.discard(job.id)
        self._run_times.append(ran)

    def retry_after(self) -> int:
        """When a place may be free, in seconds: median run time x queue / slots, 1 to 30 (job-contract.md, "Slots")."""
        usual = median(self._run_times or [1.0])
        return min(LONGEST_RETRY_AFTER, max(1, math.ceil(usual * max(1, len(self.queue)) / self.size)))

    def _renumber(self) -> None:
        for position, job in enumerate(self.queue, start=1):
            job.queue_position = position
