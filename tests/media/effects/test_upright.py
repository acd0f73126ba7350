"""Pictures the right way up and of the right shape, however their container turns or mirrors them."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

from media.chunk import Chunk
from media.effects import pixels
from media.mp4 import moov
from media.pictures.worker import snapshot
from media.transcoding.worker.ring_source import Input
from media.watch import whep
from tests.media.channel.worker.test_package_play import packaged, rounds
from tests.support import clips
from tests.support.clips import Clip
from tests.support.mp4_editing import MATRICES, turned

pytestmark = [pytest.mark.media]

CLIP = Clip(seconds=Fraction(1), sound=None, b_frames=0)


def grey(frame: VideoFrame) -> tuple[int, int, bytes]:
    rgba = pixels.rows(pixels.normalised(frame))
    return frame.width, frame.height, rgba[1::4]


def off(one: VideoFrame, other: VideoFrame) -> float:
    """How far two pictures are from one another, as a mean of 255; 255 where their sizes differ."""
    a, b = grey(one), grey(other)
    if a[:2] != b[:2]:
        return 255.0
    return sum(abs(x - y) for x, y in zip(a[2], b[2], strict=True)) / len(a[2])


def first(path: Path) -> VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("orientation", MATRICES)
@pytest.mark.parametrize("video", ["libx264", "mpeg4"])
def test_a_picture_is_upright_whether_it_is_copied_or_recoded(video: str, orientation: int, tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", CLIP.but(video=video))
    flat = first(path)
    upright = pixels.normalised(flat, orientation)
    index, _ = packaged(turned(path, orientation), tmp_path / "package")
    film = rounds(index, tmp_path / "package", 1)
    assert bool(index.head.recoded) is (video == "mpeg4")
    assert moov.orientation(index.head.init.data) == (1 if index.head.recoded else orientation)
    track = index.head.init.video
    assert track is not None
    assert (track.width, track.height) == (upright.width, upright.height)
    still, aspect = snapshot.decode(film)
    assert aspect == 1
    assert off(still, upright) < 6
    assert Input(index.head.init).orientation == moov.orientation(index.head.init.data)
    refused = whep.refusal(Chunk(0, index.head.init, 0, 1, True, film[len(index.head.init.data) :]))
    assert (refused is None or "turned" not in refused) is (moov.orientation(index.head.init.data) == 1)


def test_the_container_s_shape_of_pixels_goes_over_that_of_the_codec(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", CLIP)
    size = struct.pack(">II", clips.WIDTH << 16, clips.HEIGHT << 16)  # in the track header: the codec says square
    wide = struct.pack(">II", round(clips.WIDTH * 4 / 3 * 65536), clips.HEIGHT << 16)
    path.write_bytes(path.read_bytes().replace(size, wide))
    index, _ = packaged(path, tmp_path / "package")
    track = index.head.init.video
    assert track is not None
    assert (track.width, track.height) == (426, clips.HEIGHT)
    _, aspect = snapshot.decode(rounds(index, tmp_path / "package", 1))
    assert float(aspect) == pytest.approx(4 / 3, abs=0.01)
    assert float(Input(index.head.init).aspect) == pytest.approx(4 / 3, abs=0.01)
