"""A source that is fed the chunks of another stream: samples in, decoded frames and untouched audio out."""

import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
from av.audio.stream import AudioStream
from av.codec import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.chunk import Init
from media.codecs import libav
from media.effects import upright
from media.faults import Fault
from media.mp4 import moov
from media.mp4.fmp4 import VIDEO_TRACK, Sample
from media.mp4.fragments import fragments
from media.process.messages import ChunkMade

PHASE: Final = "decoding"
LARGE: Final = 1280 * 720  # pixels over which a second thread is worth having


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded frame; times in ticks of the source. `breaks`: it does not follow from the one before it.

    `run` counts the breaks up to it; `last`: it is the last one of its chunk.
    """

    data: bytes
    decode: int
    pts: int
    duration: int
    key: bool
    breaks: bool
    run: int
    last: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """One audio sample at its decode time, in ticks of the audio track, of the run of frames that it goes with."""

    time: int
    sample: Sample
    run: int


class Fed:
    """What was fed and is not used up yet. The init of a source comes first, then its chunks, from a key frame on."""

    def __init__(self) -> None:
        self.frames: deque[Coded] = deque()
        self.audio: deque[Heard] = deque()
        self._break = True
        self._run = 0

    @property
    def backlog(self) -> int:
        """Ticks of video that wait."""
        return sum(frame.duration for frame in self.frames)

    def feed(self, chunk: ChunkMade) -> None:
        """Takes one chunk apart. Raises `ValueError` for bytes that are no chunk of ours."""
        breaks = chunk.discontinuity or self._break
        self._break = False
        self._run += breaks
        for fragment in fragments(chunk.body):
            time = fragment.decode_time
            for number, sample in enumerate(fragment.samples):
                if fragment.track == VIDEO_TRACK:
                    last = number == len(fragment.samples) - 1
                    pts = time + sample.offset
                    self.frames.append(
                        Coded(sample.data, time, pts, sample.duration, sample.key, breaks, self._run, last)
                    )
                    breaks = False
                else:
                    self.audio.append(Heard(time, sample, self._run))
                time += sample.duration


class Input:
    """The decoder below one init; `audio` is a template for the output's audio track.

    `orientation`: how its frames have to be turned to be upright, as EXIF numbers it.
    """

    def __init__(self, init: Init) -> None:
        if init.video is None:
            raise Fault("codec-unsupported", "The source has no picture.", PHASE)
        self.init = init
        self.scale = init.timescale
        self.orientation = moov.orientation(init.data)
        self.audio_rate = init.audio.timescale if init.audio else 0
        try:
            opened = av.open(io.BytesIO(init.data), format="mov", metadata_errors="replace")
        except av.FFmpegError:
            raise Fault("codec-unsupported", "The source's codec is not known here.", PHASE) from None
        assert isinstance(opened, InputContainer)
        self._container = opened
        self.video: VideoStream = opened.streams.video[0]
        self.aspect = upright.shape(self.video.sample_aspect_ratio or Fraction(1), self.orientation)
        self.audio: AudioStream | None = opened.streams.audio[0] if opened.streams.audio else None
        self._decoder = self._fresh()
        self._await_key = True
        self.damaged = 0  # frames that could not be decoded

    def decode(self, coded: Coded) -> Iterator[VideoFrame]:
        """The frames that this one completes, in the order of showing; none before the first key frame."""
        if coded.breaks:
            yield from self.flush()
        if self._await_key and not coded.key:
            return
        self._await_key = False
        packet = Packet(coded.data)
        packet.pts, packet.dts, packet.time_base = coded.pts, coded.decode, Fraction(1, self.scale)
        try:
            yield from self._decoder.decode(packet)
        except (av.FFmpegError, ValueError):
            self.damaged += 1

    def flush(self) -> Iterator[VideoFrame]:
        """What the decoder still holds; the next frame must be a key frame."""
        try:
            yield from self._decoder.decode(None)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
        self._decoder = self._fresh()
        self._await_key = True

    def _fresh(self) -> VideoCodecContext:
        template = self.video.codec_context
        decoder = CodecContext.create(template.name, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.extradata = template.extradata
        large = template.width * template.height > LARGE
        decoder.thread_count = 2 if large else 1
        decoder.thread_type = "SLICE"  # frame threads would hold frames back
        decoder.options = {"max_pixels": str(libav.MAX_PIXELS)}
        return decoder
