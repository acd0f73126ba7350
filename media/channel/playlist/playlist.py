"""The packages of a channel's files, in the order in which they are played."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

from media.channel.packages.data_file import PackageFile
from media.channel.packages.index import Entry, Head, Index
from media.channel.packages.library import Library, Package
from media.channel.playlist.loop import Loop
from media.channel.playlist.playlist_timeline import PlaylistTimeline
from media.channel.playlist.timeline import Timeline
from media.faults import Fault
from media.supervision import noted
from media.watermark import Watermark

AT_ONCE: Final = 4  # packagers of one channel side by side


class Audience(Protocol):
    """Who plays a playlist while it still grows."""

    def grown(self) -> None:
        """There is more of the playlist on disk."""

    def fail(self, fault: Fault) -> None:
        """One of the playlist's packages will never be whole."""


class Playlist:
    """The packages of a list of files, held from `acquire` until `release`. A file that is in the list twice is
    packaged once.

    `mark` is burnt into all of them. Its faults name the file, if it is not the only one: `Fault.item` is its number,
    from 0.
    """

    def __init__(self, library: Library, paths: Sequence[Path], mark: Watermark | None = None) -> None:
        self.paths = tuple(paths)
        self.mark = mark
        self._library = library
        self._packages: list[Package] = []
        self._releasing: asyncio.Task[None] | None = None
        self._growing: list[_Growing] = []
        self._stage = ""
        self._told: Callable[[str], None] = lambda _: None
        self._timeline: Timeline | None = None

    async def acquire(self, told: Callable[[str], None] = lambda _: None) -> None:
        """Returns when each file can be played from its beginning. Raises `Fault`.

        The first file is packaged first. `told` hears what is going on, in words for people, until `quiet`.
        """
        self._told = told
        for number, path in enumerate(self.paths):
            of = "" if len(self.paths) == 1 else f" {number + 1} of {len(self.paths)}"
            self._say(f"opening{of}")
            with self._naming(number):
                package = await self._library.acquire(path, self.mark)
            self._packages.append(package)
            package.on_percent.append(self._recoding)
            package.on_stalled.append(self._stalled)
            self._say(f"packaging{of}")
            self._stalled(package.stalled)
            with self._naming(number):
                await asyncio.shield(package.playable)
            if number + 1 < len(self.paths):
                await self._room()
        self._check()  # the first may have broken while the last was waited for

    def quiet(self) -> None:
        """Tells nobody any more what is going on."""
        self._told = lambda _: None

    def _say(self, stage: str) -> None:
        self._stage = stage
        self._told(stage)

    def _recoding(self, percent: int) -> None:
        self._say(f"transcoding {percent} %")

    def _stalled(self, stands: bool) -> None:
        self._told("stalled" if stands else self._stage)

    async def renew(self, key_of: dict[Path, str]) -> "Playlist":
        """A playlist of the same files, in which the files that have changed are packaged again; it is whole. Raises
        `Fault`.

        `key_of`: what the changed files are now.
        """
        new = Playlist(self._library, self.paths, self.mark)
        try:
            for number, (path, package) in enumerate(zip(self.paths, self._packages, strict=True)):
                with self._naming(number):
                    fresh = path in key_of and key_of[path] != package.source
                    taken = await self._library.acquire(path, self.mark) if fresh else self._library.hold(package)
                    new._packages.append(taken)
                    await asyncio.shield(taken.complete)
                    if "truncated" in taken.warnings and "truncated" not in package.warnings:
                        raise Fault("file-changed", "it is cut off")
        except BaseException:
            await new.release()
            raise
        return new

    async def release(self) -> None:
        """Gives all packages back; what is known of them stays.

        May be called again. It goes on to its end when the caller is cancelled.
        """
        if self._releasing is None:
            self._hear_no_more()
            self._releasing = asyncio.get_running_loop().create_task(self._give_back(), name="release-playlist")
        await asyncio.shield(self._releasing)

    def _hear_no_more(self) -> None:
        self.quiet()
        for growing in self._growing:
            growing.end()
        for package in self._packages:
            if self._recoding in package.on_percent:
                package.on_percent.remove(self._recoding)
                package.on_stalled.remove(self._stalled)

    async def _give_back(self) -> None:
        for package in self._packages:
            with noted("release"):
                await self._library.release(package)

    async def stale(self) -> bool:
        """Whether one of the files has changed since its packaging began."""
        for path, package in zip(self.paths, self._packages, strict=False):
            if await self._library.identity(path) != package.source:
                return True
        return False

    def kill(self) -> None:
        """Kills the packagers (SIGKILL), unless others wait for them."""
        for package in self._packages:
            self._library.kill(package)

    async def complete(self) -> None:
        """Returns when all packages are whole. Raises `Fault`."""
        for number, package in enumerate(self._packages):
            with self._naming(number):
                await asyncio.shield(package.complete)

    async def reach(self, seconds: float) -> None:
        """Returns when the first `seconds` of the list are on disk, or all there are. Raises `Fault`, also of a later
        file.
        """
        for number, package in enumerate(self._packages):
            with self._naming(number):
                await package.reach(seconds)
            if package.whole is None or seconds <= package.seconds:
                break
            seconds -= package.seconds
        self._check()

    @property
    def whole(self) -> bool:
        """Whether all packages are whole."""
        return all(package.whole is not None for package in self._packages)

    @property
    def seconds(self) -> float:
        """How long all files last, as far as that is known."""
        return sum(package.seconds for package in self._packages)

    @property
    def head(self) -> Head | None:
        """What is known of the first file."""
        return self.head_of(0) if self._packages else None

    def head_of(self, number: int) -> Head | None:
        """What is known of a file; of the first one, if there is no such file; nothing after the release."""
        packages = self._packages[number : number + 1] or self._packages[:1]
        return packages[0].head if packages else None

    @property
    def warnings(self) -> dict[str, str]:
        """The warnings of all files, by code."""
        found: dict[str, str] = {}
        for number, package in enumerate(self._packages):
            for code, detail in package.warnings.items():
                said = detail if len(self.paths) == 1 else f"File {number + 1}: {detail}"
                found[code] = f"{found[code]} {said}" if code in found else said
        return found

    @property
    def stalled(self) -> bool:
        """Whether a packager waits for a disk that does not answer."""
        return any(package.stalled for package in self._packages)

    @property
    def keys(self) -> dict[Path, str]:
        """What each file was when it was packaged."""
        return {path: package.source for path, package in zip(self.paths, self._packages, strict=False)}

    def timeline(self, segment: Fraction, audience: Audience) -> Timeline:
        """What the channel plays: always the same one. `audience` hears of it until it is whole."""
        if self._timeline is None:
            loops = [self._loop(number, segment, audience) for number in range(len(self._packages))]
            self._timeline = loops[0] if len(loops) == 1 else PlaylistTimeline(loops)
        return self._timeline

    def files(self, disk: Executor) -> list[PackageFile]:
        """Opens the data files of the packages; close them. Raises `Fault`, and then none is open."""
        with ExitStack() as stack:
            files = [stack.enter_context(closing(package.open(disk))) for package in self._packages]
            stack.pop_all()
        return files

    def _loop(self, number: int, segment: Fraction, audience: Audience) -> Loop:
        package = self._packages[number]
        loop = package.loop(segment)
        if package.whole is None:
            self._growing.append(_Growing(package, loop, audience, lambda fault: self._named(fault, number)))
        return loop

    async def _room(self) -> None:
        """Waits until few enough packagers are at work. One that encodes takes all the room that a channel may have."""
        while True:
            busy = [package for package in self._packages if not package.complete.done()]
            if len(busy) < AT_ONCE and not any(package.head and package.head.recoded for package in busy):
                break
            await asyncio.wait({package.complete for package in busy}, return_when=asyncio.FIRST_COMPLETED)
        self._check()

    def _check(self) -> None:
        """Raises the `Fault` of a package that is broken."""
        for number, package in enumerate(self._packages):
            if package.fault is not None:
                raise self._named(package.fault, number)

    @contextmanager
    def _naming(self, number: int) -> Iterator[None]:
        try:
            yield
        except Fault as fault:
            raise self._named(fault, number) from None

    def _named(self, fault: Fault, number: int) -> Fault:
        if len(self.paths) == 1 or fault.item is not None:
            return fault
        said = f"File {number + 1} of {len(self.paths)} ({self.paths[number].name}): {fault.detail}"
        return Fault(fault.code, said, fault.phase, number)


class _Growing:
    """The `Reader` of one package: its loop grows with it."""

    def __init__(self, package: Package, loop: Loop, audience: Audience, named: Callable[[Fault], Fault]) -> None:
        self._package = package
        self._loop = loop
        self._audience = audience
        self._named = named
        package.readers.append(self)

    def grow(self, entry: Entry) -> None:
        self._loop.grow(entry)
        self._audience.grown()

    def finish(self, whole: Index) -> None:
        self._loop.finish(whole)
        self._audience.grown()

    def fail(self, fault: Fault) -> None:
        self._audience.fail(self._named(fault))

    def end(self) -> None:
        """Hears of nothing more."""
        if self in self._package.readers:
            self._package.readers.remove(self)
