"""The clip and the programme made of it: what joins, what repeats, what decodes."""

from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.faultcamera.broadcast import UnitCursor
from media.faultcamera.clip import marks
from media.faultcamera.clip.clip import make_tracks, split_annex_b
from media.faultcamera.clip.track import ClipTrack, ClipUnit
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from tests.media.faultcamera.test_rtp import unpack

SMALL = ClipSettings(width=160, height=120, fps=Fraction(10), gop=0.5, bitrate=100_000)


def annex_b(unit: ClipUnit) -> bytes:
    return b"".join(b"\0\0\0\1" + nal for nal in unpack(unit.payloads))


def numbers(units: list[ClipUnit]) -> list[int | None]:
    """Decodes video units and reads the frame numbers from the pictures; raises on any decoding error."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    packets: list[av.Packet[Any] | None] = [av.Packet(annex_b(unit)) for unit in units]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [read(frame) for frame in frames]


def read(frame: av.VideoFrame) -> int | None:
    luma = frame.planes[0]
    return marks.read(memoryview(luma).cast("B"), luma.line_size, frame.width, frame.height)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_two_rounds_decode_without_an_error_and_show_every_number_in_order(b_frames: int) -> None:
    clip = ClipSettings(160, 120, Fraction(10), 0.5, 100_000, b_frames)
    video = make_tracks(clip)[0]

    assert numbers(list(video.units) * 2) == list(range(40)) * 2


def test_every_key_frame_carries_parameters_and_starts_a_picture_alone() -> None:
    video = make_tracks(SMALL)[0]
    keys = [index for index, unit in enumerate(video.units) if unit.key]

    assert keys == list(range(0, 40, 5))
    for index in keys:
        kinds = [nal[0] & 0x1F for nal in unpack(video.units[index].payloads)]
        assert kinds[:2] == [7, 8]
        assert kinds[2] == 5
        assert numbers(list(video.units[index : index + 5])) == list(range(index, index + 5))


def test_the_tracks_are_whole_seconds_long_and_their_times_even() -> None:
    video, audio = make_tracks(SMALL)

    assert (video.duration, audio.duration) == (4 * 90_000, 8 * 48_000)
    assert [unit.time for unit in video.units] == list(range(0, 360_000, 9_000))
    assert [unit.time for unit in audio.units] == list(range(0, 384_000, 1024))


def test_without_audio_there_is_one_track() -> None:
    assert [track.kind for track in make_tracks(ClipSettings(160, 120, audio=False))] == ["video"]


@pytest.mark.parametrize("fps", [Fraction(1, 5), Fraction(7), Fraction(30000, 1001), Fraction(120)])
def test_odd_frame_rates_make_whole_gops(fps: Fraction) -> None:
    video = make_tracks(ClipSettings(80, 80, fps, audio=False))[0]

    assert video.duration == pytest.approx(float(len(video.units) / fps * 90_000), abs=1)
    assert len(video.units) % ClipSettings(80, 80, fps).gop_frames == 0


@given(st.integers(0, 65535), st.sampled_from([80, 160, 640, 1920]))
def test_a_number_is_read_as_it_was_written(number: int, width: int) -> None:
    luma = bytearray(b"\x60" * (width + 32) * 80)

    marks.write(memoryview(luma), width + 32, width, 80, number)

    assert marks.read(bytes(luma), width + 32, width, 80) == number
    assert marks.read(bytes(len(luma)), width + 32, width, 80) is None


def test_annex_b_is_split_at_short_and_long_start_codes() -> None:
    assert list(split_annex_b(b"\0\0\0\1\x67a\0\0\1\x68b\0\0\0\1\x65\0\0\3\1")) == [b"\x67a", b"\x68b", b"\x65\0\0\3\1"]


LOOP = ClipTrack(
    "video", 96, 10, 40, tuple(ClipUnit(time, time - 5, time % 20 == 0, ()) for time in range(0, 40, 10)), ()
)


@given(st.integers(0, 10**9).map(lambda tenths: tenths / 10), st.integers(0, 50))
def test_a_cursor_that_skips_stands_where_one_that_walks_would(seconds: float, steps: int) -> None:
    cursor = UnitCursor(LOOP)
    for _ in range(steps):
        cursor.advance()
    before = cursor.due

    cursor.skip_to(seconds)

    assert cursor.due >= before
    assert cursor.ticks == cursor.base + 10 * cursor.position
    assert cursor.base % 40 == 0
    if before < seconds:
        assert seconds <= cursor.due < seconds + 1


def test_who_joins_waits_for_the_next_key_unit() -> None:
    cursor = UnitCursor(LOOP)
    cursor.advance()

    assert cursor.ahead(0.0).ticks == 20
    assert cursor.ahead(1.6).ticks == 40
    assert cursor.ticks == 10


def test_a_camera_of_jpegs_of_the_usual_size_has_a_smaller_one_too() -> None:
    clip = ClipSettings(fps=Fraction(1), audio=False, codec="mjpeg")
    small = Camera(CameraSettings(clip=clip))._small()
    heads = [unit.payloads[0].data for unit in small.units]
    assert {(head[6] * 8, head[7] * 8) for head in heads} == {(320, 176)}  # RFC 2435, 3.1: in eights
