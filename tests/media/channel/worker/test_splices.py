"""What edit lists and cuts leave of a file: exactly those pictures, round after round, with their sound."""

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from media.channel.worker import file_tracks
from media.channel.worker.transcode_file import reasons
from media.mp4 import intake
from tests.media.channel.worker.test_package_play import packaged, played, rounds
from tests.support import clips
from tests.support.clips import Clip
from tests.support.mp4_editing import Part, edited

pytestmark = [pytest.mark.media, pytest.mark.debian]

CLOSED = Clip(b_frames=0, sound=Fraction(4))
OPEN_HEVC = "keyint=28:min-keyint=28:scenecut=0:open-gop=1:bframes=3:b-adapt=0:log-level=none"
OPEN_AVC = "keyint=28:min-keyint=28:scenecut=0:open-gop=1:bframes=3:b-adapt=0"


def looks(path: Path) -> list[bytes]:
    """A small grey version of each picture, which says which one it is, recoded or not."""
    with av.open(str(path)) as container:
        return [
            b"".join(bytes(frame.reformat(64, 36, "gray").planes[0])[row * 64 : row * 64 + 64] for row in range(36))
            for frame in container.decode(video=0)
        ]


def numbers(path: Path, whole: Path) -> list[int]:
    """Which pictures of `whole` there are in the other file."""
    known = looks(whole)

    def like(one: bytes) -> int:
        return min(range(len(known)), key=lambda n: sum(abs(a - b) for a, b in zip(one, known[n], strict=True)))

    known = [each[::7] for each in known]
    return [like(one[::7]) for one in looks(path)]


def shown(path: Path, whole: Path, folder: Path, count: int = 2) -> tuple[list[int], set[str]]:
    """The pictures of some rounds of a file, and which of its tracks are recoded; their steps in time are even."""
    index, _ = packaged(path, folder / "package")
    made = rounds(index, folder / "package", count)
    result = played(made, folder / "rounds.mp4")
    assert result.complaints == ""
    assert all(abs(b - a - 0.04) < 0.001 for a, b in pairwise(result.pictures))
    assert float(index.seconds) == pytest.approx(len(result.pictures) / count / 25)
    return numbers(folder / "rounds.mp4", whole), {track for track, _ in index.head.recoded}


@pytest.mark.parametrize(
    ("clip", "parts", "due", "recoded"),
    [
        (CLOSED, [(2.6, 0)], [*range(65)], set()),
        (CLOSED, [(3, 1)], [*range(25, 100)], set()),
        (CLOSED, [(1, 0), (1, 3)], [*range(25), *range(75, 100)], set()),
        (CLOSED, [(0.6, None), (1, 2)], [*range(50, 75)], set()),
        (CLOSED, [(2.6, 1.4)], [*range(35, 100)], {"video"}),
        (CLOSED.but(b_frames=2), [(2, 0.2), (1, 3)], [*range(5, 55), *range(75, 100)], {"video"}),
        (CLOSED.but(b_frames=2), [(1.2, 0.2), (1, 2.4)], [*range(5, 35), *range(60, 85)], {"video"}),
        (CLOSED.but(b_frames=2), [(1, 0), (1, 3)], [*range(25), *range(75, 100)], set()),
        (CLOSED.but(b_frames=2, gop=250), [(1.2, 0)], [*range(30)], {"video"}),
    ],
    ids=[
        "its end",
        "its beginning",
        "its middle",
        "nothing first",
        "between keys",
        "two parts",
        "two more",
        "whole groups",
        "among B-frames",
    ],
)
def test_an_edit_list_leaves_exactly_the_pictures_that_it_names(
    clip: Clip, parts: list[Part], due: list[int], recoded: set[str], tmp_path: Path
) -> None:
    whole = clips.make(tmp_path / "whole.mp4", clip)
    path = tmp_path / "edited.mp4"
    path.write_bytes(whole.read_bytes())
    for kind in (b"vide", b"soun"):
        edited(path, kind, *parts)
    assert shown(path, whole, tmp_path) == (due * 2, recoded)


@pytest.mark.parametrize(("gop", "first"), [(25, 33), (250, 33)])
def test_a_cut_without_recoding_begins_where_it_was_cut(gop: int, first: int, tmp_path: Path) -> None:
    whole = clips.make(tmp_path / "whole.mp4", Clip(gop=gop))
    cut = tmp_path / "cut.mp4"
    command = ["ffmpeg", "-v", "error", "-ss", "1.32", "-i", str(whole), "-c", "copy", str(cut)]
    subprocess.run(command, timeout=60, check=True)
    assert shown(cut, whole, tmp_path) == ([*range(first, 100)] * 2, {"video"})


@pytest.mark.parametrize(("codec", "recoded"), [("libx265", set()), ("libx264", {"video"})])
def test_a_file_that_begins_in_an_open_group_loops_without_a_complaint(
    codec: str, recoded: set[str], tmp_path: Path
) -> None:
    """H.265 by a BLA picture; H.264 has nothing of that kind."""
    options = ["-x265-params", OPEN_HEVC] if codec == "libx265" else ["-x264-params", OPEN_AVC]
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-pix_fmt", "yuv420p"]
    encode = ["ffmpeg", "-v", "error", *source, "-c:v", codec, "-preset", "ultrafast", *options, "-tag:v"]
    subprocess.run([*encode, "hvc1" if codec == "libx265" else "avc1", str(whole)], timeout=60, check=True)
    copy = ["ffmpeg", "-v", "error", "-ss", "1.12", "-i", str(whole), "-c", "copy", str(cut)]
    subprocess.run(copy, timeout=60, check=True)
    assert shown(cut, whole, tmp_path, 3) == ([*range(28, 100)] * 3, recoded)


@pytest.mark.parametrize(("seconds", "recoded"), [(4, False), (12, True)])
def test_h264_begins_only_with_pictures_that_need_no_others(seconds: int, recoded: bool, tmp_path: Path) -> None:
    """A file of open groups has one such picture: where the next would be too far, it is recoded."""
    path = tmp_path / "open.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=25:duration={seconds}", "-pix_fmt", "yuv420p"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", OPEN_AVC]
    subprocess.run(["ffmpeg", "-v", "error", *source, *encode, str(path)], timeout=60, check=True)
    index, _ = packaged(path, tmp_path / "package")
    assert bool(index.head.recoded) is recoded
    assert sum(entry.independent for entry in index.entries) == (seconds // 2 if recoded else 1)


def test_a_file_without_an_edit_is_only_looked_at_in_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.make(tmp_path / "clip.mp4", Clip())
    read: list[int] = []
    packets = file_tracks.packets

    def counted(*what: object) -> object:
        for packet in packets(*what):  # type: ignore[arg-type]
            read.append(packet.size)
            yield packet

    monkeypatch.setattr(file_tracks, "packets", counted)
    fd = intake.open_regular(path)
    survey = intake.survey(fd)
    with file_tracks.open_container(fd, survey) as container:
        assert not reasons(container, fd, survey, marked=False).any
    assert read == []


@pytest.mark.parametrize("milliseconds", ["2.5", "20", "40", "60"])
def test_opus_of_any_packet_length_stays_in_step(milliseconds: str, tmp_path: Path) -> None:
    flat = clips.make(tmp_path / "flat.mp4", CLOSED.but(seconds=Fraction(2), sound=Fraction(2)))
    path = tmp_path / "opus.mp4"
    encoder = ["-c:v", "copy", "-c:a", "libopus", "-strict", "-2", "-frame_duration", milliseconds]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(flat), *encoder, str(path)], timeout=60, check=True)
    index, _ = packaged(path, tmp_path / "package")
    assert {track for track, _ in index.head.recoded} == ({"audio"} if milliseconds == "60" else set())
    assert index.warnings == ()
    result = played(rounds(index, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(set(result.audio_steps)) == 1
    assert abs(result.sounds[-1] - result.pictures[-1]) < 0.1
