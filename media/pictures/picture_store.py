"""The pictures that were read: normalised, stored once by content, and known again without a worker."""

import asyncio
import os
import signal
import stat
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from media.faults import Fault
from media.process.messages import StartTask
from media.process.question import Question
from media.process.workers import Workers

KNOWN: Final = 256  # files remembered by what the disk says of them
MAX_BYTES: Final = 256 * 1024 * 1024  # of normalised pictures; the longest unused go first

TRIES: Final = 3  # readings of a file whose picture leaves at once, as others need the room

T = TypeVar("T")

FileSeen = tuple[str, int, int, int, int]  # path, device, inode, size, mtime in ns


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is in the store: its upright size in pixels, format as it came, and the SHA-256 of its file."""

    width: int
    height: int
    format: str
    sha256: str
    warnings: dict[str, str] = field(default_factory=dict)


class Pictures:
    """The store, below one folder. A stream never touches the file that a picture came from again.

    `in_use` gives the hashes of the pictures that streams show. Those never leave, and neither do those that a job has
    taken and not let go. `on_media` runs a call that touches the folder where pictures come from in a thread, by
    default in one of the event loop's.
    """

    def __init__(
        self,
        workers: Workers,
        folder: Path,
        in_use: Callable[[], Iterable[str]] = tuple,
        on_media: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._workers = workers
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._in_use = in_use
        self._on_media = on_media
        self._disk = ThreadPoolExecutor(1, "pictures")  # its own: a folder that hangs holds up no others
        self._taken: Counter[str] = Counter()
        self._turn = asyncio.Lock()  # pictures are taken before or after the store is tidied, never meanwhile
        self._known: OrderedDict[FileSeen, Picture] = OrderedDict()

    def path(self, sha256: str) -> Path:
        """The path of the normalised picture."""
        return self.folder / sha256

    def reading(self, path: Path) -> "Reading":
        """A reading of a file, which has not begun."""
        return Reading(self, self._workers, path)

    async def look(self, path: Path) -> FileSeen | None:
        """The stamp that the disk gives of a file now; None when it is no regular file."""
        seen: FileSeen | None = await self._on_media(_look, path)
        return seen

    async def _on_disk(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)

    async def known(self, path: Path) -> Picture | None:
        """The picture that an earlier reading found, if the file has not changed since."""
        seen = await self.look(path)
        picture = self._known.get(seen) if seen else None
        if seen is not None and picture is not None:
            self._known.move_to_end(seen)
        return picture

    async def take(self, picture: Picture) -> bool:
        """Keeps a picture in the store until `let_go`; False when it is not there any more."""
        async with self._turn:
            found = await self._on_disk(_touch, self.path(picture.sha256))
            self._taken[picture.sha256] += found
        return found

    def let_go(self, picture: Picture) -> None:
        """Ends what `take` began: the picture may leave the store."""
        self._taken[picture.sha256] -= 1
        if not self._taken[picture.sha256]:
            del self._taken[picture.sha256]

    async def remember(self, seen: FileSeen | None, picture: Picture) -> None:
        """Keeps what a reading has found, and the store within its bounds."""
        if seen is not None:
            self._known[seen] = picture
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        async with self._turn:
            await self._on_disk(_bound, self.folder, {*self._in_use(), *self._taken})


class Reading:
    """One file read by a worker under limits; `stop` and `kill` as a job needs them, `let_go` when it is done."""

    def __init__(self, pictures: Pictures, workers: Workers, path: Path) -> None:
        self._pictures = pictures
        self._workers = workers
        self._path = path
        self._question: Question | None = None
        self._taken: Picture | None = None

    async def run(self) -> Picture:
        """Reads the file. Returns the picture, which stays in the store until `let_go`. Raises `Fault`."""
        known = await self._pictures.known(self._path)
        if known is not None and await self._take(known):
            return known
        for _ in range(TRIES):
            seen = await self._pictures.look(self._path)
            spec = {"path": str(self._path), "store": str(self._pictures.folder)}
            start = StartTask("picture", spec)
            self._question = Question(self._workers, start, "The picture's worker", "decoding")
            picture = Picture(**await _read(self._question))
            if await self._take(picture):
                await self._pictures.remember(seen, picture)
                return picture
        raise Fault("limits-exceeded", "The store of pictures is full of pictures in use.", "decoding")

    def let_go(self) -> None:
        """Says that the picture is in a stream now, or not needed. May be called again."""
        if self._taken is not None:
            self._pictures.let_go(self._taken)
            self._taken = None

    async def _take(self, picture: Picture) -> bool:
        if await self._pictures.take(picture):
            self._taken = picture
        return self._taken is not None

    async def stop(self) -> None:
        """Returns when the worker is gone."""
        self.let_go()
        if self._question is not None:
            await self._question.end()

    def kill(self) -> None:
        """Kills the worker now (SIGKILL)."""
        if self._question is not None:
            self._question.worker.kill()


async def _read(question: Question) -> dict[str, Any]:
    try:
        return (await question.answer()).info
    except Fault as fault:
        if fault.code == "worker-crashed" and question.worker.gone.result() == -signal.SIGXCPU:
            raise Fault("limits-exceeded", "The picture takes too long to decode.", "decoding") from None
        raise


def _look(path: Path) -> FileSeen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _bound(folder: Path, kept: set[str]) -> None:
    """Drops what is over `MAX_BYTES`, longest unused first; what is `kept` counts and stays."""
    files = []
    for each in folder.iterdir():
        with suppress(FileNotFoundError):  # a worker may rename it at the same moment
            files.append((each, each.stat()))
    files.sort(key=lambda pair: pair[1].st_mtime)
    total = sum(found.st_size for _, found in files)
    for path, found in files:
        if total <= MAX_BYTES:
            return
        if path.name not in kept:
            path.unlink(missing_ok=True)
            total -= found.st_size
