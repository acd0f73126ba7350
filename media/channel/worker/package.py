"""Turns a file into a package: the chunks of one round of a loop on disk, and their index. A task of a worker."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from media.channel.packages import cache_folder, index
from media.channel.packages.index import Entry, Grid, Head, Index
from media.channel.worker import chunk_writer, file_sound, file_tracks, loop_audio, transcode_file
from media.channel.worker.chunk_writer import RoundWriter
from media.channel.worker.file_sound import AudioSlots
from media.channel.worker.file_tracks import FileFrame, Round
from media.channel.worker.loop_audio import LoopSound
from media.channel.worker.transcode_file import Reasons, Tracks
from media.chunk import Init
from media.effects.overlay import Mark
from media.faults import Fault, shortage
from media.mp4 import intake
from media.mp4.intake import Survey
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished, TaskProgress, TaskReady, WarningRaised

LOOK_EVERY: Final = 1.0  # seconds between two looks whether it may begin
MARGIN: Final = 1.2  # how much faster than needed recoding must be before its channel begins
NOTABLE: Final = Fraction(1, 10)  # seconds of audio or video left out or made up that are worth a warning


@dataclass(frozen=True, slots=True)
class Options:
    """Limits in seconds: the shortest chunk (but before a key frame), the shortest segment, the shortest loop.

    `mark`: a watermark to burn in.
    """

    chunk: Fraction = Fraction(33, 100)
    segment: Fraction = Fraction(2)
    loop: Fraction = Fraction(1, 2)
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class TracksFound:
    """The first event: what the chunks will be, and how many seconds of them the file promises."""

    head: Head
    seconds: float


@dataclass(frozen=True, slots=True)
class Wrote:
    """A chunk is on disk, and `done` of the promised seconds with it. The last chunk comes with the index instead."""

    entry: Entry
    done: float


@dataclass(frozen=True, slots=True)
class Done:
    """The last event: the index, which is on disk as well."""

    index: Index


@dataclass(frozen=True, slots=True)
class Recoding:
    """An event before all others, where tracks cannot be copied: from here on a thread decodes and encodes as it
    can.
    """


PackageEvent = TracksFound | Wrote | WarningRaised | Done | Recoding
Emit = Callable[[PackageEvent], None]


class _Stopped(Exception):
    """Ends the packaging: the gateway has asked for an end."""


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """The task of a worker. `spec`: `path` of the file, `folder` of the package (it exists), both absolute; `mark`, if
    there is one, as `Mark.stored` takes it.

    It sends these messages. `TaskProgress` with `recoding`, if tracks have to be encoded: it goes on when an `Order`
    comes. `TaskProgress` with `head` and `seconds`. `TaskProgress` with `chunk` and `done` for each chunk. `TaskReady`
    once there is something to play: the first segment, or so much that the rest will be there in time.
    `WarningRaised`. `Finished` when the index is on disk.
    """
    options = Options(mark=Mark.stored(spec.get("mark")))
    pace = Headstart(options.segment)

    def emit(event: PackageEvent) -> None:
        if isinstance(event, Recoding):
            os.nice(transcode_file.NICE)
            channel.send(TaskProgress({"recoding": True}))
            while not channel.stopping and channel.receive(LOOK_EVERY) is None:
                pass
            pace.begin()
        if channel.stopping:
            raise _Stopped
        playable = pace.may_play(event)
        if playable and isinstance(event, Done):
            channel.send(TaskReady({}))
        if not isinstance(event, Recoding):
            channel.send(_message(event))
        if playable and isinstance(event, Wrote):
            channel.send(TaskReady({}))  # behind its chunk: whoever begins to play then has a whole segment

    fd = intake.open_regular(Path(spec["path"]))
    try:
        package(fd, Path(spec["folder"]), options, emit)
    except _Stopped:
        channel.send(Finished({"stopped": True}))
    finally:
        os.close(fd)


class Headstart:
    """Knows when playing may begin: the first segment is there, and what is recoded stays ahead of who watches."""

    def __init__(self, segment: Fraction, clock: Callable[[], float] = time.monotonic) -> None:
        self._segment = segment
        self._clock = clock
        self._promised = 0.0
        self._said = False
        self._began: float | None = None  # None: nothing is recoded

    def begin(self) -> None:
        """Notes that from now on something is encoded."""
        self._began = self._clock()

    def may_play(self, event: PackageEvent) -> bool:
        """Whether playing may begin at this event. True for one event only."""
        if isinstance(event, TracksFound):
            self._promised = event.seconds
        playable = isinstance(event, Done) or (isinstance(event, Wrote) and self._stays_ahead(event.done))
        fresh = playable and not self._said
        self._said = self._said or playable
        return fresh

    def _stays_ahead(self, done: float) -> bool:
        if done <= self._segment:
            return False
        if self._began is None:
            return True
        rest = max(0.0, self._promised - done) / done * (self._clock() - self._began)
        return rest * MARGIN <= max(self._promised, done)


def _message(event: TracksFound | Wrote | WarningRaised | Done) -> TaskProgress | WarningRaised | Finished:
    if isinstance(event, TracksFound):
        return TaskProgress({"head": event.head.packed(), "seconds": event.seconds})
    if isinstance(event, Wrote):
        return TaskProgress({"chunk": event.entry.packed(), "done": event.done})
    if isinstance(event, Done):
        return Finished({"seconds": float(event.index.seconds)})
    return event


def package(fd: int, folder: Path, options: Options, emit: Emit) -> Index:
    """Packages the MP4 or QuickTime file `fd` into `folder`, which exists; returns the index that it saved there.

    H.264 (8 bits, 4:2:0), H.265, AAC, MP3 and Opus are copied; a track of anything else is recoded while it is
    packaged, and so is the picture if a watermark is burnt in: `emit` hears `Recoding` before. What was in the folder
    before is replaced. When it fails, no index is left, so nobody takes it for a package. Faults: `file-empty`,
    `file-not-regular`, `file-not-media`, `codec-unsupported`, `limits-exceeded`; `capacity-exceeded` when the disk
    is full, `internal` when it cannot be written to.
    """
    survey = intake.survey(fd)
    (folder / index.INDEX_NAME).unlink(missing_ok=True)
    (folder / index.DATA_NAME).unlink(missing_ok=True)  # not truncated: a channel may still read the old one
    with file_tracks.open_container(fd, survey) as container:
        why = transcode_file.reasons(container, fd, survey, options.mark is not None)
        file = _File(fd, survey, container, why)
        if file.why.any:
            emit(Recoding())
        made = _save(file, folder, options, _Tell(emit))
    emit(Done(made))
    return made


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is packaged, and which of its tracks are encoded."""

    fd: int
    survey: Survey
    container: InputContainer
    why: Reasons


class _Tell:
    """Passes events on and keeps the warnings among them."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.warnings: list[tuple[str, str]] = []

    def warn(self, code: str, detail: str) -> None:
        self.warnings.append((code, detail))
        self.emit(WarningRaised(code, detail))


def _save(file: _File, folder: Path, options: Options, tell: _Tell) -> Index:
    why = file.why
    try:
        with (folder / index.DATA_NAME).open("xb", buffering=0) as data:
            made = _write(file, options, tell, data.fileno())
            os.fsync(data.fileno())
        index.save(made, folder)
    except av.FFmpegError as error:
        if (short := shortage(error, "packaging")) is not None:
            raise short from None
        detail = (
            f"{why.video or why.audio} It cannot be recoded." if why.any else "The file's tracks cannot be packaged."
        )
        raise Fault("codec-unsupported", detail, "transcoding" if why.any else "packaging") from None
    except OSError as error:
        raise cache_folder.unwritable(error) from error
    return made


def _write(file: _File, options: Options, tell: _Tell, data: int) -> Index:
    survey = file.survey
    made = Tracks(file.container, file.fd, survey, file.why, options.mark)
    one_round = file_tracks.video_round(made, options.loop)
    first = next(one_round.frames)
    start = first.pts * made.base
    slots = _slots(made, one_round, first)
    target = max(1, int(made.longest_segment(options.segment) + 0.5))
    head = Head(made.init, _grid(first, made.init, slots), target, file.why.told)
    tell.emit(TracksFound(head, promised(file.container)))
    _warn_of_start(start - Fraction(file.container.start_time or 0, 1_000_000), tell)
    writer = RoundWriter(data, head, slots, first)
    entries = list(_entries(writer, chain((first,), one_round.frames), options, tell))
    _warn_of_audio(slots, tell)
    if made.audio_track is None and file.container.streams.audio:
        tell.warn("audio-unsupported", "No audio track of the file is of a codec that is decoded here; it is left out.")
    cycle: tuple[int, ...] = ()
    if slots is not None and one_round.times == 1:
        sound = LoopSound(writer.length * made.base, start, slots.phase)
        entries, cycle = _loop_audio(file, made.audio_track, writer, entries, sound)
    if survey.truncated:
        tell.warn("truncated", f"The file is cut off; its first {float(writer.length * made.base):.1f} s are played.")
    return Index(head, writer.length, tuple(entries), writer.size, writer.counts, cycle, tuple(tell.warnings))


def _loop_audio(
    file: _File, packaged: AudioStream | None, writer: RoundWriter, entries: list[Entry], sound: LoopSound
) -> tuple[list[Entry], tuple[int, ...]]:
    """Replaces the copied audio by audio that was encoded through the joins, and says which round has which frames.

    Where that cannot be done, the copied frames stay, and a join is heard if the sound is loud there.
    """
    with file_tracks.open_container(file.fd, file.survey) as container:
        audio = file_sound.pick_audio(container)
        frames = None
        if audio is not None and packaged is not None:
            frames = loop_audio.encode(container, audio, packaged if file.why.audio else audio, sound)
    if frames is None:
        return entries, ()
    counts = writer.round_counts(len(frames))
    return writer.add_rounds(entries, frames, counts), tuple(range(len(counts)))


def _entries(writer: RoundWriter, frames: Iterator[FileFrame], options: Options, tell: _Tell) -> Iterator[Entry]:
    """Writes every chunk; the last one is told with the index, for its length depends on all of them."""
    runs = chunk_writer.chunks(frames, options.chunk * writer.timescale)
    held = next(runs)
    for run in runs:
        entry = writer.write(held)
        tell.emit(Wrote(entry, writer.length / writer.timescale))
        yield entry
        held = run
    yield writer.finish(held)


def promised(container: InputContainer) -> float:
    """Seconds of the video itself where the file says so, since its audio is often longer."""
    video = file_tracks.pick_video(container)
    if video.duration and video.time_base:
        begun = video.start_time or 0
        # The duration of fragments is when they end: their times may count from 1970.
        since_zero = not video.frames and begun * video.time_base > 1
        return float((video.duration - begun if since_zero else video.duration) * video.time_base)
    return (container.duration or 0) / 1_000_000


def _slots(made: Tracks, one_round: Round, first: FileFrame) -> AudioSlots | None:
    start, lead = first.pts * made.base, (first.pts - first.dts) * made.base
    try:
        form = made.audio_form()
    except ValueError:
        raise Fault("codec-unsupported", "The audio's AAC configuration cannot be read.", "opening") from None
    if form is None:
        return None
    sounds = made.sounds()
    if one_round.times > 1:
        sounds = file_sound.repeated(sounds, start, one_round.length * made.base, one_round.times)
    return AudioSlots(form, sounds, start, lead)


def _grid(first: FileFrame, init: Init, slots: AudioSlots | None) -> Grid | None:
    if slots is None:
        return None
    # The first picture is shown its reorder delay after decode time 0; the first sound is to be heard with it.
    delay = Fraction(first.pts - first.dts, init.timescale) * slots.rate
    return Grid(max(0, round(delay) + slots.phase), slots.frame)


def _warn_of_start(start: Fraction, tell: _Tell) -> None:
    """Warns if the first key frame is late. `start`: seconds from the beginning of the file to its first key frame."""
    if start > NOTABLE:
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
