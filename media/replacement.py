"""Files that change under their channel: packaged anew beside it, and handed over when they are good."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from media.faults import Fault
from media.filewatch import Told
from media.library import Library
from media.reel import Reel


class Replacement:
    """Watches the files of one channel, from `follow` until `stop`.

    `hand_over` is called with a whole reel, which is its own from then on; `warn` with a sentence when the channel goes
    on with what it has.
    """

    def __init__(
        self, library: Library, name: str, hand_over: Callable[[Reel], None], warn: Callable[[str], None]
    ) -> None:
        self._library = library
        self._name = name
        self._hand_over = hand_over
        self._warn = warn
        self._watching: dict[Path, Told] = {}
        self._changed: dict[Path, str] = {}
        self._reel: Reel | None = None
        self._repeats = False
        self._task: asyncio.Task[None] | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    def follow(self, reel: Reel, repeats: bool) -> None:
        """From now on this reel is what plays. One that does not repeat is only told of, and plays to its end."""
        self._forget()
        self._reel, self._repeats = reel, repeats
        for path, key in reel.keys.items():
            told = self._watching[path] = partial(self._is_now, path)
            self._library.watch.add(path, told, key)

    async def stop(self) -> None:
        """Watches nothing more."""
        self._forget()
        left = set(self._releasing)
        if self._task is not None and self._task not in left:
            self._task.cancel()
            left.add(self._task)
        if left:
            await asyncio.wait(left)

    def _forget(self) -> None:
        for path, told in self._watching.items():
            self._library.watch.remove(path, told)
        self._watching.clear()
        self._changed.clear()

    def _is_now(self, path: Path, identity: str | None) -> None:
        """The file has become another, or is gone (None)."""
        reel = self._reel
        if identity is None:
            self._warn("The file is gone or may not be read any more; its package plays on.")
        elif reel is not None and self._repeats and identity != reel.keys.get(path):
            self._changed[path] = identity
            if self._task is not None and self._task not in self._releasing:
                self._task.cancel()
            self._task = asyncio.get_running_loop().create_task(self._run(reel), name=f"replace-{self._name}")

    async def _run(self, reel: Reel) -> None:
        """Packages what has changed, hands it over, and gives back what was played until then."""
        new = await self._renewed(reel)
        if new is None:
            return
        task = asyncio.current_task()
        assert task is not None
        self._releasing.add(task)  # from here on it is not cancelled, whatever changes next
        if self._reel is reel:
            self._changed.clear()
            self._hand_over(new)
            await reel.release()
        else:
            await new.release()
        self._releasing.discard(task)

    async def _renewed(self, reel: Reel) -> Reel | None:
        while self._changed:
            try:
                await reel.complete()
                return await reel.renew(dict(self._changed))
            except Fault as fault:
                self._warn(f"The file was changed and cannot be played ({fault.detail}); the old one is.")
                self._changed.pop(reel.paths[fault.item or 0], None)  # until it changes again; others may be good
        return None
