"""Reads a file's tracks for the packager: the video frames of one round, and AAC frames in their slots."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import ceil, floor
from typing import Any, Final, Protocol

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from media.codecs import libav
from media.faults import Fault, shortage
from media.mp4 import aac
from media.mp4.intake import FileView, Survey

# Stills that ride along in a file: cover art and chapter pictures.
_STILLS: Final = Disposition.attached_pic | Disposition.timed_thumbnails
# What is copied: the pixel formats of each video codec, and the audio codecs by the names of FFmpeg's decoders.
_KEPT_VIDEO: Final = {"h264": ("yuv420p", "yuvj420p"), "hevc": ("yuv420p", "yuvj420p", "yuv420p10le")}
_KEPT_AUDIO: Final = ("aac", "mp3", "mp3float", "opus", "libopus")
LONGEST_PICTURE: Final = 60  # seconds; a damaged index may say days, all of which would get an audio track
HALF: Final = Fraction(1, 2)
_KEY_FRAMES_TRIED: Final = 8
_FALLBACK_RATE: Final = Fraction(25)  # for a single picture that has no duration


def open_container(fd: int, survey: Survey, *, unseen: bool = False) -> InputContainer:
    """A container of its own position on `fd`, as MP4 and nothing else: no playlist, no other file.

    `unseen`: no picture is decoded to find out what is not in the index, which takes a tenth of the time; for who only
    wants the packets. Fault: `file-not-media`.
    """
    options = {"protocol_whitelist": "file", "enable_drefs": "0", "max_pixels": str(libav.MAX_PIXELS)}
    options["codec_whitelist"] = libav.WHITELIST
    if unseen:
        options |= {"codec_whitelist": "none", "probesize": "32"}
    try:
        return av.open(FileView(fd, survey.size), "r", format="mov", options=options, buffer_size=1 << 18)
    except (av.FFmpegError, ValueError) as error:
        # FFmpeg's text adds nothing that a person could use.
        damaged = Fault("file-not-media", "The index of the file is damaged.", "opening")
        raise (shortage(error, "opening") or damaged) from None


def pick_video(container: InputContainer) -> VideoStream:
    """The video with the largest picture. Faults: `no-video`, `codec-unsupported`, `file-not-media`."""
    if not len(container.streams):
        raise Fault("file-not-media", "The file has no tracks.", "opening")
    films = [one for one in container.streams.video if not one.disposition & _STILLS]
    if not films:
        raise Fault(
            "no-video", f"The file has {_without_video(container)}; files with a picture are played.", "opening"
        )
    streams = [one for one in films if _has_decoder(one)]
    if not streams:
        raise Fault("codec-unsupported", "The file has no video of a known codec.", "opening")
    stream = max(streams, key=lambda one: (one.codec_context.width * one.codec_context.height, -one.index))
    if stream.codec_context.name in _KEPT_VIDEO and not libav.has_parameters(stream):
        raise Fault("file-not-media", "The video has no codec parameters.", "opening")
    return stream


def _without_video(container: InputContainer) -> str:
    """What a file has that has no video."""
    sound, cover = bool(container.streams.audio), bool(container.streams.video)
    words = ["sound"] * sound + ["a cover picture"] * cover or ["other tracks"]
    return f"only {' and '.join(words)}, and no video"


def why_not_copied(video: VideoStream) -> str:
    """Why browsers cannot play this video as it is, in a sentence; "" when they can."""
    context = video.codec_context
    if context.pix_fmt in _KEPT_VIDEO.get(context.name, ()):
        return ""
    name = libav.name_of(context)
    name = f"{name} {context.pix_fmt}" if context.name in _KEPT_VIDEO else name
    return f"The file has {name}, which is not played as it is; H.264 and H.265 (4:2:0) are."


def pick_audio(container: InputContainer) -> AudioStream | None:
    """The first track of an audio codec that is kept, or else the first that can be decoded; None without any."""
    streams = [one for one in container.streams.audio if _has_decoder(one)]
    kept = [one for one in streams if not why_not_heard(one)]
    return next(iter(kept + streams), None)


def why_not_heard(audio: AudioStream) -> str:
    """Why this audio cannot be kept as it is, in a sentence; "" when it can."""
    context = audio.codec_context
    if context.name in _KEPT_AUDIO and (context.extradata or context.name == "mp3float"):
        return ""
    return f"The file has {libav.name_of(context)}, which is not played as it is; AAC, MP3 and Opus are."


def _has_decoder(stream: Stream) -> bool:
    context = getattr(stream, "codec_context", None)  # None for a codec that FFmpeg does not know
    return context is not None and context.name in libav.DECODERS


def packets(container: InputContainer, stream: Stream, survey: Survey) -> "Iterator[Packet[Any]]":
    """The whole packets of one stream in file order. Where the file cannot be read on, they end: `survey.truncated`."""
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

    def frames(self, preroll: bool) -> Iterator[FileFrame]:
        """From a key frame on: the first that is to be shown, or with `preroll` the first there is."""


@dataclass(frozen=True, slots=True)
class Round:
    """The video frames of a loop's round, and how often the file is in it: more than once only if it is very short.

    `length` is that of one time through the file, in ticks; 0 while it is not known (the file is long enough).
    `preroll`: there was no key frame at or behind the start that the file's edit list asks for, so it starts before.
    """

    frames: Iterator[FileFrame]
    times: int
    length: int
    preroll: bool


def video_round(video: Video, shortest: Fraction) -> Round:
    """Frames in decode order, decode times strictly increasing, from the first key frame to be shown that decodes.

    Frames that are shown before that key frame are left out: they need pictures that are gone. A file shorter than
    `shortest` seconds is repeated. Faults: `file-not-media` without a picture, `codec-unsupported` when the codec
    parameters change on the way.
    """
    for preroll in (False, True):
        frames = _timed(video, video.frames(preroll))
        start: list[FileFrame] = []
        total = 0
        for frame in frames:
            start.append(frame)
            total += frame.duration
            if total * video.base >= shortest:
                return Round(chain(start, frames), 1, 0, preroll)
        if start:
            times = ceil(shortest / (total * video.base))
            return Round(_repeated(start, times, total), times, total, preroll)
    raise Fault("file-not-media", "There is no whole picture in the file that can be decoded.", "opening")


def _repeated(frames: list[FileFrame], times: int, length: int) -> Iterator[FileFrame]:
    for shift in range(0, times * length, length):
        for frame in frames:
            yield replace(frame, dts=frame.dts + shift, pts=frame.pts + shift)


def copied_frames(fd: int, survey: Survey, video: VideoStream, preroll: bool) -> Iterator[FileFrame]:
    """The frames of that track as the file has them, from a key frame on that decodes; see `Video`."""
    with open_container(fd, survey, unseen=True) as container:
        stream = container.streams[video.index]
        tried = 0
        begun = False
        for packet in packets(container, stream, survey):
            frame = _frame(packet)
            if begun and packet.has_sidedata("new_extradata"):
                raise Fault("codec-unsupported", "The video's codec parameters change on the way.", "packaging")
            if not begun and frame.key and tried < _KEY_FRAMES_TRIED:
                if not preroll and (frame.pts < 0 or packet.is_discard):
                    continue
                tried += 1
                begun = libav.decodes(video, frame.data)
            if begun:
                yield frame


def _frame(packet: "Packet[Any]") -> FileFrame:
    dts = packet.dts if packet.dts is not None else packet.pts or 0
    pts = packet.pts if packet.pts is not None else dts
    return FileFrame(bytes(packet), packet.is_keyframe, dts, pts, packet.duration or 0)


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


@dataclass(frozen=True, slots=True)
class SoundFrame:
    """One AAC frame; `at` is when it sounds, in seconds of the file's own time."""

    at: Fraction
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioForm:
    """The frames of an audio track: `frame` samples each at `rate`, and how a silent one is made (it may fault)."""

    rate: int
    frame: int
    silence: Callable[[], bytes]


def audio_form(stream: AudioStream) -> AudioForm:
    """Of a track that is kept. Raises `ValueError` for an AAC configuration that cannot be read."""
    context = stream.codec_context
    rate = context.sample_rate
    if context.name == "aac":
        config = aac.parse(context.extradata or b"")
        return AudioForm(rate, config.frame * rate // config.core_rate, lambda: libav.silent_aac(config))
    layout = context.layout.name
    if context.name.startswith("mp3"):
        # ISO/IEC 11172-3 and 13818-3: a frame of layer III has 1152 samples, half of that at the low rates.
        return AudioForm(rate, 1152 if rate >= 32000 else 576, lambda: libav.silent_frame("libmp3lame", rate, layout))
    # FFmpeg's muxers and recorders write 20 ms; others would be cut or filled to that.
    return AudioForm(48000, 960, lambda: libav.silent_frame("libopus", 48000, layout))


class AudioSlots:
    """The audio frames of one round in consecutive slots from its start; what the file has no frame for is silent.

    Slot 0 is the frame that sounds when the first picture is shown (at `start` seconds), or the nearest to it; `phase`
    is how much later than the picture it begins, in samples, and may be negative. `frame` is samples in a slot.
    """

    def __init__(self, form: "AudioForm", sounds: Iterator[SoundFrame], start: Fraction) -> None:
        self._form = form
        self.rate = form.rate
        self.frame = form.frame
        self.filled = 0  # slots that were silent for want of a frame
        self._taken = 0
        self._silence = b""
        self._phase = Fraction(0)  # in slots
        self._sounds = self._placed(sounds, start)
        self._next = next(self._sounds, None)
        if self._next is not None:
            position, data = self._next
            self._phase = position - floor(position + HALF)
            self._next = position - self._phase, data

    @property
    def phase(self) -> int:
        """Samples."""
        return round(self._phase * self.frame)

    def take(self, end: int) -> list[bytes]:
        """The frames of the slots from the last `end` (at first 0) up to and without this one."""
        frames = []
        while self._taken < end:
            while self._next is not None and self._next[0] <= self._taken - 1:  # together with the one before
                self._next = next(self._sounds, None)
            # A little under a frame of tolerance: uneven stamps make neither holes nor doubles.
            if self._next is None or self._next[0] >= self._taken + 1:
                frames.append(self._silent())
                self.filled += 1
            else:
                frames.append(self._next[1])
                self._next = next(self._sounds, None)
            self._taken += 1
        return frames

    def left_over(self) -> Fraction:
        """Seconds for which the file's audio goes on behind the slots that were taken. Reads it to its end."""
        last = self._next
        for last in self._sounds:  # noqa: B007 - the last one is wanted
            pass
        return (last[0] - self._taken + 1) * self.frame / self.rate if last else Fraction(0)

    def _placed(self, sounds: Iterator[SoundFrame], start: Fraction) -> Iterator[tuple[Fraction, bytes]]:
        """Each frame with the slot that it sounds in, to a fraction; from the first slot on."""
        slots = Fraction(self.rate, self.frame)  # a second
        for sound in sounds:
            position = (sound.at - start) * slots - self._phase
            if position >= -HALF:
                yield position, sound.data

    def _silent(self) -> bytes:
        self._silence = self._silence or self._form.silence()
        return self._silence


def sounds(container: InputContainer, stream: AudioStream, survey: Survey) -> Iterator[SoundFrame]:
    """Every AAC frame with its presentation time."""
    base = stream.time_base
    assert base is not None
    for packet in packets(container, stream, survey):
        if packet.pts is not None:
            yield SoundFrame(packet.pts * base, bytes(packet))


def repeated(source: Iterator[SoundFrame], start: Fraction, length: Fraction, times: int) -> Iterator[SoundFrame]:
    """For a file that is several times in its round: what sounds from `start` on for `length` seconds, each time."""
    kept = [sound for sound in source if start - Fraction(1, 50) <= sound.at < start + length]
    for number in range(times):
        for sound in kept:
            yield SoundFrame(sound.at + number * length, sound.data)
