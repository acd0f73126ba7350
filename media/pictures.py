"""The pictures that were read: normalised, stored once by content, and known again without a worker."""

import asyncio
import os
import signal
import stat
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from media.faults import Fault
from media.messages import Failed, Finished, Message, Phase, Start
from media.workers import Worker, Workers, how_ended

KNOWN: Final = 256  # files remembered by what the disk says of them
MAX_BYTES: Final = 256 * 1024 * 1024  # of normalised pictures; the longest unused go first

Seen = tuple[str, int, int, int, int]  # path, device, inode, size, mtime in ns


@dataclass(frozen=True, slots=True)
class Picture:
    """One that is in the store: its upright size in pixels, format as it came, and the SHA-256 of its file."""

    width: int
    height: int
    format: str
    sha256: str
    warnings: dict[str, str] = field(default_factory=dict)


class Pictures:
    """The store, below one folder. A stream never touches the file that a picture came from again."""

    def __init__(self, workers: Workers, folder: Path) -> None:
        self._workers = workers
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known: OrderedDict[Seen, Picture] = OrderedDict()

    def path(self, sha256: str) -> Path:
        """Where the normalised picture lies."""
        return self.folder / sha256

    def reading(self, path: Path) -> "Reading":
        """One reading of a file: nothing happens yet."""
        return Reading(self, self._workers, path)

    async def known(self, path: Path) -> Picture | None:
        """What an earlier reading found, if neither the file nor the store has changed since."""
        seen = await asyncio.to_thread(_look, path)
        picture = self._known.get(seen) if seen else None
        if seen is None or picture is None:
            return None
        if not await asyncio.to_thread(_touch, self.path(picture.sha256)):
            return None
        self._known.move_to_end(seen)
        return picture

    async def remember(self, seen: Seen | None, picture: Picture) -> None:
        """Keeps a reading, and the store within its bounds."""
        if seen is not None:
            self._known[seen] = picture
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        await asyncio.to_thread(_bound, self.folder, picture.sha256)


class Reading:
    """One file read by a worker under limits; `stop` and `kill` as a job needs them."""

    def __init__(self, pictures: Pictures, workers: Workers, path: Path) -> None:
        self._pictures = pictures
        self._workers = workers
        self._path = path
        self._worker: Worker | None = None
        self._last: Message | None = None

    async def run(self) -> Picture:
        """The picture, stored. Raises `Fault`."""
        known = await self._pictures.known(self._path)
        if known is not None:
            return known
        seen = await asyncio.to_thread(_look, self._path)
        spec = {"path": str(self._path), "store": str(self._pictures.folder)}
        self._worker = self._workers.spawn(Start("picture", spec), self._on_message)
        status = await asyncio.shield(self._worker.gone)
        picture = Picture(**_result(self._last, status))
        await self._pictures.remember(seen, picture)
        return picture

    async def stop(self) -> None:
        """Returns when the worker is gone."""
        if self._worker is not None:
            self._worker.kill()
            await asyncio.shield(self._worker.gone)

    def kill(self) -> None:
        """SIGKILL now."""
        if self._worker is not None:
            self._worker.kill()

    def _on_message(self, message: Message) -> None:
        if not isinstance(message, Phase):
            self._last = message


def _result(last: Message | None, status: int) -> dict[str, Any]:
    if isinstance(last, Finished):
        return last.info
    if isinstance(last, Failed):
        raise Fault(last.code, last.detail, last.phase)
    if status == -signal.SIGXCPU:
        raise Fault("limits-exceeded", "The picture takes too long to decode.", "decoding")
    raise Fault("worker-crashed", f"The picture's worker ended by {how_ended(status)}.", "decoding")


def _look(path: Path) -> Seen | None:
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


def _bound(folder: Path, newest: str) -> None:
    """Drops what is over `MAX_BYTES`, longest unused first. Streams hold their pictures' pixels themselves."""
    files = []
    for each in folder.iterdir():
        with suppress(FileNotFoundError):  # another job may tidy up at the same moment
            files.append((each, each.stat()))
    files.sort(key=lambda pair: pair[1].st_mtime)
    total = sum(found.st_size for _, found in files)
    for path, found in files:
        if total <= MAX_BYTES:
            return
        if path.name != newest:
            path.unlink(missing_ok=True)
            total -= found.st_size
