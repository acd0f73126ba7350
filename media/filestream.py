"""A file as a live channel: its package, its start, and the ring that is arithmetic on both."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from media.faults import Fault
from media.index import Entry, Index
from media.library import Library, Package
from media.loops import LoopRing, Start
from media.packaged import PackageFile
from media.ring import Ring, RingLimits
from media.stream import ENDED, Identity, Status, Stream, timestamp, tracks_of

log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.5  # seconds before a package that broke is made again
LONGEST_DELAY: Final = 30.0
LINGER: Final = 20.0  # seconds that a file which has ended is still served, so that its last segments can be fetched

# Codes of a file that will not get better by trying again.
HOPELESS: Final = frozenset({"codec-unsupported", "file-not-media", "file-empty", "limits-exceeded"})


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file to play: its path, whether it repeats, and the second that it begins at."""

    path: str
    loop: bool
    start_at: float = 0.0


@dataclass(frozen=True, slots=True)
class FileParts:
    """What every channel of a file shares."""

    library: Library
    ring: RingLimits
    wall: Callable[[], float]


class FileStream(Stream):
    """A channel. `open` is the job's: the file is packaged as far as is needed. `begin` starts the channel's clock.

    `started` is the Unix time of its start, if that was before the gateway's.
    """

    def __init__(
        self, identity: Identity, spec: FileSpec, parts: FileParts, status: Status = Status.LIVE, started: float = 0.0
    ) -> None:
        super().__init__(identity, parts.wall, status)
        self._spec = spec
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._started = started
        self._package: Package | None = None
        self._was: Package | None = None  # the one given back, for what it was
        self._ring: LoopRing | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[Fault] = self._loop.create_future()
        self._last_error: dict[str, Any] | None = None
        self._next_retry_at: float | None = None
        self._restarts = 0
        self.on_phase: Callable[[str], None] = lambda _: None

    @property
    def ring(self) -> Ring | None:
        return self._ring

    async def open(self) -> None:
        """Until the channel can be played from where it has to begin. Raises `Fault`."""
        self.on_phase("opening")
        package = await self._parts.library.acquire(Path(self._spec.path))
        self._package = package
        self.on_phase("packaging")
        # A channel that begins in the middle, or goes on with an old clock, needs to know how long a round is.
        enough = package.complete if self._started or self._spec.start_at else package.playable
        try:
            await asyncio.shield(enough)
        except Fault:
            await self._release()
            raise

    def begin(self) -> None:
        """The channel is on air from now on, or was since `started`; it is kept on air until it ends."""
        if not self._started:
            self._started = self._parts.wall() - self._spec.start_at
        self._play()
        self._keeper = self._loop.create_task(self._keep(), name=f"channel-{self.identity.id}")

    def resume(self) -> None:
        """Comes back on air by itself, on its old clock; for a channel made WAITING."""
        self._keeper = self._loop.create_task(self._keep(), name=f"channel-{self.identity.id}")

    async def stop(self) -> None:
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._release()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """SIGKILL to the packager, unless others wait for it."""
        if self._package is not None:
            self._parts.library.kill(self._package)

    def grow(self, entry: Entry) -> None:
        """One more chunk is on disk."""
        if self._ring is not None:
            self._ring.grow(entry)

    def finish(self, whole: Index) -> None:
        """The package is whole."""
        if self._ring is not None:
            self._ring.finish(whole)

    def fail(self, fault: Fault) -> None:
        """The package broke while the channel was playing what there was of it."""
        if not self._broken.done():
            self._broken.set_result(fault)

    def wanted(self) -> dict[str, Any]:
        return {"identity": asdict(self.identity), "file": asdict(self._spec), "started": self._started}

    def details(self) -> dict[str, Any]:
        package = self._package or self._was
        where = self._ring.position if self._ring is not None else None
        for code, detail in package.warnings.items() if package else ():
            self.warn(code, detail)
        return {
            **tracks_of(package.head.init if package and package.head else None),
            "loop": self._spec.loop,
            "duration": round(package.seconds, 3) if package and package.head else None,
            "round": where[0] if where else None,
            "position": round(float(where[1]), 3) if where else None,
            "restarts": self._restarts,
            "lastError": self._last_error,
            "nextRetryAt": timestamp(self._next_retry_at),
        }

    def _play(self) -> None:
        """Makes the ring; from here on the channel is arithmetic."""
        package = self._package
        if package is None:
            raise RuntimeError("a channel without a package cannot be played")
        ago = self._parts.wall() - self._started
        start = Start(self._loop.time() - ago, self._started)
        file = PackageFile(package.data, self._parts.library.disk)
        loop = package.loop(self._parts.ring.segment)
        self._ring = LoopRing(loop, file, start, self._loop.time, self._parts.ring, self._spec.loop)
        self._broken = self._loop.create_future()
        if package.whole is None:
            package.readers.append(self)

    async def _keep(self) -> None:
        """Runs until the file has ended, the channel is given up, or `stop` cancels it."""
        delay = FIRST_DELAY
        fault = None if self._ring is not None else await self._reopen()
        while True:
            if fault is None:
                fault = await self._watch()
                self._restarts += 1
            if fault is None:
                break
            self._note(fault)
            if fault.code in HOPELESS:
                self.move(Status.FAILED)
                return
            await self._pause(delay)
            delay = min(LONGEST_DELAY, delay * 2)
            fault = await self._reopen()
        await asyncio.sleep(LINGER)
        await self.stop()

    async def _reopen(self) -> Fault | None:
        """Packages the file again if need be; None when the channel is on air."""
        try:
            await self.open()
        except Fault as fault:
            return fault
        self._play()
        self.move(Status.LIVE)
        return None

    async def _watch(self) -> Fault | None:
        """Why the channel went off air; None when it has ended as it should. One that repeats never does."""
        package, ring = self._package, self._ring
        if package is None or ring is None:
            raise RuntimeError("there is no channel to watch")
        if package.whole is None:
            either: list[asyncio.Future[Any]] = [self._broken, package.complete]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._broken.done():
            fault = self._broken.result()
            await self._release()
            return fault
        if self._spec.loop:
            return await asyncio.shield(self._broken)
        while not ring.ended:
            await ring.wait(ring.head)
        return None

    async def _pause(self, seconds: float) -> None:
        self._next_retry_at = self._parts.wall() + seconds
        self.move(Status.WAITING)
        await asyncio.sleep(seconds)
        self._next_retry_at = None

    async def _release(self) -> None:
        """Closes the ring and gives the package back."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
        package, self._package = self._package, None
        if package is not None:
            self._was = package
            if self in package.readers:
                package.readers.remove(self)
            await self._parts.library.release(package)

    def _note(self, fault: Fault) -> None:
        self._last_error = {
            "code": fault.code,
            "phase": fault.phase or None,
            "detail": fault.detail,
            "at": timestamp(self._parts.wall()),
        }
        log.warning("channel-fault", extra={"stream": self.identity.id, "code": fault.code, "phase": fault.phase})
