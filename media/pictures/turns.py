"""Fair turns at what few can have at once: a queue for each place and caller, so that nobody fills another's."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Queue = deque[asyncio.Future[None]]


class Full(Exception):
    """Nobody can wait here any more, or a turn did not come in time."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The bounds of turns: `at_once` in all, and one for each place; how many may wait for a place, and how many of one
    caller.

    `patience` is in seconds: for a turn to come.
    """

    at_once: int
    of_place: int
    of_caller: int
    patience: float


class Turns:
    """Turns for places, and for the callers of a place in turn: who asks for much waits for their own requests."""

    def __init__(self, limits: TurnLimits) -> None:
        self._limits = limits
        self._waiting: OrderedDict[Hashable, OrderedDict[str, Queue]] = OrderedDict()
        self._taken: set[Hashable] = set()  # places whose turn it is

    @asynccontextmanager
    async def turn(self, place: Hashable, caller: str) -> AsyncIterator[None]:
        """A turn that lasts as long as the context. Raises `Full`."""
        await self._come(place, caller)
        try:
            yield
        finally:
            self._leave(place, caller)

    async def _come(self, place: Hashable, caller: str) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._join(place, caller, mine)
        self._next()
        try:
            async with asyncio.timeout(self._limits.patience):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():
                self._leave(place, caller)  # the turn came in the same moment
            else:
                self._forget(place, caller, mine)
            if isinstance(error, TimeoutError):
                raise Full("the turn did not come in time") from None
            raise

    def _join(self, place: Hashable, caller: str, mine: asyncio.Future[None]) -> None:
        callers = self._waiting.get(place) or OrderedDict()
        if sum(map(len, callers.values())) >= self._limits.of_place:
            raise Full("too many wait already")
        if len(callers.get(caller, ())) >= self._limits.of_caller:
            raise Full("this caller waits for too much already")
        self._waiting.setdefault(place, OrderedDict()).setdefault(caller, deque()).append(mine)

    def _leave(self, place: Hashable, caller: str) -> None:
        """Ends a turn. Who waits for another one waits behind all others."""
        self._taken.discard(place)
        callers = self._waiting.get(place)
        if callers is not None:
            self._waiting.move_to_end(place)
            if caller in callers:
                callers.move_to_end(caller)
        self._next()

    def _next(self) -> None:
        """Gives away what turns there are: to the place that waits for longest, and there to the caller who does."""
        while len(self._taken) < self._limits.at_once:
            place = next((place for place in self._waiting if place not in self._taken), None)
            if place is None:
                return
            caller, queue = next(iter(self._waiting[place].items()))
            mine = queue[0]
            self._forget(place, caller, mine)
            if not mine.done():  # else it has just been given up
                self._taken.add(place)
                mine.set_result(None)

    def _forget(self, place: Hashable, caller: str, mine: asyncio.Future[None]) -> None:
        callers = self._waiting.get(place) or OrderedDict()
        if mine not in callers.get(caller, ()):
            return
        callers[caller].remove(mine)
        if not callers[caller]:
            del callers[caller]
        if not callers:
            del self._waiting[place]
