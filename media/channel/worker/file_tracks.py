"""Reads a file's picture for the packager: which track, and the frames of one round."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import ceil
from typing import Any, Final, Protocol

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from media.codecs import libav
from media.faults import Fault, shortage
from media.mp4.intake import FileView, Survey
from media.mp4.samples import Samples

# Stills that ride along in a file: cover art and chapter pictures.
_STILLS: Final = Disposition.attached_pic | Disposition.timed_thumbnails
# What is copied: the pixel formats of each video codec.
_KEPT_VIDEO: Final = {"h264": ("yuv420p", "yuvj420p"), "hevc": ("yuv420p", "yuvj420p", "yuv420p10le")}
LONGEST_PICTURE: Final = 60  # seconds; a damaged index may say days, all of which would get an audio track
_KEY_FRAMES_TRIED: Final = 8
_NEAR: Final = Fraction(1, 2)  # seconds that FFmpeg may be off where a part begins
_FALLBACK_RATE: Final = Fraction(25)  # for a single picture that has no duration


def open_container(fd: int, survey: Survey, *, unseen: bool = False) -> InputContainer:
    """A container of its own position on `fd`, as MP4 and nothing else: no playlist, no other file.

    With `unseen`, no picture is decoded to find out what is not in the index. That takes a tenth of the time, and is
    for callers that only want the packets. Fault: `file-not-media`.
    """
    options = {"protocol_whitelist": "file", "enable_drefs": "0", "max_pixels": str(libav.MAX_PIXELS)}
    options["codec_whitelist"] = libav.WHITELIST
    if unseen:
        options |= {"codec_whitelist": "none", "probesize": "32"}
    try:
        file = FileView(fd, survey.size, survey.metadata)
        return av.open(file, "r", format="mov", options=options, buffer_size=1 << 18, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        # FFmpeg's text adds nothing that a person could use.
        damaged = Fault("file-not-media", "The index of the file is damaged.", "opening")
        raise (shortage(error, "opening") or damaged) from None


def pick_video(container: InputContainer) -> VideoStream:
    """The video to be shown: what the file says is on (14496-12 section 8.3.2, track_enabled), then the largest
    picture.

    A motion photo's still is larger than its film, and off. Faults: `no-video`, `codec-unsupported`, `file-not-media`.
    """
    if not len(container.streams):
        raise Fault("file-not-media", "The file has no tracks.", "opening")
    films = [one for one in container.streams.video if not one.disposition & _STILLS]
    if not films:
        raise Fault(
            "no-video", f"The file has {_without_video(container)}; files with a picture are played.", "opening"
        )
    streams = [one for one in films if has_decoder(one)]
    if not streams:
        raise Fault("codec-unsupported", "The file has no video of a known codec.", "opening")
    stream = max(streams, key=_rank)
    if stream.codec_context.name in _KEPT_VIDEO and not libav.has_parameters(stream):
        raise Fault("file-not-media", "The video has no codec parameters.", "opening")
    return stream


def _without_video(container: InputContainer) -> str:
    """What a file has that has no video, in words."""
    sound, cover = bool(container.streams.audio), bool(container.streams.video)
    words = ["sound"] * sound + ["a cover picture"] * cover or ["other tracks"]
    return f"only {' and '.join(words)}, and no video"


def _rank(video: VideoStream) -> tuple[bool, int, int]:
    context = video.codec_context
    return bool(video.disposition & Disposition.default), context.width * context.height, -video.index


def why_not_copied(video: VideoStream) -> str:
    """Why browsers cannot play this video as it is, in a sentence; "" when they can."""
    context = video.codec_context
    if context.pix_fmt in _KEPT_VIDEO.get(context.name, ()):
        return ""
    name = libav.name_of(context)
    name = f"{name} {context.pix_fmt}" if context.name in _KEPT_VIDEO else name
    return f"The file has {name}, which is not played as it is; H.264 and H.265 (4:2:0) are."


def has_decoder(stream: Stream) -> bool:
    """Whether the stream is of a codec that is decoded here."""
    context = getattr(stream, "codec_context", None)  # None for a codec that FFmpeg does not know
    return context is not None and context.name in libav.DECODERS


def packets(container: InputContainer, stream: Stream, survey: Survey) -> "Iterator[Packet[Any]]":
    """The whole packets of one stream in file order. They end where the file cannot be read on; `survey.truncated` says
    so.
    """
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:  # cut short by the end of the file
                survey.truncated = True
                return
            if packet.size:
                yield packet
    except (av.FFmpegError, OSError):
        survey.truncated = True


@dataclass(frozen=True, slots=True)
class FileFrame:
    """One video frame; ticks of the stream. `duration` is up to the next one in decode order."""

    data: bytes
    key: bool
    dts: int
    pts: int
    duration: int


class Video(Protocol):
    """Where video frames come from, with their time base and declared rate."""

    base: Fraction
    rate: Fraction | None

    def frames(self) -> Iterator[FileFrame]:
        """The frames, from the first key frame on that is to be shown."""


@dataclass(frozen=True, slots=True)
class Round:
    """The video frames of a loop's round, and how often the file is in it: more than once only if it is very short.

    `length` is that of one time through the file, in ticks; 0 while it is not known (the file is long enough).
    """

    frames: Iterator[FileFrame]
    times: int
    length: int


def video_round(video: Video, shortest: Fraction) -> Round:
    """Frames in decode order, decode times strictly increasing, from the first key frame to be shown that decodes.

    Frames that are shown before that key frame are left out: they need pictures that are gone. A file shorter than
    `shortest` seconds is repeated. Faults: `file-not-media` without a picture, `codec-unsupported` when the codec
    parameters change on the way.
    """
    frames = _timed(video, video.frames())
    start: list[FileFrame] = []
    total = 0
    for frame in frames:
        start.append(frame)
        total += frame.duration
        if total * video.base >= shortest:
            return Round(chain(start, frames), 1, 0)
    if start:
        times = ceil(shortest / (total * video.base))
        return Round(_repeated(start, times, total), times, total)
    raise Fault("file-not-media", "There is no whole picture in the file that can be decoded.", "opening")


def _repeated(frames: list[FileFrame], times: int, length: int) -> Iterator[FileFrame]:
    for shift in range(0, times * length, length):
        for frame in frames:
            yield replace(frame, dts=frame.dts + shift, pts=frame.pts + shift)


def copied_frames(fd: int, survey: Survey, video: VideoStream) -> Iterator[FileFrame]:
    """The frames of that track as the file has them, from a key frame on that decodes; hidden ones are left out."""
    samples = Samples(video.codec_context.name, video.codec_context.extradata or b"")
    with open_container(fd, survey, unseen=True) as container:
        stream = container.streams[video.index]
        tried = 0
        begun: FileFrame | None = None
        splice = True  # what came just before it in the file is not there
        joined = Joined(survey.parts.get(stream.id, ()), stream.time_base or Fraction(1))
        for packet in packets(container, stream, survey):
            if begun and packet.has_sidedata("new_extradata"):
                raise Fault("codec-unsupported", "The video's codec parameters change on the way.", "packaging")
            frame = _frame(packet, samples, splice)
            gone = packet.is_discard or frame.pts < 0
            if begun is None:
                if gone or not frame.key or tried >= _KEY_FRAMES_TRIED:
                    continue
                tried += 1
                if not libav.decodes(video, frame.data):
                    continue
                begun = frame
            begins, splice = splice and frame.key, gone
            if not gone:
                late = joined.shift(frame.pts, begins) if survey.parts else 0
                yield replace(frame, dts=frame.dts + late, pts=frame.pts + late) if late else frame
            elif frame.pts < begun.pts:  # it only tells when the first one is decoded
                yield frame


class Joined:
    """Puts the parts that an edit list has left where the list says. `parts` are their places in seconds, without the
    first.

    FFmpeg lets a part begin as much too early or too late as its pictures are held back (measured).
    """

    def __init__(self, parts: Sequence[Fraction], base: Fraction) -> None:
        self._parts = [round(each / base) for each in parts]
        self._near = _NEAR / base
        self._before = 0  # the stamp of the picture before
        self._step = 0
        self._late = 0

    def shift(self, pts: int, begins: bool | None = None) -> int:
        """How many ticks later this picture is to be shown; `begins`: whether a part begins with it.

        None: pictures come in the order of showing, and the step in time tells.
        """
        step = pts - self._before
        if begins is None:
            begins = self._step > 0 and step != self._step
        if begins and self._parts and abs(self._parts[0] - pts) <= self._near:
            self._late = self._parts.pop(0) - pts
        self._before, self._step = pts, step
        return self._late


def hidden(packet: "Packet[Any]") -> bool:
    """Whether the edit list takes this picture away: FFmpeg says so, or has put it before the beginning."""
    return packet.is_discard or (packet.pts is not None and packet.pts < 0)


def _frame(packet: "Packet[Any]", samples: Samples, splice: bool) -> FileFrame:
    dts = packet.dts if packet.dts is not None else packet.pts or 0
    pts = packet.pts if packet.pts is not None else dts
    data = bytes(packet)
    key = samples.is_key(data, packet.is_keyframe)
    return FileFrame(samples.mended(data, splice=splice and key), key, dts, pts, packet.duration or 0)


def _timed(video: Video, frames: Iterator[FileFrame]) -> Iterator[FileFrame]:
    """Leaves out leading frames; decode times strictly increase, and durations are the steps between them."""
    held = next(frames, None)
    if held is None:
        return
    first_pts = held.pts
    steps: Counter[int] = Counter()
    most = max(1, int(LONGEST_PICTURE / video.base))
    for frame in frames:
        if frame.pts < first_pts:
            if not steps:  # the key frame moves up into the place of the one that is left out
                held = replace(held, dts=max(held.dts, min(frame.dts, held.pts)))
            continue
        if frame.dts <= held.dts:
            frame = replace(frame, dts=held.dts + 1)
        step = frame.dts - held.dts
        if max(step, abs(frame.pts - frame.dts)) > most:
            detail = f"A picture lasts or is held back for more than {LONGEST_PICTURE} s, which cannot be streamed."
            raise Fault("limits-exceeded", detail, "packaging")
        steps[step] += 1
        yield replace(held, duration=step)
        held = frame
    usual = steps.most_common(1)[0][0] if steps else round(1 / (video.base * (video.rate or _FALLBACK_RATE)))
    yield replace(held, duration=min(held.duration if held.duration > 0 else max(1, usual), most))
