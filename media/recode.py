"""Recodes the tracks that cannot be played as they are to H.264 and AAC: once, before a file is packaged."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.filter
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from media import libav, tracks
from media.faults import Fault
from media.intake import Survey

NAME: Final = "recoded.mp4"  # in the package's folder, as long as it is being packaged
NICE: Final = 5  # others on the machine have something to show, this has not yet
_KEY_FRAMES: Final = 2  # seconds between them
_AUDIO_RATES: Final = (32000, 44100, 48000)
_THREADS: Final = 2
# FFmpeg's own players turn by these; the angle is counter-clockwise.
_TURNS: Final = {90: ("transpose=cclock",), 180: ("hflip", "vflip"), 270: ("transpose=clock",)}


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why each track cannot stay as it is; "" when it can."""

    video: str
    audio: str

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return bool(self.video or self.audio)


def reasons(container: InputContainer) -> Reasons:
    """What has to be recoded. Faults as `tracks.pick_video`."""
    audio = tracks.pick_audio(container)
    return Reasons(
        tracks.why_not_copied(tracks.pick_video(container)), tracks.why_not_heard(audio) if audio is not None else ""
    )


def recode(fd: int, survey: Survey, target: Path, why: Reasons, percent: Callable[[int], None]) -> None:
    """Writes an MP4 whose tracks can all be copied. `percent` is told how far it is, each number once.

    A matrix that turns the picture is applied, a pixel aspect ratio kept, frames keep their times. Where the source
    cannot be read on, the file ends: `survey.truncated`. Raises `av.FFmpegError` when FFmpeg cannot write it.
    """
    os.nice(NICE)
    size = _size(fd, survey) if why.video else (0, 0)
    with tracks.open_container(fd, survey) as source, av.open(str(target), "w", format="mp4") as output:
        video = tracks.pick_video(source)
        audio = tracks.pick_audio(source)
        makers: dict[int, _Maker] = {video.index: _Pictures(video, output, size) if why.video else _Copy(video, output)}
        if audio is not None:
            makers[audio.index] = _Sounds(audio, output) if why.audio else _Copy(audio, output)
        told = -1
        for packet in _packets(source, survey):
            maker = makers.get(packet.stream.index)
            if maker is None:
                continue
            done = _percent(packet, video)
            if done > told:
                told = done
                percent(done)
            output.mux(list(maker.make(packet)))
        for maker in makers.values():
            output.mux(list(maker.end()))


def _size(fd: int, survey: Survey) -> tuple[int, int]:
    """Of the first picture, upright and even: 4:2:0 has no odd sizes. An encoder has to know before anything else."""
    with tracks.open_container(fd, survey) as container:
        video = tracks.pick_video(container)
        _bound(video)
        for frame in container.decode(video):
            picture = _upright(frame)
            return max(2, picture.width // 2 * 2), max(2, picture.height // 2 * 2)
    raise Fault("file-not-media", "There is no picture in the file that can be decoded.", "transcoding")


def _bound(video: VideoStream) -> None:
    video.codec_context.thread_count = 1
    video.codec_context.options = {"max_pixels": str(libav.MAX_PIXELS)}


def _packets(source: InputContainer, survey: Survey) -> "Iterator[Packet[Any]]":
    try:
        for packet in source.demux():
            if packet.is_corrupt:
                survey.truncated = True
                return
            if packet.size:
                yield packet
    except (av.FFmpegError, OSError):
        survey.truncated = True


def _percent(packet: "Packet[Any]", video: VideoStream) -> int:
    if packet.stream.index != video.index or not video.duration or packet.pts is None:
        return -1
    return max(0, min(99, 100 * packet.pts // video.duration))


class _Maker:
    """Packets of one track of the source in, packets of the new file out."""

    def make(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        raise NotImplementedError

    def end(self) -> "Iterator[Packet[Any]]":
        yield from ()


class _Copy(_Maker):
    def __init__(self, stream: VideoStream | AudioStream, output: OutputContainer) -> None:
        self._track = output.add_stream_from_template(stream)
        if stream.codec_context.name == "hevc":
            self._track.codec_tag = "hvc1"

    def make(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        packet.stream = self._track
        yield packet


class _Pictures(_Maker):
    """Any video to H.264 of one size."""

    def __init__(self, stream: VideoStream, output: OutputContainer, size: tuple[int, int]) -> None:
        self._stream = stream
        _bound(stream)
        rate = stream.average_rate or Fraction(25)
        track = output.add_stream("libx264", rate=rate if 0 < rate <= libav.MAX_RATE else Fraction(25))
        assert isinstance(track, VideoStream)
        track.pix_fmt = "yuv420p"
        track.codec_context.thread_count = _THREADS
        track.codec_context.gop_size = max(1, round(_KEY_FRAMES * rate))
        track.codec_context.options = {"preset": "superfast", "crf": "21"}
        if stream.time_base is not None:
            track.codec_context.time_base = stream.time_base
        self._track = track
        self._size = track.width, track.height = size

    def make(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        try:
            frames = list(packet.decode())
        except av.FFmpegError:
            return  # a damaged picture is left out
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            yield from self._encode(frame)

    def end(self) -> "Iterator[Packet[Any]]":
        for frame in self._stream.codec_context.decode(None):
            yield from self._encode(frame)
        yield from self._track.encode(None)

    def _encode(self, frame: VideoFrame) -> "Iterator[Packet[Any]]":
        picture = _upright(frame)
        width, height = self._size
        made = picture.reformat(width=width, height=height, format="yuv420p")
        made.pts, made.pict_type = frame.pts, PictureType.NONE
        made.time_base = frame.time_base or self._stream.time_base or Fraction(1, 25)
        yield from self._track.encode(made)


def _upright(frame: VideoFrame) -> VideoFrame:
    turn = _TURNS.get(frame.rotation % 360)
    if turn is None:
        return frame
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    last = source
    for step in turn:
        name, _, arguments = step.partition("=")
        added = graph.add(name, arguments or None)
        last.link_to(added)
        last = added
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    graph.push(frame)
    turned = graph.pull()
    assert isinstance(turned, VideoFrame)
    return turned


class _Sounds(_Maker):
    """Any audio to AAC of at most two channels."""

    def __init__(self, stream: AudioStream, output: OutputContainer) -> None:
        self._stream = stream
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in _AUDIO_RATES else 48000
        layout = "mono" if context.channels == 1 else "stereo"
        track = output.add_stream("aac", rate=rate, layout=layout)
        assert isinstance(track, AudioStream)
        track.codec_context.bit_rate = 64_000 if layout == "mono" else 128_000
        self._track = track
        self._resampler = AudioResampler("fltp", layout, rate, frame_size=1024)

    def make(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        try:
            frames = list(packet.decode())
        except av.FFmpegError:
            return
        yield from self._encode(frames)

    def end(self) -> "Iterator[Packet[Any]]":
        yield from self._encode(self._stream.codec_context.decode(None))
        yield from self._encode([None])
        yield from self._track.encode(None)

    def _encode(self, frames: Any) -> "Iterator[Packet[Any]]":
        for frame in frames:
            if frame is not None and frame.time_base is None:  # of what the decoder held back to the end
                frame.time_base = self._stream.time_base
            for sound in self._resampler.resample(frame):
                yield from self._track.encode(sound)
