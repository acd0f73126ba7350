"""Those who wait for chunks to be due: any number of waiters, and one timer for each chunk."""

import asyncio


class DueWaiters:
    """One gate for each chunk that somebody waits for; without waiters there are none, and no timers."""

    def __init__(self) -> None:
        self._due: dict[int, _DueChunk] = {}

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return sum(len(due.waiters) for due in self._due.values())

    async def passed(self, number: int, seconds: float | None) -> None:
        """Waits for so many seconds (as the first waiter says; None: without end), or until `open_all`."""
        loop = asyncio.get_running_loop()
        due = self._due.get(number)
        if due is None:
            due = self._due[number] = _DueChunk()
            if seconds is not None:
                due.timer = loop.call_later(seconds, self._open, number)
        waiter: asyncio.Future[None] = loop.create_future()
        due.waiters.add(waiter)
        try:
            await waiter
        finally:
            due.waiters.discard(waiter)
            if not due.waiters:
                due.cancel()
                if self._due.get(number) is due:
                    del self._due[number]

    def open_all(self) -> None:
        """Lets everybody look again."""
        for number in list(self._due):
            self._open(number)

    def _open(self, number: int) -> None:
        # Away with it first: who finds that it was too early makes a new one.
        self._due.pop(number).open()


class _DueChunk:
    """The waiters for one chunk, and their timer."""

    def __init__(self) -> None:
        self.waiters: set[asyncio.Future[None]] = set()
        self.timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self.cancel()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
