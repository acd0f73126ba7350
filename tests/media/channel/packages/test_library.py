"""`Library`, `Playlist` and `NextVersion` over packagers that do what a test says."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from media.channel.next_version import NextVersion
from media.channel.packages import cache_folder, index, library
from media.channel.packages.library import Library
from media.channel.playlist.loop import SEGMENT, Loop
from media.channel.playlist.playlist import Playlist
from media.faults import Fault
from media.process.capacity import Capacity
from media.process.messages import Message, StartTask, TaskReady
from media.process.workers import Worker, Workers
from tests.media.channel.test_channel_ring import write_package
from tests.support.processes import until


class Packager:
    """A worker of which nobody but the test hears."""

    pid = None
    unmade = ""
    crash = Worker.crash

    def __init__(self, start: StartTask, heard: Callable[[Message], None]) -> None:
        self.folder = Path(start.spec["folder"])
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._heard = heard

    def begin(self) -> None:
        """The first segment is there."""
        self._heard(TaskReady({}))

    def kill(self) -> None:
        if not self.gone.done():
            self.gone.set_result(-9)


class Packagers:
    """What `Library` takes for its workers, in the order in which they are made."""

    def __init__(self) -> None:
        self.made: list[Packager] = []

    def spawn(self, start: StartTask, heard: Callable[[Message], None]) -> Packager:
        self.made.append(Packager(start, heard))
        return self.made[-1]

    async def next(self, number: int) -> Packager:
        """The one of that number, as soon as it is there."""
        await until(lambda: len(self.made) > number)
        return self.made[number]


@pytest.fixture
def packagers() -> Packagers:
    return Packagers()


@pytest.fixture
async def packages(packagers: Packagers, tmp_path: Path) -> AsyncIterator[Library]:
    (tmp_path / "cache").mkdir()
    made = Library(cast(Workers, packagers), tmp_path / "cache", 10**9, Capacity(4.0))
    yield made
    for packager in packagers.made:
        packager.kill()
    await made.close()


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    """Four files, each another one."""
    paths = [tmp_path / f"{number}.mp4" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(100 + number))
    return paths


async def acquired(playlist: Playlist, packagers: Packagers) -> None:
    """The playlist with all its packages begun, and none whole."""
    getting = asyncio.create_task(playlist.acquire())
    for number in range(len(playlist.paths)):
        (await packagers.next(number)).begin()
    await getting


async def test_a_folder_that_cannot_be_made_fails_the_package_for_all_who_wait(
    packages: Library, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(library, "_make_folder", full)
    package = await packages.acquire(films[0])
    with pytest.raises(Fault, match="capacity-exceeded: The disk of cache_dir is full"):
        await asyncio.wait_for(asyncio.shield(package.playable), 30)
    again = await packages.acquire(films[0])
    assert again is not package
    for one in (package, again):
        await packages.release(one)


async def test_a_package_that_is_given_back_while_its_folder_is_made_gets_no_packager(
    packages: Library, packagers: Packagers, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    making, made = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        making.set()
        made.wait(60)
        folder.mkdir()

    monkeypatch.setattr(library, "_make_folder", slow)
    package = await packages.acquire(films[0])
    await until(making.is_set)
    await packages.release(package)
    made.set()
    await until(lambda: package.fault is not None)
    assert packagers.made == []


async def test_what_has_not_become_a_package_does_not_stay_on_the_disk(
    packages: Library, packagers: Packagers, films: list[Path], tmp_path: Path
) -> None:
    package = await packages.acquire(films[0])
    packager = await packagers.next(0)
    (packager.folder / index.DATA_NAME).write_bytes(bytes(1000))
    packager.kill()
    with pytest.raises(Fault, match="worker-crashed"):
        await package.complete
    await until(lambda: not list((tmp_path / "cache").iterdir()))
    again = await packages.acquire(films[0])
    (await packagers.next(1)).begin()
    await again.playable
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [again.key]
    for one in (package, again):
        await packages.release(one)


async def test_a_release_goes_on_when_who_asked_for_it_is_cancelled(
    packages: Library, packagers: Packagers, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    playlist = Playlist(packages, films[:3])
    await acquired(playlist, packagers)
    monkeypatch.setattr(cache_folder, "used_now", lambda folder, key: answers.wait(60))
    first = asyncio.create_task(playlist.release())
    await until(packagers.made[0].gone.done)  # killed, though the disk does not answer
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(playlist.release())
    answers.set()
    await second
    assert all(packager.gone.done() for packager in packagers.made)


async def test_a_broken_file_of_a_list_is_seen_even_if_the_others_are_well(
    packages: Library, packagers: Packagers, films: list[Path]
) -> None:
    playlist = Playlist(packages, films[:2])
    getting = asyncio.create_task(playlist.acquire())
    (await packagers.next(0)).begin()
    second = await packagers.next(1)
    packagers.made[0].kill()
    await until(lambda: not packagers.made[0].folder.exists())
    second.begin()
    with pytest.raises(Fault, match="File 1 of 2"):
        await getting
    await playlist.release()


async def test_a_replaced_file_beside_one_that_breaks_leaves_the_event_loop_free(
    packages: Library, packagers: Packagers, films: list[Path]
) -> None:
    playlist = Playlist(packages, films[:2])
    await acquired(playlist, packagers)
    warned: list[str] = []

    def warn(detail: str) -> None:
        warned.append(detail)
        assert len(warned) < 100, "it spins"

    replacement = NextVersion(packages, "c", lambda new: None, warn)
    replacement.follow(playlist, repeats=True)
    (films[1].parent / "new").write_bytes(bytes(500))
    (films[1].parent / "new").rename(films[1])
    await until(lambda: any(task.get_name() == "replace-c" for task in asyncio.all_tasks()))
    packagers.made[0].kill()
    await until(lambda: not any(task.get_name() == "replace-c" for task in asyncio.all_tasks()))
    assert warned == []  # the channel comes back by itself
    await replacement.stop()
    await playlist.release()


async def test_the_loop_of_a_package_is_made_beside_the_event_loop(
    packages: Library, films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[threading.Thread] = []
    whole = write_package(tmp_path / "data")
    monkeypatch.setattr(index, "load", lambda folder: whole)
    real = Loop.of
    monkeypatch.setattr(Loop, "of", lambda *of: made.append(threading.current_thread()) or real(*of))  # type: ignore[func-returns-value]
    package = await packages.acquire(films[0])
    await package.complete
    assert package.loop(SEGMENT) is package.loop(SEGMENT)
    assert len(made) == 1
    assert made[0] is not threading.main_thread()
    await packages.release(package)
