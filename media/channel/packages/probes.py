"""What is known of files: looked into by a few workers at a time, and remembered for as long as a file is the same."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from media.process.messages import Failed, Finished, Message, StartTask
from media.process.workers import Workers

AT_ONCE: Final = 2  # workers
LIMIT: Final = 10.0  # seconds for one file
KNOWN: Final = 10_000  # files

FileStamp = tuple[int, int, int, int]  # device, inode, size, mtime in ns
Probe = dict[str, Any]  # as `media.channel.worker.probe` gives it, or `error` with `code` and `detail`


class Probes:
    """The files of one gateway."""

    def __init__(self, workers: Workers) -> None:
        self.asked = 0
        self._workers = workers
        self._known: OrderedDict[FileStamp, Probe] = OrderedDict()
        self._turn = asyncio.Lock()  # one listing at a time looks into files; the next one finds what it has found

    def known(self, identity: FileStamp) -> Probe | None:
        """What was found in a file, if it is still the same."""
        return self._known.get(identity)

    async def learn(self, files: Iterable[tuple[FileStamp, Path]], seconds: float) -> None:
        """Looks into the files that are not known, for so many seconds at the most; what is left then stays unknown."""
        try:
            async with asyncio.timeout(seconds), self._turn:
                waiting = [each for each in files if each[0] not in self._known]
                waiting.reverse()
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(AT_ONCE, len(waiting))):
                        group.create_task(self._work(waiting), name="probe")
        except TimeoutError:
            pass

    async def _work(self, waiting: list[tuple[FileStamp, Path]]) -> None:
        while waiting:
            identity, path = waiting.pop()
            found = await self._ask(path)
            if found.get("error", {}).get("code") == "worker-unavailable":
                return  # it says nothing about the file, and the next one would not fare better
            self._known[identity] = found
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)

    async def _ask(self, path: Path) -> Probe:
        said: list[Message] = []
        self.asked += 1
        worker = self._workers.spawn(StartTask("probe", {"path": str(path)}), said.append)
        try:
            async with asyncio.timeout(LIMIT):
                await asyncio.shield(worker.gone)
        except TimeoutError:
            return _error("worker-hung", f"Looking into the file took more than {LIMIT:g} s.")
        finally:
            if not worker.gone.done():
                worker.kill()
                await asyncio.shield(worker.gone)
        last = said[-1] if said else None
        if isinstance(last, Finished):
            return last.info
        if isinstance(last, Failed):
            return _error(last.code, last.detail)
        crash = worker.crash("The worker that looked into the file")
        return _error(crash.code, crash.detail)


def _error(code: str, detail: str) -> Probe:
    return {"duration": None, "video": None, "audio": None, "error": {"code": code, "detail": detail}}
