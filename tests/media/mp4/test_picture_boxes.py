"""What an init says of its picture: shapes of pixels, turns, and boxes of the file that FFmpeg leaves out."""

import io
import struct
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codecs import libav
from media.mp4 import boxes, moov, picture_boxes
from tests.support import clips
from tests.support.clips import Clip
from tests.support.mp4_editing import box

DOLBY = box(b"dvvC", bytes([1, 0, 16, 13, 64]) + bytes(19))


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = clips.make(tmp_path_factory.mktemp("boxes") / "clip.mp4", Clip(seconds=Fraction(1), sound=Fraction(1)))
    with av.open(str(path)) as container:
        return libav.init_segment(container.streams.video[0], container.streams.audio[0], 12800).data


@given(across=st.integers(1, 64), down=st.integers(1, 64))
def test_pixels_of_any_shape_are_said_in_the_entry_and_in_the_track_header(init: bytes, across: int, down: int) -> None:
    aspect = Fraction(across, down)
    changed = picture_boxes.described(init, aspect, (DOLBY,))
    video = moov.declared(changed).video
    assert video is not None
    assert (video.width, video.height) == (round(clips.WIDTH * aspect), clips.HEIGHT)
    with av.open(io.BytesIO(changed), format="mov") as container:
        assert len(container.streams.audio) == 1
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio or Fraction(1)) == aspect
        assert (stream.codec_context.width, stream.codec_context.height) == (clips.WIDTH, clips.HEIGHT)
    assert len(picture_boxes.described(changed, aspect, (DOLBY,))) == len(changed)  # each is there once


def test_what_a_file_says_of_its_picture_is_found_and_put_into_the_init_once(init: bytes) -> None:
    changed = picture_boxes.described(init, Fraction(1), (DOLBY,))
    assert len(changed) == len(init) + len(DOLBY)
    found = boxes.find(changed, b"moov")
    assert found is not None
    assert DOLBY in dict(picture_boxes.of_tracks(changed, found))[1]
    assert [kind.kind for kind in boxes.children(changed)] == [kind.kind for kind in boxes.children(init)]


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        ((1, 0, 0, 1), 1),
        ((-1, 0, 0, 1), 2),
        ((-1, 0, 0, -1), 3),
        ((1, 0, 0, -1), 4),
        ((0, 1, 1, 0), 5),
        ((0, 1, -1, 0), 6),
        ((0, -1, -1, 0), 7),
        ((0, -1, 1, 0), 8),
        ((2, 0, 0, -2), 4),
        ((0.7, 0.7, -0.7, 0.7), 1),
    ],
)
def test_a_matrix_turns_and_mirrors_as_exif_does(init: bytes, matrix: tuple[float, ...], orientation: int) -> None:
    a, b, c, d = (round(each * 65536) for each in matrix)
    trak = boxes.find(init, b"moov/trak")
    assert trak is not None
    tkhd = boxes.find(init, b"tkhd", trak)
    assert tkhd is not None
    at = tkhd.start + 40
    changed = init[:at] + struct.pack(">5i", a, b, 0, c, d) + init[at + 20 :]
    assert moov.orientation(changed) == orientation
