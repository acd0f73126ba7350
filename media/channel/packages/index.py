"""The index of a package: which bytes on disk are which chunk of a loop."""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from media.chunk import Init
from media.mp4 import moov

DATA_NAME: Final = "chunks.bin"
INDEX_NAME: Final = "index.json"
VERSION: Final = 4
_PREFIX: Final = b'{"sha256":"%s","index":'

Packed = list[Any]


class TornPackage(ValueError):
    """A package that was never finished or does not fit its data: to be made again."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of the data file: one fragment, stamped as in round 0."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class AudioSpan:
    """An audio fragment: its bytes, and which frames of its round it holds: `first` to `first + count - 1`.

    A variant that has no frame in a chunk has a span of no bytes there.
    """

    offset: int
    size: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One chunk of round 0, in ticks of the video track.

    `audio` is empty where no audio frame begins in the chunk; else it holds one span, or one for each audio variant
    where they differ.
    """

    decode_time: int
    duration: int
    independent: bool
    video: ByteRange
    audio: tuple[AudioSpan, ...] = ()

    def sound(self, variant: int) -> AudioSpan:
        """The chunk's audio in rounds that take that variant. Raises `IndexError` where there is none."""
        return self.audio[variant if len(self.audio) > 1 else 0]

    def packed(self) -> Packed:
        """The entry as JSON-ready values without names: a long file has a hundred thousand entries."""
        spans = [[one.offset, one.size, one.first, one.count] for one in self.audio]
        return [self.decode_time, self.duration, int(self.independent), self.video.offset, self.video.size, spans]

    @classmethod
    def unpacked(cls, packed: Packed) -> "Entry":
        """The entry that `packed` made these values of. Raises `ValueError` or `TypeError` for anything else."""
        decode_time, duration, independent, offset, size, spans = packed
        return cls(
            decode_time, duration, bool(independent), ByteRange(offset, size), tuple(AudioSpan(*one) for one in spans)
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """The audio frames of a loop that never ends: frame `i` is decoded at `base + i * frame`, in ticks of the track."""

    base: int
    frame: int


@dataclass(frozen=True)
class Head:
    """What is known of a package before its first chunk. `grid` None: no audio; `target`: see `Ring`, in seconds.

    `recoded`: the tracks (`video`, `audio`) that are not copies of the file's, each with the reason.
    """

    init: Init
    grid: Grid | None
    target: int
    recoded: tuple[tuple[str, str], ...] = ()

    def packed(self) -> dict[str, Any]:
        """The head as JSON-ready values. The tracks are read from the init again; only the frame rate is not in it."""
        return {
            "init": b64encode(self.init.data).decode(),
            "fps": self.init.video.fps if self.init.video else 0.0,
            "grid": [self.grid.base, self.grid.frame] if self.grid else None,
            "target": self.target,
            "recoded": self.recoded,
        }

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> "Head":
        """The head that `packed` made these values of. Raises `ValueError`, `TypeError` or `KeyError` for anything
        else.
        """
        init = moov.declared(b64decode(packed["init"], validate=True), packed["fps"])
        recoded = tuple((track, reason) for track, reason in packed["recoded"])
        return cls(init, Grid(*packed["grid"]) if packed["grid"] else None, packed["target"], recoded)


@dataclass(frozen=True)
class Index:
    """A whole package: round 0 of a loop of `length` ticks.

    The audio of a loop is rarely a whole number of frames, so a round comes in variants; `counts` says how many frames
    each variant holds. Round `n` takes variant `cycle[n % len(cycle)]`. Without a cycle it takes the first variant with
    as many frames as the grid has room for between its start and the start of the next round. `size` is that of the
    data file. `warnings` are pairs of a code and a sentence.
    """

    head: Head
    length: int
    entries: tuple[Entry, ...]
    size: int
    counts: tuple[int, ...] = ()
    cycle: tuple[int, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def seconds(self) -> Fraction:
        """The length of the loop, exact."""
        return Fraction(self.length, self.head.init.timescale)

    def first_frame(self, round_number: int) -> int:
        """The number on the endless grid of the first audio frame of a round: the nearest to where the round begins."""
        return first_frame(self.head, self.length, round_number)

    def variant(self, round_number: int) -> int:
        """Which audio variant that round takes; 0 without audio."""
        if self.cycle:
            return self.cycle[round_number % len(self.cycle)]
        if len(self.counts) < 2:
            return 0
        return self.counts.index(self.first_frame(round_number + 1) - self.first_frame(round_number))

    def check(self) -> None:
        """Raises `TornPackage` unless the chunks follow one another without a gap and lie within the data file."""
        for ok, what in self._rules():
            if not ok:
                raise TornPackage(f"a package whose {what}")

    def _rules(self) -> Iterator[tuple[bool, str]]:
        yield bool(self.entries), "index is empty"
        at = 0
        for entry in self.entries:
            yield entry.decode_time == at and entry.duration > 0, "chunks do not follow one another"
            yield len(entry.audio) in (0, 1, len(self.counts)), "chunks have audio variants that are not listed"
            yield entry.video.size > 0, "chunks have no picture"
            spans = [(entry.video.offset, entry.video.size), *((one.offset, one.size) for one in entry.audio)]
            for offset, size in spans:
                yield offset >= 0 <= size and offset + size <= self.size, "data is too short"
            at += entry.duration
        yield at == self.length, "chunks do not add up to its length"
        yield self.entries[0].independent, "first chunk does not begin with a key frame"
        yield (self.head.grid is None) == (not self.counts), "audio has no frame counts"
        yield all(0 <= one < len(self.counts) for one in self.cycle), "rounds have audio variants that are not listed"


def first_frame(head: Head, length: int, round_number: int) -> int:
    """The number, on the loop's audio grid, of the frame at which round `n` begins; 0 without audio.

    `n * length` in frames, rounded to the nearest: never more than half a frame off, however large `n` is.
    """
    if head.grid is None or head.init.audio is None:
        return 0
    frame = head.init.timescale * head.grid.frame
    return (2 * round_number * length * head.init.audio.timescale + frame) // (2 * frame)


def save(index: Index, folder: Path) -> None:
    """Writes the index so that it is there whole or not at all, also after a power cut. Raises `OSError`."""
    body = json.dumps(_packed(index), separators=(",", ":")).encode()
    data = _PREFIX % sha256(body).hexdigest().encode() + body + b"}"
    temporary = folder / f"{INDEX_NAME}.part"
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / INDEX_NAME)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(folder: Path) -> Index:
    """The index of a finished package. Raises `TornPackage` when there is none, or it does not fit its data file."""
    try:
        raw = (folder / INDEX_NAME).read_bytes()
        size = (folder / DATA_NAME).stat().st_size
    except OSError as error:
        raise TornPackage("a package without an index") from error
    start = len(_PREFIX % bytes(64))
    body = raw[start:-1]
    if raw[:start] != _PREFIX % sha256(body).hexdigest().encode() or raw[-1:] != b"}":
        raise TornPackage("a package whose index is damaged")
    try:
        index = _unpacked(json.loads(body))
    except (ValueError, TypeError, KeyError) as error:
        raise TornPackage("a package of another version") from error
    if index.size != size:
        raise TornPackage(f"a package whose data file has {size} bytes instead of {index.size}")
    index.check()
    return index


def _packed(index: Index) -> dict[str, Any]:
    return {
        "version": VERSION,
        **index.head.packed(),
        "length": index.length,
        "size": index.size,
        "counts": index.counts,
        "cycle": index.cycle,
        "warnings": index.warnings,
        "chunks": [entry.packed() for entry in index.entries],
    }


def _unpacked(packed: dict[str, Any]) -> Index:
    if packed["version"] != VERSION:
        raise ValueError("another version")
    return Index(
        Head.unpacked(packed),
        packed["length"],
        tuple(Entry.unpacked(one) for one in packed["chunks"]),
        packed["size"],
        tuple(packed["counts"]),
        tuple(packed["cycle"]),
        tuple((code, detail) for code, detail in packed["warnings"]),
    )
