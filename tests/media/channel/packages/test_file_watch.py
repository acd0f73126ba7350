"""`FileWatch` in virtual time: who is told what of a file, and when."""

from pathlib import Path

import pytest

from media.channel.packages.file_watch import FileIdentity, FileWatch
from tests.support.processes import until

FILM = Path("film.mp4")

pytestmark = pytest.mark.looptime


class Disk:
    """What a file is, and how often somebody looked."""

    def __init__(self) -> None:
        self.film: FileIdentity = "old"
        self.looks = 0

    async def look(self, paths: list[Path]) -> dict[Path, FileIdentity]:
        self.looks += 1
        return dict.fromkeys(paths, self.film)

    async def looked(self, times: int) -> None:
        """Until somebody has looked so often again."""
        wanted = self.looks + times
        await until(lambda: self.looks >= wanted, 60)


async def test_each_who_watches_is_told_once_of_what_it_does_not_know() -> None:
    disk = Disk()
    watch = FileWatch(disk.look)
    first: list[FileIdentity] = []
    second: list[FileIdentity] = []
    watch.add(FILM, first.append, "old")
    disk.film = "new"
    await disk.looked(3)
    assert first == ["new"]
    watch.add(FILM, second.append, "old")  # another channel, that still plays what the file was
    await disk.looked(3)
    assert (first, second) == (["new"], ["new"])
    await watch.close()


async def test_a_channel_that_follows_an_older_version_is_told_again_while_another_plays_the_file() -> None:
    disk = Disk()
    watch = FileWatch(disk.look)
    first: list[FileIdentity] = []
    second: list[FileIdentity] = []
    tell = first.append
    watch.add(FILM, tell, "old")
    watch.add(FILM, second.append, "old")
    disk.film = "new"
    await disk.looked(3)
    watch.remove(FILM, tell)
    watch.add(FILM, tell, "old")
    await disk.looked(3)
    assert (first, second) == (["new", "new"], ["new"])
    await watch.close()


async def test_a_look_that_fails_unforeseen_is_not_the_last() -> None:
    class Short(Disk):
        async def look(self, paths: list[Path]) -> dict[Path, FileIdentity]:
            if self.looks in (1, 2):
                self.looks += 1
                raise RuntimeError("can't start new thread")
            return await super().look(paths)

    disk = Short()
    watch = FileWatch(disk.look)
    told: list[FileIdentity] = []
    watch.add(FILM, told.append, "old")
    disk.film = "new"
    await disk.looked(6)
    assert told == ["new"]
    await watch.close()
