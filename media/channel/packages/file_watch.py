"""Notices that a file in use is replaced, changed or gone: one look a second at each file, however many channels."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from media.supervision import ended, supervise

PERIOD: Final = 1.0  # seconds between two looks

FileIdentity = str | None  # what a file is, as one word; None: it is not there, or not to be read
FileLook = Callable[[list[Path]], Awaitable[dict[Path, FileIdentity]]]
Told = Callable[[FileIdentity], None]


class FileWatch:
    """Who watches a path is told its identity when it has become another and has stayed so for one look.

    `look` gives the identities of files. The task runs only while something is watched.
    """

    def __init__(self, look: FileLook) -> None:
        self._look = look
        self._watchers: dict[Path, dict[Told, FileIdentity]] = {}  # what each was told last
        self._seen: dict[Path, FileIdentity] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, path: Path, told: Told, identity: str) -> None:
        """Lets `told` hear of changes from now on. `identity` is what the file was when it was last read."""
        self._watchers.setdefault(path, {})[told] = identity
        if self._task is None:
            self._task = supervise("file-watch", self._run)

    def remove(self, path: Path, told: Told) -> None:
        """Lets `told` hear of that file no more; nothing happens if it did not."""
        watchers = self._watchers.get(path, {})
        watchers.pop(told, None)
        if not watchers:
            self._watchers.pop(path, None)
            self._seen.pop(path, None)

    async def close(self) -> None:
        """Ends the task."""
        await ended(self._task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            if self._watchers:
                self._compare(await self._look(list(self._watchers)))

    def _compare(self, found: dict[Path, FileIdentity]) -> None:
        for path, identity in self._steady(found):
            watchers = self._watchers.get(path, {})
            for told in [one for one, known in watchers.items() if known != identity]:
                watchers[told] = identity
                told(identity)

    def _steady(self, found: dict[Path, FileIdentity]) -> Iterable[tuple[Path, FileIdentity]]:
        """The identities that were the same at two looks: a file that is being written is not read half."""
        for path, identity in found.items():
            if path in self._seen and self._seen[path] == identity:
                yield path, identity
            self._seen[path] = identity
