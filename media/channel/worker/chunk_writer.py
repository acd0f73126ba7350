"""Cuts the frames of one round of a loop into chunks and writes them behind one another into a data file."""

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Final

from media.channel.packages.index import AudioSpan, ByteRange, Entry, Head, first_frame
from media.channel.worker.file_sound import AudioSlots
from media.channel.worker.file_tracks import FileFrame
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample

LONGEST_GROUP: Final = 12  # chunks: so much is gathered to be cut evenly, key frame or not


def chunks(frames: Iterator[FileFrame], shortest: Fraction) -> Iterator[list[FileFrame]]:
    """Runs of frames that last `shortest` ticks rounded up to whole frames, or a little less.

    A key frame always begins one. Between two key frames they are as even as can be: low-latency HLS allows no short
    part within a segment.
    """
    group: list[FileFrame] = []
    lasted = 0
    limit = shortest * LONGEST_GROUP
    for frame in frames:
        if group and (frame.key or lasted >= limit):
            yield from _split(group, lasted, shortest)
            group, lasted = [], 0
        group.append(frame)
        lasted += frame.duration
    if group:
        yield from _split(group, lasted, shortest)


def _split(group: list[FileFrame], lasted: int, shortest: Fraction) -> Iterator[list[FileFrame]]:
    most = ceil(shortest * len(group) / lasted)  # frames in a run, if all are equally long
    count = -(-len(group) // most)
    run: list[FileFrame] = []
    at, part = 0, 1
    for frame in group:
        if run and at * count >= part * lasted:
            yield run
            run, part = [], at * count // lasted + 1
        run.append(frame)
        at += frame.duration
    yield run


class RoundWriter:
    """Appends the chunks of one round to `data`, the descriptor of an empty file.

    `size` is bytes and `length` ticks of what has been written; `counts`, known after `finish`, is how many audio
    frames each variant of the round has.
    """

    def __init__(self, data: int, head: Head, slots: AudioSlots | None, first: FileFrame) -> None:
        self.size = 0
        self.length = 0
        self.counts: tuple[int, ...] = ()
        self.timescale = head.init.timescale
        self._data = data
        self._head = head
        self._slots = slots
        self._first_shown = self._last_shown = first.pts

    def write(self, frames: list[FileFrame]) -> Entry:
        """Writes a chunk that is not the last one."""
        begin, end = self._slot(self.length), self._slot(self.length + _lasting(frames))
        sounds = self._slots.take(floor(end)) if self._slots else []
        return self._put(frames, 0, floor(begin), [sounds] if sounds else [])

    def finish(self, frames: list[FileFrame]) -> Entry:
        """Writes the last chunk. It lasts until every frame has been shown, for then the next round begins.

        The frame that is shown last is shown for as long as the frame that is decoded last is said to last.
        """
        shown = max(self._last_shown, *(frame.pts for frame in frames)) - self._first_shown
        duration = max(_lasting(frames), shown + frames[-1].duration - self.length)
        begin, end = floor(self._slot(self.length)), self._slot(self.length + duration)
        variants: list[list[bytes]] = []
        if self._slots:
            # Rounds begin at the audio frame nearest to them, so they have the one or the other number of frames.
            self.counts = tuple(sorted({floor(end), ceil(end)}))
            sounds = self._slots.take(ceil(end))
            variants = [sounds[: count - begin] for count in self.counts]
        return self._put(frames, duration - _lasting(frames), begin, variants)

    def round_counts(self, frames: int) -> tuple[int, ...]:
        """How many of these audio frames, which are those of a whole number of rounds, each round has on the grid."""
        starts = [0]
        while starts[-1] < frames:
            starts.append(first_frame(self._head, self.length, len(starts)))
        return tuple(end - begin for begin, end in pairwise(starts))

    def add_rounds(self, entries: list[Entry], sounds: list[bytes], counts: tuple[int, ...]) -> list[Entry]:
        """Writes the chunks again with the audio of as many rounds as there are `counts`, all of whose frames are
        `sounds`.
        """
        spans: list[list[AudioSpan]] = [[] for _ in entries]
        begun = 0
        for count in counts:
            for entry, found in zip(entries, spans, strict=True):
                begin = floor(self._slot(entry.decode_time))
                last = entry is entries[-1]
                end = count if last else floor(self._slot(entry.decode_time + entry.duration))
                fragment = self._audio(begin, sounds[begun + begin : begun + end])
                found.append(AudioSpan(self.size, len(fragment), begin, max(0, end - begin)))
                _write_all(self._data, fragment)
                self.size += len(fragment)
            begun += count
        self.counts = counts
        return [replace(entry, audio=tuple(found)) for entry, found in zip(entries, spans, strict=True)]

    def _put(self, frames: list[FileFrame], longer: int, begin: int, variants: list[list[bytes]]) -> Entry:
        video = self._video(frames, longer)
        fragments = [self._audio(begin, sounds) for sounds in variants]
        spans = []
        at = self.size + len(video)
        for sounds, fragment in zip(variants, fragments, strict=True):
            spans.append(AudioSpan(at, len(fragment), begin, len(sounds)))
            at += len(fragment)
        duration = _lasting(frames) + longer
        entry = Entry(self.length, duration, frames[0].key, ByteRange(self.size, len(video)), tuple(spans))
        _write_all(self._data, b"".join((video, *fragments)))
        self.size = at
        self.length += duration
        return entry

    def _video(self, frames: list[FileFrame], longer: int) -> bytes:
        samples = [Sample(one.data, one.duration, one.key, one.pts - one.dts) for one in frames]
        samples[-1] = samples[-1]._replace(duration=samples[-1].duration + longer)
        self._last_shown = max(self._last_shown, *(one.pts for one in frames))
        return _fragment(fmp4.VIDEO_TRACK, self.length, samples)

    def _audio(self, begin: int, sounds: list[bytes]) -> bytes:
        grid = self._head.grid
        if grid is None or not sounds:
            return b""
        return _fragment(
            fmp4.AUDIO_TRACK, grid.base + begin * grid.frame, [Sample(one, grid.frame, True) for one in sounds]
        )

    def _slot(self, ticks: int) -> Fraction:
        """A time of the round in audio frames from the round's first one."""
        if self._slots is None:
            return Fraction(0)
        return Fraction(ticks * self._slots.rate, self.timescale * self._slots.frame)


def _lasting(frames: list[FileFrame]) -> int:
    return sum(frame.duration for frame in frames)


def _fragment(track: int, decode_time: int, samples: list[Sample]) -> bytes:
    try:
        return fmp4.fragment(track, 0, decode_time, samples)  # the sequence number is stamped when it is read
    except ValueError:
        raise Fault(
            "limits-exceeded", "The file has a frame that is too large or lasts too long.", "packaging"
        ) from None


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
