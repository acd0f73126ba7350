"""Those who wait for chunks to be due: any number of waiters, and one timer for each chunk."""

import asyncio


class Gates:
    """One gate for each chunk that somebody waits for; without waiters there are none, and no timers."""

    def __init__(self) -> None:
        self._gates: dict[int, _Gate] = {}

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return sum(len(gate.waiters) for gate in self._gates.values())

    async def passed(self, number: int, seconds: float | None) -> None:
        """Waits for so many seconds (as the first waiter says; None: without end), or until `open_all`."""
        loop = asyncio.get_running_loop()
        gate = self._gates.get(number)
        if gate is None:
            gate = self._gates[number] = _Gate()
            if seconds is not None:
                gate.timer = loop.call_later(seconds, self._open, number)
        waiter: asyncio.Future[None] = loop.create_future()
        gate.waiters.add(waiter)
        try:
            await waiter
        finally:
            gate.waiters.discard(waiter)
            if not gate.waiters:
                gate.cancel()
                if self._gates.get(number) is gate:
                    del self._gates[number]

    def open_all(self) -> None:
        """Lets everybody look again."""
        for number in list(self._gates):
            self._open(number)

    def _open(self, number: int) -> None:
        # Away with it first: who finds that it was too early makes a new one.
        self._gates.pop(number).open()


class _Gate:
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
