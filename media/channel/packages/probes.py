"""What is known of files: looked into by a few workers at a time, and remembered for as long as a file is the same."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from media.faults import Fault
from media.process.messages import StartTask
from media.process.question import Question
from media.process.workers import Workers

AT_ONCE: Final = 2  # workers
LIMIT: Final = 10.0  # seconds for one file
KNOWN: Final = 10_000  # files

FileStamp = tuple[int, int, int, int]  # device, inode, size, mtime in ns
Probe = dict[str, Any]  # as `media.channel.worker.probe` gives it, or `error` with `code` and `detail`


class Probes:
    """What is known of the files of one gateway."""

    def __init__(self, workers: Workers) -> None:
        self.asked = 0
        self._workers = workers
        self._known: OrderedDict[FileStamp, Probe] = OrderedDict()
        self._turn = asyncio.Lock()  # one listing at a time looks into files; the next one finds what it has found

    def known(self, identity: FileStamp) -> Probe | None:
        """What was found in a file, if it is still the same."""
        return self._known.get(identity)

    async def learn(self, files: Iterable[tuple[FileStamp, Path]], seconds: float) -> None:
        """Looks into the files that are not known, for so many seconds at most. What is left then stays unknown."""
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
        self.asked += 1
        question = Question(
            self._workers, StartTask("probe", {"path": str(path)}), "The worker that looked into the file"
        )
        try:
            return (await question.answer(LIMIT)).info
        except Fault as fault:
            return _error(fault.code, fault.detail)


def _error(code: str, detail: str) -> Probe:
    return {"duration": None, "video": None, "audio": None, "error": {"code": code, "detail": detail}}
