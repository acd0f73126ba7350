"""The clip: a few seconds of encoded pictures and sound, cut into RTP payloads once, to be replayed without an end."""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import av
import av.filter
from av.video.frame import PictureType

from media.camera import marks, rtp
from media.camera.settings import ClipSettings

VIDEO_CLOCK: Final = 90_000  # RFC 6184, 8.2.1
AUDIO_CLOCK: Final = 48_000
AAC_SAMPLES: Final = 1024
AUDIO_UNITS: Final = 375  # exactly eight seconds, the shortest whole number of seconds in whole AAC frames
WARM_UP: Final = 4  # AAC frames that are thrown away: the encoder's first ones hold its delay
MIN_SECONDS: Final = 4
SPS: Final = 7
PPS: Final = 8
SEI: Final = 6
AUD: Final = 9


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture or one AAC frame. `time` is when it is shown and `due` when it is sent, ticks from the loop's start.

    With B-frames `due` is before `time`, and below zero for the first units.
    """

    time: int
    due: int
    key: bool
    payloads: tuple[rtp.Payload, ...]


@dataclass(frozen=True)
class Track:
    """One endless medium: `units` in the order of sending, again and again, each round `duration` ticks after the last.

    `clock` is ticks a second; `sdp` are the attribute lines that tell a receiver the codec (RFC 8866, 5.13).
    """

    kind: str
    payload_type: int
    clock: int
    duration: int
    units: tuple[Unit, ...]
    sdp: tuple[str, ...]


@lru_cache(maxsize=8)
def make_tracks(settings: ClipSettings) -> tuple[Track, ...]:
    """Encodes the video track and, if wanted, the audio track. Takes about 0.3 s of CPU for 640x360 at 25 a second."""
    video = _video_track(settings)
    return (video, _audio_track()) if settings.audio else (video,)


def _video_track(settings: ClipSettings) -> Track:
    gops = max(1, math.ceil(MIN_SECONDS * settings.fps / settings.gop_frames))
    frames = gops * settings.gop_frames
    units = []
    parameters: dict[int, bytes] = {}
    for packet in _encode_video(settings, frames):
        nals = list(split_annex_b(bytes(packet)))
        parameters.update((nal[0] & 0x1F, nal) for nal in nals if nal[0] & 0x1F in (SPS, PPS))
        payloads = rtp.h264_payloads([nal for nal in nals if nal[0] & 0x1F not in (SEI, AUD)])
        assert packet.pts is not None
        assert packet.dts is not None
        units.append(Unit(_ticks(packet.pts, settings), _ticks(packet.dts, settings), packet.is_keyframe, payloads))
    sps, pps = parameters[SPS], parameters[PPS]
    sprop = ",".join(base64.b64encode(nal).decode() for nal in (sps, pps))
    sdp = (
        f"a=rtpmap:96 H264/{VIDEO_CLOCK}",
        f"a=fmtp:96 packetization-mode=1;profile-level-id={sps[1:4].hex().upper()};sprop-parameter-sets={sprop}",
        f"a=framerate:{float(settings.fps):g}",
    )
    return Track("video", 96, VIDEO_CLOCK, _ticks(frames, settings), tuple(units), sdp)


def _ticks(frames: int, settings: ClipSettings) -> int:
    return round(frames * VIDEO_CLOCK / settings.fps)


def _encode_video(settings: ClipSettings, frames: int) -> Iterator["av.Packet[Any]"]:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = settings.width, settings.height, "yuv420p"
    encoder.framerate, encoder.time_base = settings.fps, 1 / settings.fps
    encoder.gop_size, encoder.max_b_frames = settings.gop_frames, settings.b_frames
    encoder.bit_rate = settings.bitrate
    encoder.thread_count = 1
    # Headers before every key frame and key frames at the beat alone: whoever joins can decode at once.
    beat = f"keyint={settings.gop_frames}:min-keyint={settings.gop_frames}:scenecut=0:open-gop=0"
    encoder.options = {
        "preset": "superfast",
        "x264-params": f"{beat}:repeat-headers=1:b-adapt=0:rc-lookahead=0:sync-lookahead=0:mbtree=0",
    }
    for number, frame in enumerate(pictures(settings, frames)):
        frame.pts, frame.time_base, frame.pict_type = number, 1 / settings.fps, PictureType.NONE
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def pictures(settings: ClipSettings, frames: int) -> Iterator[av.VideoFrame]:
    graph = av.filter.Graph()
    source = graph.add("testsrc2", f"size={settings.width}x{settings.height}:rate={settings.fps}")
    pixels = graph.add("format", "pix_fmts=yuv420p")
    sink = graph.add("buffersink")
    source.link_to(pixels)
    pixels.link_to(sink)
    graph.configure()
    for number in range(frames):
        frame = sink.pull()
        assert isinstance(frame, av.VideoFrame)
        frame.make_writable()
        luma = frame.planes[0]
        marks.write(memoryview(luma).cast("B"), luma.line_size, settings.width, settings.height, number)
        yield frame


def split_annex_b(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream with start codes of three or four bytes (ITU-T H.264, Annex B)."""
    for piece in data.split(b"\x00\x00\x01")[1:]:
        nal = piece.rstrip(b"\x00")  # the fourth byte of the next start code; a NAL unit never ends in zero
        if nal:
            yield nal


def _audio_track() -> Track:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = AUDIO_CLOCK, "mono", "fltp"
    encoder.bit_rate = 64_000
    encoder.time_base = Fraction(1, AUDIO_CLOCK)
    encoder.open()
    config = bytes(encoder.extradata or b"")
    units: dict[int, Unit] = {}
    for packet in _encode_audio(encoder, AUDIO_UNITS + 2 * WARM_UP):
        assert packet.pts is not None
        index = packet.pts // AAC_SAMPLES
        if WARM_UP <= index < WARM_UP + AUDIO_UNITS:
            time = index % AUDIO_UNITS * AAC_SAMPLES  # the sound repeats every second, so what comes late fits early
            units[time] = Unit(time, time, True, (rtp.aac_payload(bytes(packet)),))
    sdp = (
        f"a=rtpmap:97 MPEG4-GENERIC/{AUDIO_CLOCK}/1",
        "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
        f"config={config.hex().upper()}",
    )
    ordered = tuple(units[time] for time in sorted(units))
    return Track("audio", 97, AUDIO_CLOCK, AUDIO_UNITS * AAC_SAMPLES, ordered, sdp)


def _encode_audio(encoder: av.AudioCodecContext, frames: int) -> Iterator["av.Packet[Any]"]:
    graph = av.filter.Graph()
    # A tone with a short beep at every full second: the same moment as a frame number that `fps` divides.
    tone = f"frequency=440:beep_factor=4:sample_rate={AUDIO_CLOCK}:samples_per_frame={AAC_SAMPLES}"
    source = graph.add("sine", tone)
    shape = graph.add("aformat", f"sample_fmts=fltp:channel_layouts=mono:sample_rates={AUDIO_CLOCK}")
    sink = graph.add("abuffersink")
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    for number in range(frames):
        frame = sink.pull()
        assert isinstance(frame, av.AudioFrame)
        frame.pts, frame.time_base = number * AAC_SAMPLES, Fraction(1, AUDIO_CLOCK)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)
