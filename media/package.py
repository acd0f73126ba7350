"""Turns a file into a package: the chunks of one round of a loop on disk, and their index. A task of a worker."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from media import index, intake, libav, recode, rounds, seamless, tracks
from media.channel import Channel
from media.chunk import Init
from media.faults import Fault
from media.index import Entry, Grid, Head, Index
from media.intake import Survey
from media.messages import Finished, Progress, Ready, Warned
from media.recode import Reasons
from media.rounds import RoundWriter
from media.seamless import Sound
from media.tracks import AudioSlots, Frame, Round, VideoFile

NOTABLE: Final = Fraction(1, 10)  # seconds of audio or video left out or made up that are worth a warning


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds: the shortest chunk (but before a key frame), the shortest segment, the shortest loop."""

    chunk: Fraction = Fraction(33, 100)
    segment: Fraction = Fraction(2)
    loop: Fraction = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Opened:
    """First: what the chunks will be, and how many seconds of them the file promises."""

    head: Head
    seconds: float


@dataclass(frozen=True, slots=True)
class Wrote:
    """A chunk is on disk, and `done` of the promised seconds with it. The last chunk comes with the index instead."""

    entry: Entry
    done: float


@dataclass(frozen=True, slots=True)
class Done:
    """Last: the index, which is on disk as well."""

    index: Index


@dataclass(frozen=True, slots=True)
class Recoding:
    """Before anything else, where tracks cannot be copied: how far it is, from 0 to 99."""

    percent: int


Event = Opened | Wrote | Warned | Done | Recoding
Emit = Callable[[Event], None]


class _Stopped(Exception):
    """The gateway has asked for an end."""


def run(channel: Channel, spec: dict[str, Any]) -> None:
    """The task of a worker. `spec`: `path` of the file, `folder` of the package (it exists), both absolute.

    Up go `Progress` with `percent` while tracks are recoded, then with `head` and `seconds`, then with `chunk` and
    `done` for each chunk; `Ready` once there is something to play (the first segment, or all of it); `Warned`;
    `Finished`, when the index is on disk.
    """
    options = Options()
    ready = False

    def emit(event: Event) -> None:
        nonlocal ready
        if channel.stopping:
            raise _Stopped
        playable = isinstance(event, Done) or (isinstance(event, Wrote) and event.done > options.segment)
        if playable and not ready:
            channel.send(Ready({}))
            ready = True
        channel.send(_message(event))

    fd = intake.open_regular(Path(spec["path"]))
    try:
        package(fd, Path(spec["folder"]), options, emit)
    except _Stopped:
        channel.send(Finished({"stopped": True}))
    finally:
        os.close(fd)


def _message(event: Event) -> Progress | Warned | Finished:
    if isinstance(event, Opened):
        return Progress({"head": event.head.packed(), "seconds": event.seconds})
    if isinstance(event, Wrote):
        return Progress({"chunk": event.entry.packed(), "done": event.done})
    if isinstance(event, Recoding):
        return Progress({"percent": event.percent})
    if isinstance(event, Done):
        return Finished({"seconds": float(event.index.seconds)})
    return event


def package(fd: int, folder: Path, options: Options, emit: Emit) -> Index:
    """Packages the MP4 or QuickTime file `fd` into `folder`, which exists; returns the index that it saved there.

    H.264 (8 bits, 4:2:0), H.265, AAC, MP3 and Opus are copied; a track of anything else is recoded first, which `emit`
    hears of in `Recoding`. What was in the folder before is replaced. When it fails, no index is left, so nobody takes
    it for a package. Faults: `file-empty`, `file-not-regular`, `file-not-media`, `codec-unsupported`,
    `limits-exceeded`.
    """
    survey = intake.survey(fd)
    (folder / index.INDEX_NAME).unlink(missing_ok=True)
    (folder / index.DATA_NAME).unlink(missing_ok=True)  # not truncated: a channel may still read the old one
    with tracks.open_container(fd, survey) as container:
        why = recode.reasons(container)
    if not why.any:
        return _packaged(fd, survey, why, folder, options, emit)
    made = folder / recode.NAME
    try:
        recode.recode(fd, survey, made, why, lambda percent: emit(Recoding(percent)))
        readable = intake.open_regular(made)
    except av.FFmpegError:
        raise Fault("codec-unsupported", f"{why.video or why.audio} It cannot be recoded.", "transcoding") from None
    finally:
        made.unlink(missing_ok=True)  # its descriptor is enough
    try:
        fresh = intake.survey(readable)
        fresh.truncated = survey.truncated
        return _packaged(readable, fresh, why, folder, options, emit)
    finally:
        os.close(readable)


def _packaged(fd: int, survey: Survey, why: Reasons, folder: Path, options: Options, emit: Emit) -> Index:
    try:
        with (folder / index.DATA_NAME).open("xb", buffering=0) as data:
            made = _write(fd, survey, why, options, _Tell(emit), data.fileno())
            os.fsync(data.fileno())
        index.save(made, folder)
    except OSError as error:
        raise Fault("limits-exceeded", f"The package cannot be written: {error.strerror}.", "packaging") from error
    emit(Done(made))
    return made


class _Tell:
    """Passes events on and keeps the warnings among them."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.warnings: list[tuple[str, str]] = []

    def warn(self, code: str, detail: str) -> None:
        self.warnings.append((code, detail))
        self.emit(Warned(code, detail))


def _write(fd: int, survey: Survey, why: Reasons, options: Options, tell: _Tell, data: int) -> Index:
    with tracks.open_container(fd, survey) as container:
        video, audio = tracks.pick_video(container), tracks.pick_audio(container)
        base = video.time_base
        if base is None or base.numerator != 1:
            raise Fault("file-not-media", "The video's clock has no whole number of ticks in a second.", "opening")
        init = libav.init_segment(video, audio, base.denominator)
        one_round = tracks.video_round(VideoFile(fd, survey, base, video.average_rate), options.loop)
        first = next(one_round.frames)
        start = first.pts * base
        slots = _slots(container, audio, survey, one_round, start, base) if audio else None
        recoded = tuple((track, reason) for track, reason in (("video", why.video), ("audio", why.audio)) if reason)
        head = Head(init, _grid(first, init, slots), _target(survey.key_times, options.segment), recoded)
        tell.emit(Opened(head, _promised(container, video)))
        _warn_of_start(one_round, start, tell)
        writer = RoundWriter(data, head, slots, first)
        entries = list(_entries(writer, chain((first,), one_round.frames), options, tell))
        _warn_of_audio(slots, tell)
        cycle: tuple[int, ...] = ()
        if slots is not None and one_round.times == 1:
            entries, cycle = _seamless(fd, survey, writer, entries, Sound(writer.length * base, start, slots.phase))
    if survey.truncated:
        tell.warn("truncated", f"The file is cut off; its first {float(writer.length * base):.1f} s are played.")
    return Index(head, writer.length, tuple(entries), writer.size, writer.counts, cycle, tuple(tell.warnings))


def _seamless(
    fd: int, survey: Survey, writer: RoundWriter, entries: list[Entry], sound: Sound
) -> tuple[list[Entry], tuple[int, ...]]:
    """Puts audio that was encoded through the joins into the place of the copied one, and says which round has which.

    Where that cannot be done, the copied frames stay, and a join is heard if the sound is loud there.
    """
    with tracks.open_container(fd, survey) as container:
        audio = tracks.pick_audio(container)
        frames = seamless.encode(container, audio, sound) if audio is not None else None
    if frames is None:
        return entries, ()
    counts = writer.round_counts(len(frames))
    return writer.add_rounds(entries, frames, counts), tuple(range(len(counts)))


def _entries(writer: RoundWriter, frames: Iterator[Frame], options: Options, tell: _Tell) -> Iterator[Entry]:
    """Writes every chunk; the last one is told with the index, for its length depends on all of them."""
    runs = rounds.chunks(frames, options.chunk * writer.timescale)
    held = next(runs)
    for run in runs:
        entry = writer.write(held)
        tell.emit(Wrote(entry, writer.length / writer.timescale))
        yield entry
        held = run
    yield writer.finish(held)


def _promised(container: InputContainer, video: VideoStream) -> float:
    """Seconds of the video itself where the file says so: its audio often hangs over."""
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    return (container.duration or 0) / 1_000_000


def _slots(
    container: InputContainer, audio: AudioStream, survey: Survey, one_round: Round, start: Fraction, base: Fraction
) -> AudioSlots:
    sounds = tracks.sounds(container, audio, survey)
    if one_round.times > 1:
        sounds = tracks.repeated(sounds, start, one_round.length * base, one_round.times)
    try:
        return AudioSlots(tracks.audio_form(audio), sounds, start)
    except ValueError:
        raise Fault("codec-unsupported", "The audio's AAC configuration cannot be read.", "opening") from None


def _grid(first: Frame, init: Init, slots: AudioSlots | None) -> Grid | None:
    if slots is None:
        return None
    # The first picture is shown its reorder delay after decode time 0; the first sound is to be heard with it.
    delay = Fraction(first.pts - first.dts, init.timescale) * slots.rate
    return Grid(max(0, round(delay) + slots.phase), slots.frame)


def _target(key_times: list[float], segment: Fraction) -> int:
    """What the longest segment between key frames at these seconds will be, as `Ring.target_duration` wants it."""
    longest = begun = 0.0
    for at in key_times:
        if at - begun >= segment or at == key_times[-1]:
            longest, begun = max(longest, at - begun), at
    return max(1, int(max(longest, float(segment)) + 0.5))


def _warn_of_start(one_round: Round, start: Fraction, tell: _Tell) -> None:
    if one_round.preroll:
        tell.warn("edit-list-preroll", "The file asks to start between key frames; it starts at the one before.")
    elif start > NOTABLE:
        tell.warn("late-start", f"The first key frame is shown at {float(start):.3f} s; the loop begins there.")


def _warn_of_audio(slots: AudioSlots | None, tell: _Tell) -> None:
    if slots is None:
        return
    filled = Fraction(slots.filled * slots.frame, slots.rate)
    if filled > NOTABLE:
        tell.warn("audio-filled", f"{float(filled):.2f} s of each round have no audio in the file and are silent.")
    left_over = slots.left_over()
    if left_over > NOTABLE:
        tell.warn("audio-cut", f"The audio is {float(left_over):.2f} s longer than the video; its end is left out.")
