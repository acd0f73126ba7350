"""What a channel will play from a join on: files that were changed, or another version of them, packaged beside it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from media.channel.packages.file_watch import Told
from media.channel.packages.library import Library
from media.channel.playlist.playlist import Playlist
from media.faults import Fault
from media.process.capacity import RETRY_AFTER
from media.supervision import FAILURES, supervise


class NextVersion:
    """Watches the files of one channel, from `follow` until `stop`.

    `hand_over` is called with a whole playlist, which is the channel's own from then on; `warn` with a sentence when
    the channel goes on with what it has.
    """

    def __init__(
        self, library: Library, name: str, hand_over: Callable[[Playlist], None], warn: Callable[[str], None]
    ) -> None:
        self._library = library
        self._name = name
        self._hand_over = hand_over
        self._warn = warn
        self._watching: dict[Path, Told] = {}
        self._changed: dict[Path, str] = {}
        self._playlist: Playlist | None = None
        self._coming: Playlist | None = None
        self._repeats = False
        self._task: asyncio.Task[None] | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    def follow(self, playlist: Playlist, repeats: bool) -> None:
        """From now on this playlist is on air. Of one that does not repeat, changes are only told; it plays to its
        end.
        """
        self._forget()
        self._playlist, self._repeats = playlist, repeats
        for path, key in playlist.keys.items():
            told = self._watching[path] = partial(self._is_now, path)
            self._library.watch.add(path, told, key)

    def take(self, new: Playlist, refused: Callable[[Fault], None]) -> None:
        """Hands over `new`, which belongs to this object from here on, when it is whole; calls `refused` if it breaks.

        What was under way is given up. A file that changes meanwhile is noticed when the new version plays.
        """
        self._give_up()
        self._coming = new
        self._task = asyncio.get_running_loop().create_task(self._take(new, refused), name=f"take-{self._name}")

    async def stop(self) -> None:
        """Watches nothing more."""
        self._forget()
        task = self._task
        self._give_up()
        left = {*self._releasing, *({task} if task is not None else ())}
        if left:
            await asyncio.wait(left)

    def _give_up(self) -> None:
        """Ends what is under way."""
        if self._task is not None:
            self._task.cancel()
        coming, self._coming = self._coming, None
        if coming is not None:
            self._release(coming)

    def _release(self, playlist: Playlist) -> None:
        task = asyncio.get_running_loop().create_task(playlist.release(), name=f"release-{self._name}")
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    def _forget(self) -> None:
        for path, told in self._watching.items():
            self._library.watch.remove(path, told)
        self._watching.clear()
        self._changed.clear()

    def _is_now(self, path: Path, identity: str | None) -> None:
        """Takes notice that the file has become another, or is gone (None)."""
        playlist = self._playlist
        if identity is None:
            self._warn("The file is gone or may not be read any more; its package plays on.")
        elif playlist is not None and self._repeats and identity != playlist.keys.get(path):
            self._changed[path] = identity
            if self._coming is not None:
                return
            self._give_up()
            self._task = supervise("replace", partial(self._run, playlist), self._name)

    async def _run(self, playlist: Playlist) -> None:
        """Packages what has changed, hands it over, and gives back what was played until then."""
        new = await self._renewed(playlist)
        if new is not None:
            self._change(playlist, new)

    async def _take(self, new: Playlist, refused: Callable[[Fault], None]) -> None:
        playlist = self._playlist
        try:
            await self._completed(playlist, new)
        except Fault as fault:
            self._refuse(new, refused, fault)
        except Exception as error:
            FAILURES.note("take", error, stream=self._name)
            self._refuse(new, refused, Fault("internal", f"it could not be taken: {type(error).__name__}"))
        else:
            return
        if self._changed and playlist is not None:
            await self._run(playlist)

    async def _completed(self, playlist: Playlist | None, new: Playlist) -> None:
        await new.complete()
        if playlist is not None:
            with suppress(Fault):  # broken: the channel comes back with the new version by itself
                await playlist.complete()  # a timeline that grows has no join yet
        self._coming = None
        self._change(playlist, new)

    def _refuse(self, new: Playlist, refused: Callable[[Fault], None], fault: Fault) -> None:
        self._coming = None
        self._release(new)
        refused(fault)

    def _change(self, playlist: Playlist | None, new: Playlist) -> None:
        """Hands over the new version, unless the channel plays something else by now."""
        if playlist is None or self._playlist is not playlist or not playlist.whole:
            self._release(new)
            return
        try:
            self._hand_over(new)
        except BaseException:
            self._release(new)
            raise
        self._changed.clear()
        self._release(playlist)

    async def _renewed(self, playlist: Playlist) -> Playlist | None:
        """The playlist with the changed files packaged again; None when nothing of what was changed can be played."""
        try:
            await playlist.complete()  # a timeline that grows has no join yet
        except Fault:
            return None  # broken: the channel comes back by itself, with the files as they are then
        while self._changed:
            try:
                return await playlist.renew(dict(self._changed))
            except Fault as fault:
                if fault.code == "capacity-exceeded":
                    await asyncio.sleep(RETRY_AFTER)
                    continue
                self._warn(f"The file was changed and cannot be played ({fault.detail}); the old one is.")
                # Not tried again until it changes once more; others may be good.
                if self._changed.pop(playlist.paths[fault.item or 0], None) is None:
                    return None
        return None
