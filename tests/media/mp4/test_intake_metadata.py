"""Titles, covers and the like of a file: whatever is in them, the file plays, and FFmpeg never sees them."""

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.channel.worker import file_tracks
from media.channel.worker.probe import probe
from media.mp4 import intake
from media.mp4.intake import FileView
from tests.media.channel.worker.test_package_play import packaged
from tests.support import clips
from tests.support.clips import Clip
from tests.support.mp4_editing import box, change, payload

pytestmark = pytest.mark.media

LATIN = box(b"udta", box(b"\xa9nam", struct.pack(">HH", 5, 0), b"Caf\xe9!"))
NESTED = box(b"udta", box(b"meta", bytes(4), box(b"ilst", box(b"\xa9nam", b"\xff" * 900))))
BROKEN = box(b"udta", b"\xff\xff\xff\xffabcd", bytes(64), b"\0\0\0\1name")
COVER = box(b"udta", box(b"meta", bytes(4), box(b"ilst", box(b"covr", box(b"data", bytes(8), bytes(3_000_000))))))


def behind(extra: bytes, where: bytes = b"moov") -> Callable[[bytes, bytes], bytes]:
    """Adds a box at the end of those at that path."""
    return lambda here, inner: inner + extra if here == where else inner


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clips.make(
        tmp_path_factory.mktemp("metadata") / "clip.mp4", Clip(seconds=Fraction(1), sound=Fraction(1))
    ).read_bytes()


@pytest.mark.parametrize("where", [b"moov", b"moov/trak"])
@pytest.mark.parametrize(
    "extra",
    [LATIN, NESTED, BROKEN, COVER, box(b"meta", b"\xff" * 40), box(b"uuid", bytes(16), b"\xe9" * 90), box(b"wxyz")],
    ids=["Latin-1", "nested", "broken", "a large cover", "meta", "uuid", "unknown"],
)
def test_metadata_of_any_kind_refuses_no_file(extra: bytes, where: bytes, clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    change(path, behind(extra, where))
    fd = intake.open_regular(path)
    with file_tracks.open_container(fd, intake.survey(fd)) as container:
        assert not container.metadata.get("title")
    assert probe(fd)["duration"] == 1.0
    os.close(fd)
    index, _ = packaged(path, tmp_path / "package")
    assert index.seconds == 1


@pytest.mark.parametrize("seconds", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_times_of_making_between_1904_and_2040_refuse_no_file(seconds: int, clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    times = struct.pack(">II", seconds, seconds)
    heads = (b"moov/mvhd", b"moov/trak/tkhd", b"moov/trak/mdia/mdhd")
    change(path, lambda here, inner: inner[:4] + times + inner[12:] if here in heads else inner)
    assert payload(path.read_bytes(), b"mvhd")[4:12] == times
    index, _ = packaged(path, tmp_path / "package")
    assert index.seconds == 1


def test_a_handler_s_name_that_is_not_utf_8_refuses_no_file(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    index, _ = packaged(path, tmp_path / "package")
    assert index.seconds == 1


@given(st.lists(st.integers(0, 60), max_size=4), st.lists(st.integers(1, 20), min_size=1))
def test_hidden_types_read_as_free_however_the_file_is_read(places: list[int], sizes: list[int]) -> None:
    data = bytes(range(64, 128))
    due = bytearray(data)
    for place in places:
        due[place : place + 4] = b"free"[: len(data) - place]
    fd = os.memfd_create("file")
    os.write(fd, data)
    view, found = FileView(fd, len(data), sorted(set(places))), b""
    while piece := view.read(sizes[len(found) % len(sizes)]):
        found += piece
    os.close(fd)
    spaced = all(b - a >= 4 for a, b in zip(sorted(set(places)), sorted(set(places))[1:], strict=False))
    assert found == bytes(due) or not spaced
