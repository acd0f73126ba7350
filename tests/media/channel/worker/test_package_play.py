"""Packages of generated files, played by Debian's ffmpeg over several rounds."""

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from media.channel.packages.index import Index
from media.channel.playlist.loop import Loop
from media.channel.worker import package
from media.channel.worker.package import Options
from media.mp4 import fmp4, intake
from media.process.messages import WarningRaised
from tests.support import clips
from tests.support.clips import Clip

pytestmark = [pytest.mark.media, pytest.mark.debian]


def packaged(path: Path, folder: Path) -> tuple[Index, list[package.PackageEvent]]:
    """The package of a file in `folder`, and what was told on the way."""
    folder.mkdir()
    events: list[package.PackageEvent] = []
    fd = intake.open_regular(path)
    index = package.package(fd, folder, Options(), events.append)
    return index, events


def rounds(index: Index, folder: Path, count: int) -> bytes:
    """The init and every chunk of the first rounds, as a viewer gets them."""
    data = (folder / "chunks.bin").read_bytes()
    loop = Loop.of(index)
    stream: list[bytes | bytearray] = [index.head.init.data]
    for number in range(count * loop.chunk_count):
        for piece in loop.pieces(number):
            fragment = bytearray(data[piece.offset : piece.offset + piece.size])
            fmp4.stamp(fragment, piece.sequence, piece.decode_time)
            stream += [fragment]
    return b"".join(stream)


@dataclass(frozen=True)
class Played:
    """What ffmpeg and ffprobe say of a stream; times in seconds."""

    complaints: str
    pictures: list[float]
    sounds: list[float]
    video_steps: list[int]  # decode times of packets, differences
    audio_steps: list[int]


def played(stream: bytes, path: Path) -> Played:
    path.write_bytes(stream)
    # Without the last two options ffmpeg rounds the times of a variable frame rate to its mean rate, and complains.
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-fps_mode", "passthrough"]
    decoded = subprocess.run(
        [*command, "-enc_time_base:v", "-1", "-f", "null", "-"], capture_output=True, text=True, timeout=60, check=False
    )
    assert decoded.returncode == 0, decoded.stderr
    probe = ["ffprobe", "-v", "warning", "-of", "json", "-show_frames", "-show_packets", str(path)]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=True)
    entries = json.loads(done.stdout)["packets_and_frames"]
    frames = [one for one in entries if one["type"] == "frame"]
    packets = [one for one in entries if one["type"] == "packet"]
    return Played(
        decoded.stderr + done.stderr,
        [float(one["pts_time"]) for one in frames if one["media_type"] == "video"],
        [float(one["pts_time"]) for one in frames if one["media_type"] == "audio"],
        [b - a for a, b in pairwise(int(one["dts"]) for one in packets if one["codec_type"] == "video")],
        [b - a for a, b in pairwise(int(one["dts"]) for one in packets if one["codec_type"] == "audio")],
    )


CLIPS: dict[str, Clip] = {
    "B-frames and AAC": Clip(),
    "no audio": Clip(sound=None),
    "audio 1.6 s shorter": Clip(sound=Fraction(12, 5)),
    "audio 1.6 s longer": Clip(sound=Fraction(28, 5)),
    "30 fps": Clip(rate=Fraction(30), gop=30),
    "29.97 fps": Clip(rate=Fraction(30000, 1001), gop=30),
    "44.1 kHz mono": Clip(sample_rate=44100, layout="mono"),
    "no B-frames, one GOP": Clip(b_frames=0, gop=250),
    "deep pyramid": Clip(b_frames=7, gop=50),
    "fragmented": Clip(muxer={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "faststart": Clip(muxer={"movflags": "faststart"}),
    "QuickTime": Clip(format="mov"),
    "odd length": Clip(seconds=Fraction(81, 25), sound=Fraction(81, 25)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_three_rounds_play_without_a_seam(name: str, tmp_path: Path) -> None:
    clip = CLIPS[name]
    folder = tmp_path / "package"
    index, _ = packaged(clips.make(tmp_path / f"clip.{clip.format}", clip), folder)
    result = played(rounds(index, folder, 3), tmp_path / "rounds.mp4")

    assert result.complaints == ""
    assert index.seconds == clip.frames / clip.rate
    assert len(result.pictures) == 3 * clip.frames
    frame = 1 / clip.rate
    assert all(abs(b - a - frame) < 0.001 for a, b in pairwise(result.pictures))
    assert set(result.video_steps) == {index.length // clip.frames}
    assert set(result.audio_steps) == (set() if clip.sound is None else {1024})
    if clip.sound is not None:
        assert abs(result.sounds[0] - result.pictures[0]) < 0.022
        assert abs(result.sounds[-1] - result.pictures[-1]) < 0.022 + frame


def test_a_variable_frame_rate_keeps_its_cadence(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mp4"
    picture = "testsrc2=size=320x180:rate=50:duration=4,select='if(lt(t,2),not(mod(n,2)),not(mod(n,5)))'"
    source = f"-v error -f lavfi -i {picture} -fps_mode vfr"
    encoder = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 25 -x264-params scenecut=0"
    subprocess.run(["ffmpeg", *source.split(), *encoder.split(), str(path)], timeout=60, check=True)
    index, _ = packaged(path, tmp_path / "package")
    result = played(rounds(index, tmp_path / "package", 2), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 140
    steps = [round(b - a, 3) for a, b in pairwise(result.pictures)]
    assert steps[:49] == [0.04] * 49
    assert steps[50:69] == [0.1] * 19
    assert steps[70:119] == [0.04] * 49
    assert min(result.video_steps) > 0


@pytest.mark.parametrize(("frames", "times"), [(1, 13), (2, 7), (12, 2)])
def test_a_tiny_file_is_repeated_until_the_loop_is_half_a_second(frames: int, times: int, tmp_path: Path) -> None:
    clip = Clip(seconds=Fraction(frames, 25), sound=None)
    index, _ = packaged(clips.make(tmp_path / "tiny.mp4", clip), tmp_path / "package")
    assert index.seconds == Fraction(frames * times, 25)
    result = played(rounds(index, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 3 * frames * times
    assert set(result.video_steps) == {index.length // (frames * times)}


def test_the_audio_of_a_tiny_file_is_repeated_with_it(tmp_path: Path) -> None:
    clip = Clip(seconds=Fraction(6, 25), sound=Fraction(6, 25))
    index, _ = packaged(clips.make(tmp_path / "tiny.mp4", clip), tmp_path / "package")
    assert index.warnings == ()
    result = played(rounds(index, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert set(result.audio_steps) == {1024}


@pytest.mark.parametrize(
    ("sound", "code"), [(Fraction(12, 5), "audio-filled"), (Fraction(28, 5), "audio-cut"), (Fraction(4), None)]
)
def test_audio_that_does_not_last_as_long_as_the_video_is_said(
    sound: Fraction, code: str | None, tmp_path: Path
) -> None:
    index, events = packaged(clips.make(tmp_path / "clip.mp4", Clip(sound=sound)), tmp_path / "package")
    expected = [] if code is None else [code]
    assert [one for one, _ in index.warnings] == expected
    assert [one.code for one in events if isinstance(one, WarningRaised)] == expected


def test_a_truncated_file_loops_what_is_whole(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", Clip(muxer={"movflags": "faststart"}))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    index, _ = packaged(path, tmp_path / "package")
    assert "truncated" in [code for code, _ in index.warnings]
    assert Fraction(1) < index.seconds < Fraction(3)
    result = played(rounds(index, tmp_path / "package", 3), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 3 * 25 * index.seconds


def test_a_truncated_fragmented_file_loops_its_whole_fragments(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", CLIPS["fragmented"])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    index, _ = packaged(path, tmp_path / "package")
    assert "truncated" in [code for code, _ in index.warnings]
    result = played(rounds(index, tmp_path / "package", 2), tmp_path / "rounds.mp4")
    assert result.complaints == ""
    assert len(result.pictures) == 2 * 25 * index.seconds
