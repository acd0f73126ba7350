"""The store of pictures: read once, known again, replaced when the file changes, kept within its bounds."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.faults import Fault
from media.pictures import picture_store
from media.pictures.picture_store import Picture, Pictures
from media.process.workers import Workers
from tests.support.pictures import plain

pytestmark = pytest.mark.media

SHOWN: set[str] = set()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Pictures]:
    workers = Workers()
    workers.start()
    yield Pictures(workers, tmp_path / "store", lambda: SHOWN)
    SHOWN.clear()
    await workers.close()


async def read(store: Pictures, path: Path) -> Picture:
    """A job that reads it and uses it no longer."""
    reading = store.reading(path)
    found = await reading.run()
    reading.let_go()
    return found


async def test_a_file_is_read_once_until_it_changes(store: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(plain((1, 2, 3, 255), 4, 2))
    assert await store.known(path) is None
    first = await read(store, path)
    assert await store.known(path) == first
    path.write_bytes(plain((3, 2, 1, 255), 8, 2))
    os.utime(path, ns=(1, 1))
    assert await store.known(path) is None
    second = await read(store, path)
    assert (second.width, second.sha256 != first.sha256) == (8, True)
    assert {each.name for each in store.folder.iterdir()} == {first.sha256, second.sha256}


async def test_a_picture_that_left_the_store_is_read_again(store: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(plain((1, 2, 3, 255), 4, 2))
    found = await read(store, path)
    store.path(found.sha256).unlink()
    assert await read(store, path) == found
    assert store.path(found.sha256).exists()


async def test_the_longest_unused_leave_first(store: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_store, "MAX_BYTES", 100)
    for number in range(4):
        path = tmp_path / f"{number}.png"
        path.write_bytes(plain((number, 0, 0, 255), 4, 2))
        found = await read(store, path)
        os.utime(store.path(found.sha256), ns=(number, number))
    assert len(list(store.folder.iterdir())) == 2
    assert store.path(found.sha256).exists()


async def test_a_picture_that_is_shown_or_taken_never_leaves(
    store: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_store, "MAX_BYTES", 0)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(plain((number, 0, 0, 255), 4, 2))
    shown = store.reading(paths[0])
    SHOWN.add((await shown.run()).sha256)
    shown.let_go()
    taken = store.reading(paths[1])
    held = await taken.run()
    for path in paths[2:4]:
        await read(store, path)
        assert {*SHOWN, held.sha256} < {each.name for each in store.folder.iterdir()}
    taken.let_go()
    last = await read(store, paths[4])
    assert {each.name for each in store.folder.iterdir()} == {*SHOWN, last.sha256}


async def test_what_is_no_picture_leaves_nothing_in_the_store(store: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(b"GIF89a")
    with pytest.raises(Fault) as caught:
        await read(store, path)
    assert caught.value.code == "image-not-supported"
    assert list(store.folder.iterdir()) == []
