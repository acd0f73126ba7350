"""A file as a live channel: its package, its start, and the ring that is arithmetic on both."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from media.faults import Fault
from media.index import Entry, Head, Index
from media.library import Library, Package
from media.loop import Loop
from media.loops import LoopRing
from media.mischief import FaultyRing, Mischief
from media.packaged import PackageFile
from media.ring import Ring, RingLimits
from media.steady import SteadyClock
from media.stream import ENDED, Identity, Status, Stream, timestamp, tracks_of
from media.stretch import Start
from media.watermark import Watermark

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
    clock: SteadyClock
    fault_injection: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a channel remembers over a restart of the gateway: where it is, and whether it stands still."""

    start: Start
    paused: bool

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "Kept":
        """The inverse of what `FileStream.wanted` has of it."""
        return cls(Start(**wanted["start"]), wanted["paused"])


class FileStream(Stream):
    """A channel. `open` is the job's: the file is packaged as far as is needed. `begin` starts the channel's clock.

    `mark` is burnt into its picture. `kept`: it was on air before the gateway was.
    """

    def __init__(
        self,
        identity: Identity,
        spec: FileSpec,
        parts: FileParts,
        status: Status = Status.LIVE,
        kept: Kept | None = None,
    ) -> None:
        super().__init__(identity, parts.wall, status)
        self._spec = spec
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._kept = kept
        self.mark: Watermark | None = None
        self._package: Package | None = None
        self._was: Package | None = None  # the one given back, for what it was
        self._ring: LoopRing | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[Fault] = self._loop.create_future()
        self._last_error: dict[str, Any] | None = None
        self._next_retry_at: float | None = None
        self._restarts = 0
        self._replacing: asyncio.Task[None] | None = None
        self._mischief: dict[str, Any] | None = None
        self._healing: asyncio.TimerHandle | None = None
        self.on_phase: Callable[[str], None] = lambda _: None

    @property
    def ring(self) -> Ring | None:
        return self._ring

    @property
    def pictures(self) -> frozenset[str]:
        return frozenset({self.mark.sha256} if self.mark else ())

    async def open(self) -> None:
        """Until the channel can be played from where it has to begin. Raises `Fault`."""
        self.on_phase("opening")
        package = await self._parts.library.acquire(Path(self._spec.path), self.mark)
        self._package = package
        self.on_phase("packaging")
        package.on_percent.append(self._recoding)
        try:
            # A channel that goes on with an old clock needs to know how long a round is.
            await (asyncio.shield(package.complete) if self._kept else asyncio.shield(package.playable))
            if self._spec.start_at:
                await package.reach(self._spec.start_at + float(self._parts.ring.segment))
                self._check_start(package)
        except Fault:
            await self._release()
            raise
        finally:
            package.on_percent.remove(self._recoding)

    def _recoding(self, percent: int) -> None:
        self.on_phase(f"transcoding {percent} %")

    def _check_start(self, package: Package) -> None:
        if package.whole is not None and not self._spec.loop and self._spec.start_at >= package.seconds:
            detail = f"The file lasts {package.seconds:.2f} s: it cannot start at {self._spec.start_at:g} s."
            raise Fault("limits-exceeded", detail, "opening")

    def begin(self) -> None:
        """The channel is on air from now on; it is kept on air until it ends."""
        self._play()
        self._keeper = self._loop.create_task(self._keep(), name=f"channel-{self.identity.id}")

    def revive(self) -> None:
        """Comes back on air by itself, on its old clock; for a channel made WAITING."""
        self._keeper = self._loop.create_task(self._keep(), name=f"channel-{self.identity.id}")

    async def stop(self) -> None:
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        self._parts.library.watch.remove(Path(self._spec.path), self._file_is)
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait({self._replacing})
        await self._release()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """SIGKILL to the packager, unless others wait for it."""
        if self._package is not None:
            self._parts.library.kill(self._package)

    async def reach(self, seconds: float) -> None:
        """Until this position can be played. Fault: `resource-busy` when the channel is not on air."""
        self._on_air()
        if self._package is not None:
            await self._package.reach(seconds)
            if self._package is not None and seconds > self._package.seconds:
                detail = f"The file lasts {self._package.seconds:.2f} s; there is no position {seconds:g}."
                raise Fault("limits-exceeded", detail, "seeking")

    def seek(self, seconds: float) -> None:
        """On at the key frame before this position, at once; paused, it shows the picture. Fault: `resource-busy`."""
        self._heal()
        self._on_air().seek(Fraction(seconds), self._parts.wall())
        self._swap()
        self.on_change(self)

    def pause(self) -> None:
        """The channel stands still until `resume`. Fault: `resource-busy`."""
        self._heal()
        self._on_air().pause()
        self.move(Status.PAUSED)

    def resume(self) -> None:
        """On where it was paused. Fault: `resource-busy`."""
        self._heal()
        self._on_air().resume(self._parts.wall())
        self._swap()
        self.move(Status.LIVE)

    def misbehave(self, mischief: Mischief, seconds: float) -> None:
        """For so long, then it heals by itself; a mischief that is under way ends. Fault: `resource-busy`."""
        ring = self._on_air()
        if ring.paused and self.status is Status.PAUSED:
            raise Fault("resource-busy", f"The channel {self.identity.name!r} is paused; resume it first.")
        if not isinstance(ring, FaultyRing):
            raise RuntimeError("faults are not to be had")
        self._heal()
        began, wall = self._loop.time(), self._parts.wall()
        ring.begin(mischief, wall)
        self._mischief = {"fault": mischief.value, "until": timestamp(wall + seconds), "began": began}
        self._healing = self._loop.call_later(seconds, self._heal)
        self.on_change(self)

    def _heal(self) -> None:
        """The mischief ends, if there is one."""
        if self._healing is not None:
            self._healing.cancel()
        done, self._mischief, self._healing = self._mischief, None, None
        if done is not None and isinstance(self._ring, FaultyRing):
            self._ring.heal(self._loop.time() - done["began"], self._parts.wall())
            self._swap()
            self.on_change(self)

    def _on_air(self) -> LoopRing:
        if self._ring is None or self._ring.ended or self.status in ENDED:
            raise Fault("resource-busy", f"The channel {self.identity.name!r} is not on air; try again later.")
        return self._ring

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
        kept = Kept(self._ring.start, self._ring.paused) if self._ring is not None else self._kept
        if kept is None:
            raise RuntimeError("a channel that has not begun is not wanted yet")
        return {
            "identity": asdict(self.identity),
            "file": asdict(self._spec),
            "mark": asdict(self.mark) if self.mark else None,
            "start": asdict(kept.start),
            "paused": kept.paused,
        }

    def details(self) -> dict[str, Any]:
        package = self._package or self._was
        where = self._ring.position if self._ring is not None else None
        for code, detail in package.warnings.items() if package else ():
            self.warn(code, detail)
        return {
            **_tracks(package.head if package else None),
            "watermark": self.mark.record() if self.mark else None,
            "loop": self._spec.loop,
            "duration": round(package.seconds, 3) if package and package.head else None,
            "round": where[0] if where else None,
            "position": round(float(where[1]), 3) if where else None,
            "fault": {key: self._mischief[key] for key in ("fault", "until")} if self._mischief else None,
            "restarts": self._restarts,
            "lastError": self._last_error,
            "nextRetryAt": timestamp(self._next_retry_at),
        }

    def _play(self) -> None:
        """Makes the ring; from here on the channel is arithmetic."""
        package = self._package
        if package is None:
            raise RuntimeError("a channel without a package cannot be played")
        loop = package.loop(self._parts.ring.segment)
        ring = (FaultyRing if self._parts.fault_injection else LoopRing)(
            loop, self._file(package), self._begins(loop), self._parts.clock, self._parts.ring, self._spec.loop
        )
        self._ring = ring
        if self._kept is not None and self._kept.paused:
            ring.pause()
        self._broken = self._loop.create_future()
        if package.whole is None:
            package.readers.append(self)
        self._parts.library.watch.remove(Path(self._spec.path), self._file_is)
        self._parts.library.watch.add(Path(self._spec.path), self._file_is, package.source)

    def _file_is(self, identity: str | None) -> None:
        """The file has become another, or is gone (None)."""
        if identity is None:
            self.warn("file-changed", "The file is gone or may not be read any more; its package plays on.")
        elif self._package is not None and identity != self._package.source and self._spec.loop:
            if self._replacing is not None:
                self._replacing.cancel()
            self._replacing = self._loop.create_task(self._replace(), name=f"replace-{self.identity.id}")

    async def _replace(self) -> None:
        """Packages the file as it is now, and plays that from the next join on; keeps the old one if it is no good."""
        package = self._package
        if package is None:
            return
        new = None
        try:
            await asyncio.shield(package.complete)
            new = await self._parts.library.acquire(Path(self._spec.path), self.mark)
            await asyncio.shield(new.complete)
            if "truncated" in new.warnings and "truncated" not in package.warnings:
                raise Fault("file-changed", "it is cut off")
        except Fault as fault:
            self.warn("file-changed", f"The file was changed and cannot be played ({fault.detail}); the old one is.")
        else:
            if self._package is package:
                self._package, new = new, package
                self.forget_warning("file-changed")
                self._swap()
                self.on_change(self)
        finally:
            if new is not None:
                await self._parts.library.release(new)

    def _file(self, package: Package) -> PackageFile:
        return PackageFile(package.data, self._parts.library.disk)

    def _begins(self, loop: Loop) -> Start:
        """Where the channel begins, or goes on."""
        now, wall = self._parts.clock(), self._parts.wall()
        if self._kept is not None:
            ago = 0.0 if self._kept.paused else max(0.0, wall - self._kept.start.wall)
            return replace(self._kept.start, at=now - ago)
        seconds = Fraction(self._spec.start_at)
        if loop.length is not None:
            seconds %= loop.length
        return Start(now, wall, loop.key_at(seconds) if seconds else 0)

    def _swap(self) -> None:
        """Plays the package that it has from the next join on, if it does not play it already."""
        ring, package = self._ring, self._package
        if ring is None or package is None or package.whole is None or ring.paused or not self._spec.loop:
            return
        loop = package.loop(self._parts.ring.segment)
        if ring.loop is not loop and ring.loop.index is not package.whole:
            ring.replace_at_join(loop, self._file(package))

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
        if self._ring is not None and self._ring.paused:
            self.move(Status.PAUSED)
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
        self._heal()
        ring, self._ring = self._ring, None
        if ring is not None:
            self._kept = Kept(ring.start, ring.paused)
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


def _tracks(head: Head | None) -> dict[str, Any]:
    """`video` and `audio` of the record; what was recoded says so."""
    made = tracks_of(head.init if head else None)
    for track, reason in head.recoded if head else ():
        if made[track] is not None:
            made[track] |= {"mode": "transcode", "reason": reason}
    return made
