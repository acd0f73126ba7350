"""One question to a worker process: start it, await its one answer, and leave no process behind."""

import asyncio

from media.faults import Fault
from media.process.messages import Failed, Finished, Message, StartTask
from media.process.workers import Worker, Workers


class Question:
    """A worker for one task that ends with its answer. `who` begins the sentences of faults, as "The packager"."""

    def __init__(self, workers: Workers, start: StartTask, who: str, phase: str = "") -> None:
        self._who = who
        self._phase = phase
        self._last: Finished | Failed | None = None
        self.worker: Worker = workers.spawn(start, self._heard)

    async def answer(self, limit: float | None = None) -> Finished:
        """The result that the task ends with, within `limit` seconds. When this returns or raises, the process is gone.

        Raises `Fault`: the task's own, `worker-hung` beyond the limit, `worker-crashed` where the process ended without
        an answer, `worker-unavailable` where none could be had.
        """
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(self.worker.gone)
        except TimeoutError:
            raise Fault("worker-hung", f"{self._who} took more than {limit:g} s.", self._phase) from None
        finally:
            await self.end()
        if isinstance(self._last, Failed):
            raise Fault(self._last.code, self._last.detail, self._last.phase)
        if self._last is None:
            raise self.worker.crash(self._who, self._phase)
        return self._last

    async def end(self) -> None:
        """Kills the process unless it is gone; returns when it is."""
        if not self.worker.gone.done():
            self.worker.kill()
            await asyncio.shield(self.worker.gone)

    def _heard(self, message: Message) -> None:
        if isinstance(message, Finished | Failed):
            self._last = message
