"""Measures once how fast this machine transcodes, so that the budget of cores means the same everywhere."""

import asyncio
import logging
from typing import Final

from media.faults import Fault
from media.process.capacity import Capacity
from media.process.messages import StartTask
from media.process.question import Question
from media.process.workers import Workers
from media.supervision import ended

log = logging.getLogger(__name__)

LIMIT: Final = 5.0  # seconds after which the usual speed is assumed
LEAST: Final = 0.2  # of the usual cost, whatever was measured
MOST: Final = 5.0


class Calibration:
    """One short run of a worker before the first transcoder; nobody else pays for it."""

    def __init__(self, workers: Workers, capacity: Capacity) -> None:
        self._workers = workers
        self.capacity = capacity
        self._task: asyncio.Task[None] | None = None
        self._known = False

    async def done(self) -> None:
        """Returns when the speed is known, however many ask."""
        if self._task is None or (self._task.done() and not self._known):
            self._task = asyncio.get_running_loop().create_task(self._measure(), name="calibration")
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """Gives up a run that is under way."""
        await ended(self._task)

    async def _measure(self) -> None:
        try:
            found = await Question(self._workers, StartTask("calibrate", {}), "The measurement").answer(LIMIT)
        except Fault as fault:
            # That there was no process just then says nothing about the machine.
            self._known = fault.code != "worker-unavailable"
        else:
            self._known = True
            self.capacity.speed = min(MOST, max(LEAST, found.info["speed"]))
        log.info("transcoder-calibrated", extra={"speed": round(self.capacity.speed, 3)})
