"""Packages again the version that a channel of files was to change to when it went off air."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from media.channel.playlist.playlist import Playlist
from media.faults import Fault
from media.process.capacity import RETRY_AFTER
from media.supervision import ended, supervise

LATER: Final = ("capacity-exceeded", "resource-busy")  # faults that pass


class DeferredVersion:
    """Packages one version again. `taken` gets it as soon as it can be played, and may refuse it by a `Fault`.

    `refused` hears of a fault that will not pass.
    """

    def __init__(self, name: str, taken: Callable[[Playlist], None], refused: Callable[[Fault], None]) -> None:
        self._name = name
        self._taken = taken
        self._refused = refused
        self._task: asyncio.Task[None] | None = None

    def begin(self, version: Callable[[], Playlist]) -> None:
        """Begins. `version` makes the playlist to be packaged, anew for each try."""
        self._task = supervise("remake", partial(self._run, version), self._name)

    def give_up(self) -> None:
        """Ends, since something else was taken. Nothing happens to a task that has just given its own version."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def stop(self) -> None:
        """Ends, and returns when nothing is under way."""
        task, self._task = self._task, None
        await ended(task)

    async def _run(self, version: Callable[[], Playlist]) -> None:
        while True:
            if await self._made(version()):
                return
            await asyncio.sleep(RETRY_AFTER)

    async def _made(self, version: Playlist) -> bool:
        """Tries once. Returns whether there is nothing more to do."""
        try:
            await version.acquire()
            self._taken(version)
        except Fault as fault:
            await version.release()
            if fault.code in LATER:
                return False
            self._refused(fault)
        except BaseException:
            await version.release()
            raise
        return True
