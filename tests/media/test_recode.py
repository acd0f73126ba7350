"""What is kept as it is, and what is recoded: each codec over three rounds in Debian's ffmpeg."""

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from media import intake, package
from media.package import Options, Recoding
from tests.media import clips
from tests.media.clips import Clip
from tests.media.test_package_play import packaged, played, rounds

pytestmark = [pytest.mark.media, pytest.mark.debian]

SHORT = Clip(seconds=Fraction(2), sound=Fraction(2))

KEPT = {
    "H.265": SHORT.but(video="libx265"),
    "MP3": SHORT.but(audio="libmp3lame"),
    "Opus": SHORT.but(audio="libopus"),
}
RECODED = {
    "MPEG-4 ASP": (SHORT.but(video="mpeg4", b_frames=0), {"video"}),
    "4:2:2": (SHORT.but(pix_fmt="yuv422p"), {"video"}),
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


@pytest.mark.parametrize("name", RECODED)
def test_another_codec_is_recoded_once_and_says_why(name: str, tmp_path: Path) -> None:
    clip, tracks = RECODED[name]
    made, events = packaged(clips.make(tmp_path / f"clip.{clip.format}", clip), tmp_path / "package")
    assert {track for track, reason in made.head.recoded if reason} == tracks
    told = [event.percent for event in events if isinstance(event, Recoding)]
    assert told == sorted(set(told))
    assert len(told) > 3
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
