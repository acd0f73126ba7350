"""Packages of files: made once by a worker, shared by all channels of one file, found again after a restart."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from media.channel.packages import cache_folder, file_identity, index, progress
from media.channel.packages.data_file import PackageFile
from media.channel.packages.file_watch import FileIdentity, FileWatch
from media.channel.packages.index import Entry, Head, Index, TornPackage
from media.channel.playlist.loop import SEGMENT, Loop
from media.faults import Fault
from media.process import threads
from media.process.capacity import Capacity
from media.process.messages import Failed, Finished, Message, Order, StartTask, TaskProgress, TaskReady, WarningRaised
from media.process.workers import Worker, Workers
from media.supervision import FAILURES, ended, supervise
from media.watermark import Watermark

T = TypeVar("T")

log = logging.getLogger(__name__)

READERS: Final = 4  # threads that touch the disk, so that the event loop never does


class Reader(Protocol):
    """A channel that plays a package while it still grows."""

    def grow(self, entry: Entry) -> None:
        """One more chunk is on disk."""

    def finish(self, whole: Index) -> None:
        """The package is whole."""

    def fail(self, fault: Fault) -> None:
        """The package will never be whole."""


class Package:
    """One file as chunks on disk, or on its way there. `holders` counts who uses it."""

    def __init__(self, key: str, folder: Path, source: str, mark: Watermark | None = None) -> None:
        self.key = key
        self.folder = folder
        self.source = source  # what the file was
        self.mark = mark  # what is burnt in
        self.holders = 0
        self.head: Head | None = None
        self.entries: list[Entry] = []
        self.whole: Index | None = None
        self.seconds = 0.0  # how long the file claims to be, until it is whole
        self.percent: int | None = None  # of recoding, if there is any
        self.on_percent: list[Callable[[int], None]] = []
        self.stalled = False  # whether its packager waits for a disk
        self.on_stalled: list[Callable[[bool], None]] = []
        self.told = 0  # messages of its packager
        self.warnings: dict[str, str] = {}
        self.readers: list[Reader] = []
        self.playable: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the first segment is there
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fault: Fault | None = None
        self.worker: Worker | None = None
        self._loop: Loop | None = None
        self._file: PackageFile | None = None
        self._step: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the next chunk, or the end

    @property
    def data(self) -> Path:
        """The path of the file that the spans of the entries point into."""
        return self.folder / index.DATA_NAME

    def open(self, disk: Executor) -> PackageFile:
        """Opens the data file: one descriptor for all channels. Close it after use.

        Raises `Fault`; when the file is gone, who acquires the package next has it made anew.
        """
        if self._file is None or self._file.closed:
            try:
                self._file = PackageFile(self.data, disk)
            except Fault as fault:
                self.fault = fault if fault.code == "file-changed" else self.fault
                raise
            return self._file
        return self._file.share()

    def on_message(self, message: Message) -> None:
        """Takes a message of the packager."""
        self.told += 1
        match message:
            case TaskProgress({"head": head, "seconds": seconds}):
                self.head, self.seconds = Head.unpacked(head), seconds
            case TaskProgress({"chunk": chunk, "done": done}):
                self._grow(Entry.unpacked(chunk))
                self._tell(done)
            case TaskReady():
                self._play()
            case WarningRaised(code, detail):
                self.warnings[code] = detail
            case Failed(code, phase, detail):
                self.fault = Fault(code, detail, phase)
            case Finished():
                pass  # the index on disk has all of it
            case _:
                log.error("worker-message-unexpected", extra={"type": type(message).__name__})

    def _tell(self, done: float) -> None:
        """Tells how far the encoding is, each number once."""
        if self.head is None or not self.head.recoded or not self.seconds:
            return
        percent = min(99, int(100 * done / self.seconds))
        if percent != self.percent:
            self.percent = percent
            for told in list(self.on_percent):
                told(percent)

    def stall(self, stalled: bool) -> None:
        """Notes that the packager makes no progress, or goes on again."""
        self.stalled = stalled
        for told in list(self.on_stalled):
            told(stalled)

    def finish(self, whole: Index, loop: Loop | None = None) -> None:
        """Notes that the index is there, and maybe its loop: from now on the package needs nobody."""
        self.whole, self._loop = whole, loop
        self.head, self.seconds = whole.head, float(whole.seconds)
        self.entries = list(whole.entries)
        self.warnings |= dict(whole.warnings)
        for reader in self.readers:
            reader.finish(whole)
        self.readers.clear()
        self._play()
        self.complete.set_result(None)
        self._stepped()

    def fail(self, fault: Fault) -> None:
        """Notes that the packager ended without an index."""
        self.fault = fault
        for future in (self.playable, self.complete):
            if not future.done():
                future.set_exception(fault)
                future.exception()  # whoever waits hears of it, but it may be that nobody does
        for reader in list(self.readers):
            reader.fail(fault)
        self._stepped()

    async def reach(self, seconds: float) -> None:
        """Waits until the first `seconds` are on disk, or all there are. Raises the `Fault` of a package that
        breaks.
        """
        while self.whole is None and self.filled < seconds:
            if self.fault is not None:
                raise self.fault
            await asyncio.shield(self._step)

    @property
    def filled(self) -> float:
        """Seconds that are on disk."""
        if self.head is None or not self.entries:
            return 0.0
        last = self.entries[-1]
        return (last.decode_time + last.duration) / self.head.init.timescale

    def loop(self, segment: Fraction) -> Loop:
        """The loop of the package: one for all channels once it is whole, one for each as long as it grows."""
        if self.head is None:
            raise ValueError("a package of which nothing is known yet makes no loop")
        if self.whole is not None:
            if self._loop is None or self._loop.shortest != segment:
                self._loop = Loop.of(self.whole, segment)
            return self._loop
        loop = Loop(self.head, segment)
        for entry in self.entries:
            loop.grow(entry)
        return loop

    def _grow(self, entry: Entry) -> None:
        self.entries.append(entry)
        for reader in self.readers:
            reader.grow(entry)
        self._stepped()

    def _stepped(self) -> None:
        self._step.set_result(None)
        self._step = asyncio.get_running_loop().create_future()

    def _play(self) -> None:
        if not self.playable.done():
            self.playable.set_result(None)


class Library:
    """The packages in use, and the folder of those that were made before. One for a gateway.

    The folder has at most `max_bytes`, as long as what is in use does not need more: the longest unused go first.
    `segment`: seconds of the segments that channels will want.
    """

    def __init__(
        self, workers: Workers, cache_dir: Path, max_bytes: int, capacity: Capacity, segment: Fraction = SEGMENT
    ) -> None:
        self._segment = segment
        self._workers = workers
        self._capacity = capacity
        self._cache_dir = cache_dir
        self._max_bytes = max_bytes
        self._tidying: asyncio.Task[None] | None = None
        self._untidy = False
        self.watch = FileWatch(lambda paths: self.on_media(file_identity.of, paths))
        self._packages: dict[str, Package] = {}
        self._making: dict[str, asyncio.Task[None]] = {}
        self._disk = threads.pool(READERS, "library")
        self._media = threads.pool(READERS, "media-folder")
        self._loop = asyncio.get_running_loop()

    async def acquire(self, path: Path, mark: Watermark | None = None) -> Package:
        """The package of a file as it is now on disk, with that watermark burnt in. It begins to be made if it is not
        there.

        Give it to `release`. Raises `Fault`: `file-not-found`, `file-not-regular`.
        """
        source = await self.on_media(file_identity.key, path)
        key = file_identity.marked(source, mark)
        package = self._packages.get(key)
        if package is None or package.fault is not None:
            package = self._packages[key] = Package(key, self._cache_dir / key, source, mark)
            self._begin(package, path)
        package.holders += 1
        return package

    def hold(self, package: Package) -> Package:
        """Counts one more holder of a package that has one already."""
        package.holders += 1
        return package

    async def release(self, package: Package) -> None:
        """Counts one holder less. A package without holders is no longer worked on. Returns when its worker is gone."""
        package.holders -= 1
        if package.holders > 0:
            return
        self.kill(package)
        if self._packages.get(package.key) is package:
            del self._packages[package.key]
            await self.on_disk(cache_folder.used_now, self._cache_dir, package.key)
            self._tidy()
        if package.worker is not None:
            await asyncio.shield(package.worker.gone)

    def kill(self, package: Package) -> None:
        """Kills the packager of a package (SIGKILL), unless others wait for it."""
        if package.worker is not None and package.holders <= 1:
            package.worker.kill()

    async def close(self) -> None:
        """Ends what is under way."""
        await self.watch.close()
        await ended(self._tidying, *self._making.values())
        for pool in (self._disk, self._media):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def disk(self) -> ThreadPoolExecutor:
        """The threads that touch the disk."""
        return self._disk

    async def on_disk(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs a call that touches the folder of packages in a thread of the library's own."""
        return await self._loop.run_in_executor(self._disk, call, *arguments)

    async def on_media(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs a call that touches the media folder in a thread of that folder's own.

        So packages are read even while the media folder does not answer.
        """
        return await self._loop.run_in_executor(self._media, call, *arguments)

    async def identity(self, path: Path) -> FileIdentity:
        """What a file is now, as `Package.source`; None when it cannot be read."""
        return (await self.on_media(file_identity.of, [path]))[path]

    def _heard(self, package: Package, message: Message) -> None:
        """Takes a message of a packager. Before it encodes, it asks whether there is room for that."""
        match message:
            case TaskProgress({"recoding": True}) if package.worker is not None:
                try:
                    self._capacity.reserve_thread(package.key)
                except Fault as fault:
                    package.fault = fault
                    package.worker.kill()
                else:
                    package.worker.send(Order({}))
            case _:
                package.on_message(message)

    def _begin(self, package: Package, path: Path) -> None:
        before = self._making.get(package.key)
        task = self._loop.create_task(self._make(package, path, before), name=f"package-{package.key}")
        self._making[package.key] = task
        task.add_done_callback(lambda _: self._made(package.key, task))

    def _made(self, key: str, task: asyncio.Task[None]) -> None:
        if self._making.get(key) is task:
            del self._making[key]

    def _tidy(self) -> None:
        """Removes what is too much; once more if that is under way already."""
        self._untidy = True
        if self._tidying is None or self._tidying.done():
            self._tidying = supervise("library-tidy", self._keep_tidy)

    async def _keep_tidy(self) -> None:
        while self._untidy:
            self._untidy = False
            try:
                await self._remove_surplus()
            except BaseException:
                self._untidy = True
                raise

    async def _remove_surplus(self) -> None:
        found = await self.on_disk(cache_folder.stored, self._cache_dir)
        left = sum(one.size for one in found)
        for one in found:
            if left <= self._max_bytes:
                return
            if one.key not in self._packages and one.key not in self._making:
                # Looked at and hidden in one step of the loop: nobody can begin to use it in between.
                hidden = cache_folder.hide(self._cache_dir, one.key)
                await self.on_disk(cache_folder.remove, hidden)
                left -= one.size
                log.info("package-removed", extra={"package": one.key, "bytes": one.size})

    async def _make(self, package: Package, path: Path, before: asyncio.Task[None] | None) -> None:
        """Takes the package that is there, or has it made. Two packagers never work in one folder."""
        if before is not None:
            await asyncio.wait({before})
        try:
            await self.on_disk(cache_folder.used_now, self._cache_dir, package.key)
            if not await self._load(package):
                await self._pack(package, path)
        except OSError as error:
            log.error("package-unreadable", extra={"package": package.key, "reason": error.strerror})
            package.fail(cache_folder.unwritable(error))
        except Exception as error:  # channels and jobs wait for it: they must hear that it will not come
            FAILURES.note("package", error, package=package.key)
            package.fail(Fault("internal", f"The file could not be packaged ({type(error).__name__}).", "packaging"))

    async def _load(self, package: Package) -> bool:
        """Whether the package is there, whole; then its index and loop are loaded."""
        try:
            package.finish(*await self.on_disk(_load, package.folder, self._segment))
        except TornPackage:
            return False
        return True

    async def _pack(self, package: Package, path: Path) -> None:
        """Has the package made by a worker. What has not become a package does not stay on the disk."""
        if package.holders:
            await self.on_disk(_make_folder, package.folder)
        if package.holders:  # if it is still held: it may have been given back meanwhile
            await self._run_packager(package, path)
        else:
            package.fail(Fault("internal", "Nobody wants the package any more."))
        if package.whole is None:
            await self.on_disk(cache_folder.discard, package.folder)

    async def _run_packager(self, package: Package, path: Path) -> None:
        mark = package.mark.order() if package.mark else None
        start = StartTask("package", {"path": str(path), "folder": str(package.folder), "mark": mark})
        worker = package.worker = self._workers.spawn(start, lambda message: self._heard(package, message))
        watch = partial(progress.watch, worker, lambda: package.told, package.stall)
        watching = supervise("package-progress", watch, package.key)
        try:
            await asyncio.shield(worker.gone)
        finally:
            watching.cancel()
        package.stalled = False
        package.worker = None
        self._capacity.release(package.key)
        if package.fault is not None:
            package.fail(package.fault)
        elif await self._load(package):
            self._tidy()
        else:
            package.fail(worker.crash("The packager", "packaging"))


def _load(folder: Path, segment: Fraction) -> tuple[Index, Loop]:
    """The index and the loop of a whole package. Call it in a thread: a film's loop takes a fifth of a second."""
    whole = index.load(folder)
    return whole, Loop.of(whole, segment)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
