"""A real picture with sound, encoded once for the tests of watching, and put on the air in real time."""

import asyncio
import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import av.filter
from av.video.frame import PictureType

from media.chunk import AudioTrack, Init, VideoTrack
from media.ring import LiveRing

RATE, PER_CHUNK, TIMESCALE = 25, 10, 90_000
CHUNK_TICKS = TIMESCALE * PER_CHUNK // RATE


@dataclass(frozen=True)
class Recording:
    """An init and fragments of 0.4 s, each of which begins with a key frame."""

    init: Init
    fragments: tuple[bytes, ...]


@cache
def recording(seconds: int = 24, width: int = 640, height: int = 360) -> Recording:
    """H.264 and AAC: FFmpeg's test picture and a tone."""
    target = io.BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "video_track_timescale": str(TIMESCALE)}
    with av.open(target, "w", format="mp4", options=flags) as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(PER_CHUNK), "sc_threshold": "0"}
        video = container.add_stream("libx264", rate=RATE, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="stereo")
        pictures = _source("testsrc2", f"duration={seconds}:rate={RATE}:size={width}x{height}", "buffersink")
        tones = _source("sine", f"duration={seconds}:sample_rate=48000:samples_per_frame=1920", "abuffersink")
        for picture, tone in zip(pictures, tones, strict=True):
            picture.pict_type = PictureType.NONE  # the source marks each one as a key frame, and x264 would obey
            container.mux(video.encode(picture))
            container.mux(audio.encode(tone))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return _cut(target.getvalue(), width, height)


async def broadcast(ring: LiveRing, what: Recording, ahead: int = 0) -> None:
    """Appends `ahead` fragments at once and then one every 0.4 s, over and over, until it is cancelled.

    However long a busy machine takes for what a test does meanwhile, the stream does not end under its viewers.
    """
    start = asyncio.get_running_loop().time()
    for number in itertools.count():
        at = number % len(what.fragments)
        due = start + max(0, number - ahead) * PER_CHUNK / RATE
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        ring.append(what.init, at * CHUNK_TICKS, CHUNK_TICKS, True, what.fragments[at])


def _source(name: str, options: str, sink: str) -> Iterator[Any]:
    graph = av.filter.Graph()
    graph.link_nodes(graph.add(name, options), graph.add(sink)).configure()
    while True:
        try:
            yield graph.pull()
        except av.error.EOFError:
            return


def _cut(data: bytes, width: int, height: int) -> Recording:
    head, fragments = b"", []
    for kind, box in _boxes(data):
        if kind in (b"ftyp", b"moov"):
            head += box
        elif kind == b"moof":
            fragments.append(box)
        elif kind == b"mdat":
            fragments[-1] += box
    at = head.index(b"avcC") + 5
    picture = VideoTrack(f"avc1.{head[at : at + 3].hex()}", TIMESCALE, width, height, "Baseline", float(RATE))
    return Recording(Init(head, picture, AudioTrack("mp4a.40.2", 48_000, 48_000, 2)), tuple(fragments))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + size]
        at += size
