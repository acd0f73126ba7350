"""A stream that is kept on air: opened again whenever it goes off air, until it is stopped or given up."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from media.faults import Fault
from media.stream import ENDED, Identity, Status, Stream
from media.supervision import ended, supervise
from media.troubles import Troubles, unforeseen

STEADY: Final = 60.0  # seconds on air after which earlier failures no longer count


class Retry(Protocol):
    """When a stream is opened again after a failure."""

    def after(self, code: str, now: float) -> float | None:
        """Seconds to wait after a failure with this code at `now` (seconds of any clock); None: it is given up."""

    def steady(self) -> None:
        """The stream was on air for a minute: earlier failures count no longer."""


class KeptStream(Stream):
    """A stream that is kept on air: `keep` begins the keeping, `unkeep` ends it.

    What each kind of stream does itself is abstract below.
    """

    kept_as: ClassVar[str]  # the word for its keeper in logs and figures

    def __init__(self, identity: Identity, wall: Callable[[], float], retry: Retry, status: Status) -> None:
        super().__init__(identity, wall, status)
        self.troubles = Troubles()
        self._retry = retry
        self._loop = asyncio.get_running_loop()
        self._keeper: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether there is an open source whose end can be watched for."""

    @abstractmethod
    async def reopen(self) -> Fault | None:
        """Makes one attempt to be on air. None: it is, and LIVE; else why not, noted on the record."""

    @abstractmethod
    async def watch(self) -> Fault | None:
        """Why the stream went off air, noted on the record; None when that is no failure."""

    @abstractmethod
    async def free(self) -> None:
        """Gives back all that an attempt holds."""

    @abstractmethod
    def note(self, fault: Fault) -> None:
        """Keeps a fault for the record, and writes it to the log."""

    async def rest(self) -> bool:
        """Waits, after an end that is no failure, until the stream is to be opened again. False: it is over."""
        return False

    def give_up(self, fault: Fault) -> None:
        """Ends the stream after this fault: no further attempt is made."""
        self.move(Status.FAILED)

    def keep(self) -> None:
        """Opens the stream again from now on whenever it goes off air."""
        self._keeper = supervise(self.kept_as, self._keep, self.identity.id, self._recover)

    async def unkeep(self) -> None:
        """Ends the keeping; a keeper that calls this itself goes on to its end."""
        if self._keeper is not asyncio.current_task():
            await ended(self._keeper)

    def delay(self, fault: Fault) -> float | None:
        """Seconds until the next attempt; None: the stream is given up."""
        return self._retry.after(fault.code, self._loop.time())

    async def _keep(self) -> None:
        """Runs until the stream is over or given up, or `unkeep` cancels it."""
        if self.status in ENDED:
            return
        self.troubles.next_retry_at = None
        fault = None if self.is_open else await self.reopen()
        while True:
            if fault is None:
                fault = await self._watched()
            if fault is None:
                if not await self.rest():
                    return
                fault = await self.reopen()
                continue
            seconds = self.delay(fault)
            if seconds is None:
                self.give_up(fault)
                return
            self._wait(seconds)
            await asyncio.sleep(seconds)
            self.troubles.next_retry_at = None
            fault = await self.reopen()

    async def _watched(self) -> Fault | None:
        began = self._loop.time()
        fault = await self.watch()
        if fault is not None:
            self.troubles.restarts += 1
            if self._loop.time() - began >= STEADY:
                self._retry.steady()
        return fault

    async def _recover(self, error: Exception, seconds: float) -> None:
        """Puts the stream off air after something unforeseen, until the next try."""
        self.note(unforeseen(error))
        await self.free()
        if self.status not in ENDED:
            self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self.troubles.next_retry_at = self._wall() + seconds
        self.move(Status.WAITING)
