"""What is kept as it is, and what is recoded: each codec over three rounds in Debian's ffmpeg."""

import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from media.channel.packages.index import Entry, Head
from media.channel.worker import file_tracks, package, transcode_file
from media.channel.worker.package import Options, PackageEvent, Recoding, TracksFound, Wrote
from media.effects import pixels
from media.effects.overlay import Mark
from media.faults import Fault
from media.mp4 import intake
from media.placement import Placement
from tests.media.channel.worker.test_package_play import packaged, played, rounds
from tests.support import clips
from tests.support.clips import Clip

pytestmark = [pytest.mark.media, pytest.mark.debian]

SHORT = Clip(seconds=Fraction(2), sound=Fraction(2))

KEPT = {
    "H.265": SHORT.but(video="libx265"),
    "Opus": SHORT.but(audio="libopus"),
}
RECODED = {
    "MPEG-4 ASP": (SHORT.but(video="mpeg4", b_frames=0), {"video"}),
    "4:2:2": (SHORT.but(pix_fmt="yuv422p"), {"video"}),
    "MP3, which no browser takes in MP4 by MSE": (SHORT.but(audio="libmp3lame"), {"audio"}),
    "MP2, likewise": (SHORT.but(audio="mp2"), {"audio"}),
    "AAC in frames of 64 ms": (SHORT.but(sample_rate=16000), {"audio"}),
    "AC-3": (SHORT.but(audio="ac3"), {"audio"}),
    "ALAC in QuickTime": (SHORT.but(audio="alac", format="mov"), {"audio"}),
    "PCM in QuickTime": (SHORT.but(audio="pcm_s16le", format="mov"), {"audio"}),
    "VP9 and AC-3": (SHORT.but(video="libvpx-vp9", audio="ac3"), {"video", "audio"}),
    "ProRes": (SHORT.but(video="prores_ks", pix_fmt="yuv422p10le", format="mov"), {"video"}),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_codec_that_the_container_carries_is_kept(name: str, tmp_path: Path) -> None:
    clip = KEPT[name]
    made, events = packaged(clips.make(tmp_path / "clip.mp4", clip), tmp_path / "package")
    assert made.head.recoded == ()
    assert not [event for event in events if isinstance(event, Recoding)]
    result = played(rounds(made, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 150
    assert len(set(result.audio_steps)) == 1
    assert abs(result.sounds[-1] - result.pictures[-1]) < 0.1


def test_a_file_of_a_codec_that_hardly_anybody_uses_is_refused_though_ffmpeg_knows_it(tmp_path: Path) -> None:
    clip = SHORT.but(video="qtrle", pix_fmt="rgb24", b_frames=0, format="mov")
    with pytest.raises(Fault, match="codec-unsupported"):
        packaged(clips.make(tmp_path / "clip.mov", clip), tmp_path / "package")


@pytest.mark.parametrize("name", RECODED)
def test_another_codec_is_recoded_once_and_says_why(name: str, tmp_path: Path) -> None:
    clip, file_tracks = RECODED[name]
    made, events = packaged(clips.make(tmp_path / f"clip.{clip.format}", clip), tmp_path / "package")
    assert {track for track, reason in made.head.recoded if reason} == file_tracks
    assert isinstance(events[0], Recoding)
    assert sorted(path.name for path in (tmp_path / "package").iterdir()) == ["chunks.bin", "index.json"]
    assert made.head.init.codecs.startswith("avc1.")
    result = played(rounds(made, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 150
    assert made.seconds == 2


@pytest.mark.parametrize(("video", "recoded"), [("libx264", False), ("mpeg4", True)])
def test_a_turned_picture_stays_turned(video: str, recoded: bool, tmp_path: Path) -> None:
    flat = clips.make(tmp_path / "flat.mp4", SHORT.but(video=video, b_frames=0))
    turned = tmp_path / "turned.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(flat), "-c", "copy", "-metadata:s:v", "rotate=90", str(turned)]
    subprocess.run(command, timeout=60, check=True)
    made, _ = packaged(turned, tmp_path / "package")
    track = made.head.init.video
    assert track is not None
    assert (track.width, track.height) == (clips.HEIGHT, clips.WIDTH)
    assert bool(made.head.recoded) is recoded


@pytest.mark.parametrize(("video", "turned"), [("libx264", False), ("mpeg4", False), ("mpeg4", True)])
def test_pixels_that_are_not_square_keep_their_shape(video: str, turned: bool, tmp_path: Path) -> None:
    flat = clips.make(tmp_path / "flat.mp4", SHORT.but(seconds=Fraction(1), sound=None))
    wide = tmp_path / "wide.mp4"
    encoder = ["-vf", "setsar=2/1", "-c:v", video, "-pix_fmt", "yuv420p", str(wide)]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(flat), *encoder], timeout=60, check=True)
    path = tmp_path / "clip.mp4"
    turn = ["-metadata:s:v", "rotate=90"] if turned else []
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(wide), "-c", "copy", *turn, str(path)], timeout=60, check=True)
    made, _ = packaged(path, tmp_path / "package")
    track = made.head.init.video
    assert track is not None
    shown = (2 * clips.WIDTH, clips.HEIGHT)
    # Turned, the pixels are half as wide as they are high: players measure the width in them.
    assert (track.width, track.height) == ((clips.HEIGHT // 2, clips.WIDTH) if turned else shown)
    (tmp_path / "round.mp4").write_bytes(rounds(made, tmp_path / "package", 1))
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=sample_aspect_ratio", "-of", "csv=p=0"]
    told = subprocess.run([*probe, str(tmp_path / "round.mp4")], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == ("1:2" if turned else "2:1")


def test_recoding_goes_no_further_than_what_was_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.make(tmp_path / "clip.mp4", Clip(seconds=Fraction(20), video="mpeg4", b_frames=0, audio="ac3"))
    read: list[int] = []
    packets = file_tracks.packets

    def counted(*what: Any) -> Iterator[Any]:
        for packet in packets(*what):
            read.append(packet.stream.type == "video")
            yield packet

    monkeypatch.setattr(file_tracks, "packets", counted)
    seen: list[tuple[float, int]] = []

    def emit(event: PackageEvent) -> None:
        if isinstance(event, Wrote):
            seen.append((event.done, sum(read)))

    (tmp_path / "package").mkdir()
    package.package(intake.open_regular(path), tmp_path / "package", Options(), emit)
    assert len(seen) > 40
    assert all(frames < 25 * (done + 7) for done, frames in seen)  # a group to cut evenly, and what encoders hold back


def test_a_channel_begins_when_recoding_will_stay_ahead_of_it() -> None:
    now = [0.0]
    for speed, begins in ((2.0, 2.4), (1.0, 10.0), (0.5, 35.0)):
        pace = package.Headstart(Fraction(2), lambda: now[0])
        now[0] = 0.0
        pace.begin()
        pace.may_play(TracksFound(cast(Head, None), 60.0))
        for tenths in range(1, 600):
            done = tenths / 10
            now[0] = done / speed
            if pace.may_play(Wrote(cast(Entry, None), done)):
                break
        assert done == pytest.approx(begins, abs=0.5)
        # So it is: what is left takes less time than what is watched.
        assert now[0] + (60 - done) / speed <= now[0] + 60


def test_a_watermark_is_burnt_in_and_nothing_else_changes(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", SHORT)
    made = []
    for x in (16, 32):
        mark = Mark(pixels.from_rows(40, 20, bytes((255, 0, 0, 255)) * 800), Placement(x=x, y=16))
        folder = tmp_path / f"package{x}"
        folder.mkdir()
        made.append(package.package(intake.open_regular(path), folder, Options(mark=mark), lambda _: None))
    one, other = made
    assert one.head.recoded == (("video", transcode_file.BURNT_IN),)
    assert one.head.init.data == other.head.init.data  # so one gives way to the other without a seam
    assert one.head.init.codecs.endswith("mp4a.40.2")
    assert one.head.target == 2
    assert one.seconds == 2
    result = played(rounds(one, tmp_path / "package16", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert (len(result.pictures), set(result.audio_steps)) == (150, {1024})
    assert all(abs(b - a - 0.04) < 0.001 for a, b in pairwise(result.pictures))
    assert abs(result.sounds[0] - result.pictures[0]) < 0.022


def test_several_tracks_and_cover_art_give_the_largest_video_and_the_first_audio(tmp_path: Path) -> None:
    small = clips.make(tmp_path / "small.mp4", SHORT.but(size=(160, 90)))
    large = clips.make(tmp_path / "large.mp4", SHORT)
    cover = tmp_path / "cover.jpg"
    picture = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x640", "-frames:v", "1", str(cover)]
    subprocess.run(picture, timeout=60, check=True)
    both = tmp_path / "both.mp4"
    inputs = [word for path in (small, large, cover) for word in ("-i", str(path))]
    maps = [word for each in ("0:v", "1:v", "2:v", "0:a", "1:a") for word in ("-map", each)]
    command = ["ffmpeg", "-v", "error", *inputs, *maps, "-c", "copy", "-disposition:v:2", "attached_pic", str(both)]
    subprocess.run(command, timeout=60, check=True)
    made, _ = packaged(both, tmp_path / "package")
    track = made.head.init.video
    assert track is not None
    assert (track.width, track.height, made.head.recoded) == (320, 180, ())
    assert made.head.init.audio is not None


def test_a_truncated_file_is_recoded_as_far_as_it_goes(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", SHORT.but(video="mpeg4", b_frames=0, muxer={"movflags": "faststart"}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "package").mkdir()
    made = package.package(intake.open_regular(path), tmp_path / "package", Options(), lambda _: None)
    assert "truncated" in dict(made.warnings)
    assert 0 < made.seconds < 2


def test_sound_of_a_codec_that_is_not_decoded_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    clip = SHORT.but(audio="pcm_f64le", format="mov")
    index, _ = packaged(clips.make(tmp_path / "clip.mov", clip), tmp_path / "package")
    assert [code for code, _ in index.warnings] == ["audio-unsupported"]
    assert index.head.init.audio is None
