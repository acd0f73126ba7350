"""What `media.codecs.libav` gets from FFmpeg: inits, and key frames that are proven."""

import io
import random
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from media.chunk import AudioTrack, VideoTrack
from media.codecs import libav
from media.mp4 import fmp4, moov
from tests.support import clips
from tests.support.clips import Clip

pytestmark = pytest.mark.media

SHORT = Clip(seconds=Fraction(1, 5), sound=Fraction(1, 5))


def annexb(path: Path, codec: str) -> bytes:
    """The first access unit of an MP4 file as Annex B, with the parameter sets in front."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packet = next(packet for packet in container.demux(stream) if packet.size)
        data = b"".join(b"\0\0\0\1" + unit for unit in fmp4.split_prefixed(bytes(packet)))
        sink = io.BytesIO()
        with av.open(sink, "w", format=codec) as raw:  # FFmpeg turns the record into Annex B here
            copy = raw.add_stream_from_template(stream)
            packet.stream = copy
            raw.mux(packet)
    sets = fmp4.parameter_sets(sink.getvalue(), codec)
    return b"".join(b"\0\0\0\1" + one for one in sets if one not in data) + data


def raw(data: bytes, codec: str = "h264") -> VideoStream:
    """A stream with Annex B extradata, as an RTSP source has it."""
    return av.open(io.BytesIO(data), format=codec).streams.video[0]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.make(tmp_path_factory.mktemp("libav") / "clip.mp4", SHORT)


def test_an_init_declares_the_tracks_of_an_mp4(clip: Path) -> None:
    with av.open(str(clip)) as container:
        init = libav.init_segment(container.streams.video[0], container.streams.audio[0], 12800)
        again = libav.init_segment(container.streams.video[0], container.streams.audio[0], 12800)
    assert init.video == VideoTrack("avc1.4d400c", 12800, 320, 180, "Main", 25.0)
    assert init.audio == AudioTrack("mp4a.40.2", 48000, 48000, 2)
    assert init.id == again.id
    assert b"moof" not in init.data
    assert b"elst" not in init.data


def test_a_mono_track_is_declared_as_mono(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "mono.mp4", SHORT.but(video=None, layout="mono", sample_rate=44100))
    with av.open(str(path)) as container:
        init = libav.init_segment(None, container.streams.audio[0], 90000)
    assert (init.video, init.audio) == (None, AudioTrack("mp4a.40.2", 44100, 44100, 1))


def test_an_init_of_annex_b_extradata_is_that_of_the_mp4(clip: Path) -> None:
    with av.open(str(clip)) as container:
        expected = libav.init_segment(container.streams.video[0], None, 90000)
    stream = raw(annexb(clip, "h264"))
    assert (stream.codec_context.extradata or b"").startswith(b"\0\0")
    init = libav.init_segment(stream, None, 90000)
    assert init.video == expected.video
    assert init.audio is None
    assert libav.has_parameters(stream)


def test_h265_is_declared_as_hvc1(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", SHORT.but(video="libx265", sound=None))
    with av.open(str(path)) as container:
        init = libav.init_segment(container.streams.video[0], None, 90000)
    assert b"hvc1" in init.data
    assert init.video is not None
    assert init.video.codec.startswith("hvc1.1.6.L")
    data = annexb(path, "hevc")
    proof = libav.prove_keyframe(raw(data, "hevc"), data)
    assert proof is not None
    assert libav.live_init(proof, raw(data, "hevc"), None, 90000).video == init.video


def test_a_pixel_aspect_ratio_is_in_the_displayed_size(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", SHORT.but(sound=None))
    with av.open(str(path)) as container:
        plain = libav.init_segment(container.streams.video[0], None, 90000).data
    at = plain.index(b"avcC") - 4
    wide = bytearray(plain[:at] + b"\0\0\0\x10pasp\0\0\0\4\0\0\0\3" + plain[at:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        where = wide.index(name) - 4
        wide[where : where + 4] = (int.from_bytes(wide[where : where + 4]) + 16).to_bytes(4)
    video = moov.declared(bytes(wide)).video
    assert video is not None
    assert (video.width, video.height) == (427, 180)


def test_a_whole_key_frame_is_proven_and_says_what_it_is(clip: Path) -> None:
    data = annexb(clip, "h264")
    proof = libav.prove_keyframe(raw(data), data)
    assert proof is not None
    assert (proof.codec, proof.width, proof.height, proof.reorder, proof.fps) == ("h264", 320, 180, 2, 25.0)
    assert proof.parameter_sets == fmp4.parameter_sets(data)


def test_parameter_sets_from_the_session_description_are_enough(clip: Path) -> None:
    data = annexb(clip, "h264")
    stream = raw(data)
    bare = b"".join(b"\0\0\1" + unit for unit in fmp4.nal_units(data) if unit not in fmp4.parameter_sets(data))
    proof = libav.prove_keyframe(stream, bare)
    assert proof is not None
    assert libav.live_init(proof, stream, None, 90000).video == VideoTrack("avc1.4d400c", 90000, 320, 180, "Main", 25.0)


def test_flawed_key_frames_are_not_proven(clip: Path) -> None:
    data = annexb(clip, "h264")
    stream = raw(data)
    noise = random.Random(7).randbytes(200)
    middle = len(data) // 2
    assert libav.prove_keyframe(stream, data[:middle]) is None
    assert libav.prove_keyframe(stream, data[:middle] + noise + data[middle + 200 :]) is None
    assert libav.prove_keyframe(stream, b"\0\0\1\x65" + random.Random(8).randbytes(3000)) is None
    assert libav.prove_keyframe(stream, b"") is None
    assert libav.prove_keyframe(stream, b"".join(b"\0\0\1" + one for one in fmp4.parameter_sets(data))) is None


def test_a_picture_over_the_pixel_limit_is_not_decoded(clip: Path) -> None:
    data = annexb(clip, "h264")
    assert libav.prove_keyframe(raw(data), data, max_pixels=320 * 180 - 1) is None


def test_a_key_frame_of_an_mp4_is_proven_in_its_own_form(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        data = bytes(next(packet for packet in container.demux(stream) if packet.size))
        assert libav.decodes(stream, data)
        assert not libav.decodes(stream, data[:-200])


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08moov", b"\0\0\0\x10ftypisomisom"])
def test_bytes_without_a_track_are_no_init(data: bytes) -> None:
    with pytest.raises(ValueError, match="no track"):
        moov.declared(data)
