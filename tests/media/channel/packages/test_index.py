"""The index of a package: saved whole, loaded only if it fits its data."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from media.channel.packages import index
from media.channel.packages.index import AudioSpan, ByteRange, Entry, Grid, Head, Index, TornPackage
from media.codecs import libav
from tests.support import clips
from tests.support.clips import Clip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Index:
    clip = Clip(seconds=Fraction(1, 5), sound=Fraction(1, 5))
    path = clips.make(tmp_path_factory.mktemp("index") / "clip.mp4", clip)
    with av.open(str(path)) as container:
        init = libav.init_segment(container.streams.video[0], container.streams.audio[0], 12800)
    entries = (
        Entry(0, 4608, True, ByteRange(0, 100), (AudioSpan(100, 20, 0, 16),)),
        Entry(4608, 512, False, ByteRange(120, 10), (AudioSpan(130, 0, 16, 0), AudioSpan(130, 10, 16, 1))),
    )
    return Index(
        Head(init, Grid(3840, 1024), 2), 5120, entries, 140, (16, 17), (), (("audio-cut", "Some is left out."),)
    )


@pytest.fixture
def folder(made: Index, tmp_path: Path) -> Path:
    (tmp_path / index.DATA_NAME).write_bytes(bytes(140))
    index.save(made, tmp_path)
    return tmp_path


def test_what_is_saved_is_what_is_loaded(made: Index, folder: Path) -> None:
    assert index.load(folder) == made
    assert sorted(path.name for path in folder.iterdir()) == [index.DATA_NAME, index.INDEX_NAME]


def test_a_head_travels_alone(made: Index) -> None:
    assert Head.unpacked(made.head.packed()) == made.head
    assert [Entry.unpacked(one.packed()) for one in made.entries] == list(made.entries)


def test_without_an_index_there_is_no_package(folder: Path) -> None:
    (folder / index.INDEX_NAME).unlink()
    with pytest.raises(TornPackage, match="without an index"):
        index.load(folder)


def test_without_its_data_an_index_is_no_package(folder: Path) -> None:
    (folder / index.DATA_NAME).unlink()
    with pytest.raises(TornPackage, match="without an index"):
        index.load(folder)


def test_a_data_file_of_another_size_is_torn(folder: Path) -> None:
    (folder / index.DATA_NAME).write_bytes(bytes(139))
    with pytest.raises(TornPackage, match="139 bytes instead of 140"):
        index.load(folder)


def test_an_index_with_any_byte_changed_or_cut_off_is_torn(folder: Path) -> None:
    path = folder / index.INDEX_NAME
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        for bad in (good[:at], good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]):
            path.write_bytes(bad)
            with pytest.raises(TornPackage):
                index.load(folder)
    path.write_bytes(good)
    index.load(folder)


def test_an_index_of_another_version_is_made_again(folder: Path, made: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "VERSION", 99)
    with pytest.raises(TornPackage, match="another version"):
        index.load(folder)


def test_an_index_that_contradicts_itself_is_torn(made: Index) -> None:
    first, second = made.entries
    wrong = {
        "index is empty": replace(made, entries=()),
        "chunks do not follow": replace(made, entries=(second, first)),
        "not add up": replace(made, length=5121),
        "data is too short": replace(made, size=139),
        "key frame": replace(made, entries=(replace(first, independent=False), second)),
        "no frame counts": replace(made, counts=(), entries=(first, replace(second, audio=()))),
        "no picture": replace(made, entries=(first, replace(second, video=ByteRange(120, 0)))),
        "not listed": replace(made, cycle=(0, 2)),
    }
    for reason, bad in wrong.items():
        with pytest.raises(TornPackage, match=reason):
            bad.check()
    made.check()
