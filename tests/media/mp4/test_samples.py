"""Samples of copied tracks: what of them is mended, and that all else stays as it is, byte by byte."""

from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from media.codecs import libav
from media.mp4.samples import Samples, whole_sei
from tests.support import clips
from tests.support.clips import Clip

AVCC = bytes([1, 100, 0, 31, 0xFF])
HVCC = bytes([1]) + bytes(20) + b"\x03"
SLICE = b"\x65\x88\x84" + bytes(range(1, 60))
GOOD = b"\x06\x04\x03abc\x80"
BAD = b"\x06\x04\x04abc\x80"


def prefixed(*units: bytes, size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(size) + unit for unit in units)


@pytest.mark.parametrize(
    ("payload", "whole"),
    [
        (b"\x04\x03abc\x80", True),
        (b"\x04\x03abc\x05\x01x\x80", True),
        (b"\xff\x04\x03abc\x80", True),
        (b"\x04\x03abc\x80\0", True),
        (b"\x04\x04abc\x80", False),
        (b"\x04\x02abc\x80", False),
        (b"\x04\xff\xffabc\x80", False),
        (b"\x04\x03abc", False),
        (b"\x05\x04\0\0\3\0x\x80", True),  # four bytes, when the one that keeps start codes out is taken off
        (b"\x05\x05\0\0\3\0x\x80", False),
        (b"\x05\x03\0\0\3\1\x80", True),
        (b"", False),
    ],
)
def test_supplemental_information_is_whole_or_not(payload: bytes, whole: bool) -> None:
    assert whole_sei(payload) is whole


@pytest.mark.parametrize("size", [1, 2, 4])
def test_only_supplemental_information_that_does_not_fit_goes(size: int) -> None:
    samples = Samples("h264", bytes([1, 100, 0, 31, 0xFC | size - 1]))
    good = prefixed(b"\x09\xf0", GOOD, SLICE, size=size)
    assert samples.mended(good) == good
    assert samples.mended(prefixed(b"\x09\xf0", BAD, GOOD, SLICE, size=size)) == good


def test_a_sample_that_is_cut_short_stays_as_it_is() -> None:
    for data in (b"", b"\0\0", prefixed(SLICE)[:-9], prefixed(b"", SLICE)):
        assert Samples("h264", AVCC).mended(data) == data


def test_start_codes_in_place_of_lengths_become_lengths_and_key_frames_are_found_behind_them() -> None:
    samples = Samples("h264", AVCC)
    raw = b"\0\0\0\1" + GOOD + b"\0\0\1" + SLICE
    assert samples.is_key(raw, said=False)
    assert samples.mended(raw) == prefixed(GOOD, SLICE)
    assert not samples.is_key(b"\0\0\0\1\x41" + SLICE, said=False)
    short = Samples("h264", AVCC)  # the length of the first unit is one byte, which is no start code
    assert short.mended(prefixed(b"\x09", SLICE)) == prefixed(b"\x09", SLICE)


@pytest.mark.parametrize("kind", [16, 19, 20, 21])
def test_a_random_access_picture_takes_none_of_those_before_it(kind: int) -> None:
    header = bytes([kind << 1, 1])
    units = [header + b"\xe0\1\2\3\4\5", header + b"\x40\0\1\2\3\4", header + b"\x60\1\2\3\4\5"]
    mended = Samples("hevc", HVCC).mended(prefixed(*units))
    # The second would hold a start code now: a byte is put before it, as an encoder would.
    assert mended == prefixed(header + b"\xa0\1\2\3\4\5", header + b"\0\0\3\1\2\3\4", header + b"\x20\1\2\3\4\5")


def test_a_clean_random_access_picture_begins_anew_only_where_it_does_not_follow() -> None:
    data = prefixed(bytes([21 << 1, 1]) + b"\xa0\1\2\3\4")
    assert Samples("hevc", HVCC).mended(data) == data
    assert Samples("hevc", HVCC).mended(data, splice=True) == prefixed(bytes([18 << 1, 1]) + b"\xa0\1\2\3\4")


@pytest.mark.media
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_encoders_write_stays_as_it_is_and_decodes(codec: str, tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", Clip(video=codec, sound=None))
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert isinstance(video, VideoStream)
        samples = Samples(video.codec_context.name, video.codec_context.extradata or b"")
        packets = [packet for packet in container.demux(video) if packet.size]
        for packet in packets:
            assert samples.mended(bytes(packet)) == bytes(packet)
            assert samples.refreshes(bytes(packet)) is packet.is_keyframe
        assert libav.decodes(video, samples.mended(bytes(packets[0])))
