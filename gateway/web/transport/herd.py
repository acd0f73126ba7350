"""Those that wake up together, as a thousand viewers do for one chunk, go on a few at a time."""

import asyncio
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

AT_ONCE: Final = 16  # in one turn of the event loop: each is some 0.1 ms of work


class _Turns:
    """Who goes on in this turn of the event loop, and who waits for the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = False  # a new turn is on its way

    async def turn(self) -> None:
        """Waits for this turn of the event loop, or the first one that has room."""
        if not self._begun:
            self._begun = True
            self._loop.call_soon(self._begin)
        if self._left and not self._waiting:
            self._left -= 1
            return
        mine = self._loop.create_future()
        self._waiting.append(mine)
        await mine

    def _begin(self) -> None:
        self._left = AT_ONCE
        while self._left and self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # else it has gone
                mine.set_result(None)
                self._left -= 1
        self._begun = bool(self._waiting)
        if self._begun:
            self._loop.call_soon(self._begin)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def turn() -> None:
    """Await it after waking up together with many others, before any work. First come, first served."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns(loop)
    await turns.turn()
