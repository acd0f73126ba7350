"""Pictures that no browser plays, made H.264: every stamp kept, key frames on a grid, nothing without leave."""

import io
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.camera.worker.transcode_packets import PacketTranscoder
from media.codecs import libav
from media.codecs.aac_encoder import sound_of
from media.faults import Fault
from tests.support import clips
from tests.support.clips import Clip

pytestmark = pytest.mark.media

FRAMES = 60


def film(codec: str, width: int = 160, height: int = 120) -> InputContainer:
    """Grey pictures at 25 a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        track = container.add_stream(codec, rate=25)
        assert isinstance(track, VideoStream)
        track.width, track.height, track.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(FRAMES):
            frame = VideoFrame(width, height, track.pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([number]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return av.open(io.BytesIO(buffer.getvalue()), mode="r")


def asked(*_: object) -> None:
    """There is always room."""


def test_a_camera_of_a_codec_that_hardly_anybody_uses_is_refused_though_ffmpeg_knows_it() -> None:
    with pytest.raises(ValueError, match="ffv1 is none of those that are decoded"):
        PacketTranscoder(film("ffv1").streams.video[0], asked)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libvpx"])
def test_every_picture_keeps_its_stamp_and_every_fiftieth_is_a_key_frame(codec: str) -> None:
    source = film(codec)
    transcoder = PacketTranscoder(source.streams.video[0], asked)
    packets = [packet for packet in source.demux() if packet.size]
    shown = sorted(packet.pts or 0 for packet in packets)
    made = [each for packet in packets for each in transcoder.packets(packet)]
    held_back = FRAMES - len(made)  # a decoder that reorders keeps the last one
    assert held_back <= 1
    assert [each.pts for each in made] == shown[: len(made)]
    assert [number for number, each in enumerate(made) if each.is_keyframe] == [0, 50]
    proof = libav.prove_keyframe(transcoder.stream, bytes(made[0]))
    assert proof is not None
    assert (proof.codec, proof.width, proof.height, proof.fps, proof.reorder) == ("h264", 160, 120, 25, 0)


def test_odd_sides_lose_a_line() -> None:
    source = film("mjpeg", 161, 121)
    sizes: list[tuple[float, ...]] = []
    transcoder = PacketTranscoder(source.streams.video[0], lambda *size: sizes.append(size))
    made = [each for packet in source.demux() if packet.size for each in transcoder.packets(packet)]
    assert len(made) == FRAMES
    assert sizes == [(160, 120, 25.0)]


def test_damaged_pictures_and_those_that_come_too_late_are_left_out() -> None:
    source = film("mjpeg")
    transcoder = PacketTranscoder(source.streams.video[0], asked)
    made = []
    for number, packet in enumerate(packet for packet in source.demux() if packet.size):
        if number == 3:
            broken = av.Packet(b"\xff\xd8" + bytes(300))
            broken.pts, broken.time_base = packet.pts, packet.time_base
            made += list(transcoder.packets(broken))
        else:
            made += list(transcoder.packets(packet, skip=number == 5))
    assert len(made) == FRAMES - 2


def test_nothing_is_encoded_without_leave() -> None:
    def refuse(*_: object) -> None:
        raise Fault("capacity-exceeded", "no room")

    source = film("mjpeg")
    transcoder = PacketTranscoder(source.streams.video[0], refuse)
    with pytest.raises(Fault):
        list(transcoder.packets(next(source.demux())))
    with pytest.raises(RuntimeError):
        _ = transcoder.stream


@pytest.mark.parametrize(
    ("codec", "reason"),
    [
        ("libsvtav1", "av1 is not passed on as it is; H.264 and H.265 are"),
        ("libvpx-vp9", "vp9 is not passed on as it is; H.264 and H.265 are"),
        ("mpeg4", "mpeg4 is played by no browser"),
    ],
)
def test_the_reason_names_the_codec_and_does_not_say_of_av1_that_no_browser_plays_it(codec: str, reason: str) -> None:
    assert PacketTranscoder(film(codec).streams.video[0], asked).reason == reason


@pytest.mark.parametrize(
    ("codec", "reason"),
    [("libopus", "opus is not passed on as it is; AAC is"), ("ac3", "ac3 is played by no browser")],
)
def test_the_reason_of_sound_names_its_codec_and_not_its_decoder(codec: str, reason: str, tmp_path: Path) -> None:
    clip = Clip(video=None, sound=Fraction(1), audio=codec, layout="mono", format="matroska")
    with av.open(str(clips.make(tmp_path / "sound.mkv", clip))) as container:
        assert sound_of(container.streams.audio[0]).reason == reason


def test_sound_of_a_codec_that_ffmpeg_does_not_know_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="not known"):
        sound_of(SimpleNamespace(codec_context=None))  # type: ignore[arg-type]  # as PyAV gives it
