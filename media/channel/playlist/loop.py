"""A looping file as a pure function of time: which chunk is out when, and which bytes of the package it is."""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Final

from media.channel.packages.index import AudioSpan, Entry, Head, Index
from media.channel.playlist.timeline import Piece
from media.chunk import Chunk, Init, in_seconds
from media.ring import RingLimits

SEGMENT: Final = RingLimits().segment
LONGEST_SEGMENT: Final = Fraction(10)  # seconds; a group of pictures that lasts longer is cut at any chunk
TINY: Final = 1e-6  # seconds: what a clock's rounding may be off


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where chunk `number` comes from: the `k`-th chunk of round `round`, both from 0."""

    round: int
    k: int


class Loop:
    """The `Timeline` of one file: chunk `k` of round `n` is chunk `k` of round 0, `n` lengths later.

    While the package grows there is only as much of round 0 as is on disk. Segments have at least `segment` seconds and
    begin at key frames; a round begins with one.
    """

    def __init__(self, head: Head, segment: Fraction = SEGMENT) -> None:
        self.head = head
        self.index: Index | None = None
        self.shortest = segment  # seconds of a segment
        self.timescale: Final = head.init.timescale  # that of the video
        self._entries: list[Entry] = []
        self._ends: list[int] = []  # ticks, of each entry
        self._keys: list[int] = []  # numbers of the independent entries
        self._groups: list[int] = []  # number of the first entry of each segment
        self._longest = 0  # ticks, of all segments so far
        self._rates: dict[tuple[int, int], float] = {}  # of whole segments, each with each variant of its audio
        self._target = (-1, 0)  # the target duration for a longest segment

    @classmethod
    def of(cls, index: Index, segment: Fraction = SEGMENT) -> "Loop":
        """The loop of a finished package."""
        loop = cls(index.head, segment)
        loop.finish(index)
        return loop

    def grow(self, entry: Entry) -> None:
        """The next chunk of round 0 is on disk. Raises `ValueError` when it does not follow the one before."""
        if self.index is not None or entry.decode_time != self._filled:
            raise ValueError(f"a chunk at {entry.decode_time} does not follow what ends at {self._filled}")
        if self._begins_segment(entry):
            self._groups.append(len(self._entries))
        if entry.independent:
            self._keys.append(len(self._entries))
        self._entries.append(entry)
        self._ends.append(entry.decode_time + entry.duration)
        self._longest = max(self._longest, self._filled - self._start(self._groups[-1]))

    def finish(self, index: Index) -> None:
        """The package is whole; what `grow` was not told of is taken from its index."""
        for entry in index.entries[len(self._entries) :]:
            self.grow(entry)
        self._entries = list(index.entries)  # the same chunks, with the audio of all rounds
        self.index = index
        self._rates.clear()

    @property
    def init(self) -> Init:
        """The one init of all rounds."""
        return self.head.init

    @property
    def whole(self) -> bool:
        """Whether the package is whole."""
        return self.index is not None

    @property
    def sound_rate(self) -> int:
        """The timescale of the audio; 0 without any."""
        return self.init.audio.timescale if self.init.audio and self.head.grid else 0

    @property
    def chunk_count(self) -> int:
        """Chunks in a round, so far."""
        return len(self._entries)

    @property
    def length(self) -> Fraction | None:
        """Seconds of a round, exact; None while the package grows."""
        return self.index.seconds if self.index else None

    @property
    def segments_per_round(self) -> int:
        """Segments in a round, as far as the package has grown."""
        return len(self._groups)

    @property
    def target_duration(self) -> int:
        """Whole seconds that no segment is longer than when rounded (EXT-X-TARGETDURATION)."""
        if self._target[0] != self._longest:
            longest = max(Fraction(self._longest, self.timescale), self.shortest)
            self._target = self._longest, max(1, self.head.target, floor(longest + Fraction(1, 2)))
        return self._target[1]

    def init_of(self, number: int) -> Init:
        """The one init of all chunks."""
        return self.init

    def file_of(self, number: int) -> int:
        """Always 0: there is one file."""
        return 0

    def first_of(self, file: int) -> int:
        """Always 0, the first chunk of round 0: there is one file."""
        return 0

    def next_join(self, number: int) -> int:
        """The first chunk of the next round, if that chunk is not one."""
        return -(-number // self.chunk_count) * self.chunk_count

    def broken(self, number: int) -> bool:
        """Always false: no chunk of a loop begins behind a discontinuity."""
        return False

    def breaks(self, number: int) -> int:
        """Always 0: a loop has no discontinuities."""
        return 0

    def at(self, number: int) -> ChunkPlace:
        """The place that the chunk comes from."""
        if self.index is None:
            return ChunkPlace(0, number)
        return ChunkPlace(*divmod(number, len(self._entries)))

    def decode_time(self, number: int) -> int:
        """Ticks at which the chunk begins. Raises `IndexError` for a chunk that is not on disk."""
        place = self.at(number)
        return self._offset(place.round) + self._entries[place.k].decode_time

    def begins_at(self, number: int) -> int:
        """Ticks at which the chunk begins, be it the next one of a growing package. Raises `IndexError` past that."""
        if self.index is None:
            return self._filled if number == len(self._entries) else self._entries[number].decode_time
        rounds, k = divmod(number, len(self._entries))
        return rounds * self.index.length + self._entries[k].decode_time

    def begins(self, number: int) -> Fraction:
        """Seconds of the loop's own time at which the chunk begins.

        The chunk may be the next one of a growing package. Raises `IndexError` past that.
        """
        return Fraction(self.begins_at(number), self.timescale)

    def ends(self, number: int) -> Fraction:
        """Seconds of the loop's own time at which the chunk ends. Raises `IndexError` for one not on disk."""
        place = self.at(number)
        return Fraction(self._offset(place.round) + self._ends[place.k], self.timescale)

    def lasts(self, number: int) -> Fraction:
        """Seconds of the chunk. Raises `IndexError` for one not on disk."""
        return in_seconds(self._entries[self.at(number).k].duration, self.timescale)

    def ended_by(self, seconds: float) -> int:
        """How many chunks have ended after so many seconds of the loop's own time."""
        ticks = floor((seconds + TINY) * self.timescale)
        return self.ended_by_ticks(ticks) if ticks >= 0 else 0

    def ended_by_ticks(self, ticks: int) -> int:
        """How many chunks have ended after so many ticks of the loop's own time."""
        if self.index is None:
            return bisect_right(self._ends, ticks)
        rounds, rest = divmod(ticks, self.index.length)
        return rounds * len(self._entries) + bisect_right(self._ends, rest)

    def key_at(self, seconds: Fraction) -> int:
        """The number in round 0 of the last independent chunk that begins no later; past the end, the last there is."""
        ticks = floor(seconds * self.timescale)
        k = min(bisect_right(self._ends, ticks), len(self._entries) - 1)
        return self._keys[bisect_right(self._keys, k) - 1]

    def bounds(self, msn: int) -> tuple[int, int, bool]:
        """The first chunk of a segment of the loop's own numbering, the one behind its last, and whether it is whole.

        Raises `IndexError` for one that is not on disk.
        """
        rounds, group = divmod(msn, len(self._groups)) if self.index else (0, msn)
        last = group + 1 == len(self._groups)
        end = len(self._entries) if last else self._groups[group + 1]
        base = rounds * len(self._entries)
        return base + self._groups[group], base + end, self.index is not None or not last

    def rate(self, msn: int) -> float:
        """Bits a second of a whole segment of the loop's own numbering."""
        if self.index is None:
            return self.rate_of(msn, 0)
        rounds, group = divmod(msn, len(self._groups))
        return self.rate_of(group, self.index.variant(rounds))

    def rate_of(self, group: int, variant: int) -> float:
        """Bits a second of a segment of round 0, as it is in rounds that take this variant of the audio.

        All channels ask for it every few seconds, so it is counted once.
        """
        rate = self._rates.get((group, variant))
        if rate is None:
            end = self._groups[group + 1] if group + 1 < len(self._groups) else len(self._entries)
            entries = self._entries[self._groups[group] : end]
            size = sum(entry.video.size + (entry.sound(variant).size if entry.audio else 0) for entry in entries)
            ticks = sum(entry.duration for entry in entries)
            rate = self._rates[group, variant] = 8 * size * self.timescale / ticks
        return rate

    def independent(self, number: int) -> bool:
        """Whether the chunk begins with a key frame."""
        return self._entries[self.at(number).k].independent

    def sound_from(self, number: int) -> int | None:
        """Ticks at which the audio of this chunk and those behind it begins; None without any (that is on disk)."""
        for at in range(number, number + self.chunk_count if self.index else self.chunk_count):
            audio = self.pieces(at)[1:]
            if audio:
                return audio[0].decode_time
        return None

    def sound_until(self, number: int) -> int | None:
        """Ticks at which the audio of the chunks before this one ends; None when none of them has any."""
        for at in range(number - 1, max(-1, number - 1 - self.chunk_count), -1):
            audio = self.pieces(at)[1:]
            if audio and self.head.grid:
                return audio[0].decode_time + self._sound_count(at) * self.head.grid.frame
        return None

    def _sound_count(self, number: int) -> int:
        place = self.at(number)
        return self._span(place).count

    def _span(self, place: ChunkPlace) -> AudioSpan:
        return self._entries[place.k].sound(self.index.variant(place.round) if self.index else 0)

    def position(self, elapsed: float) -> tuple[int, Fraction]:
        """The round, and seconds in it, of a moment of the loop's own time."""
        seconds = Fraction(max(0.0, elapsed))
        if self.length is None:
            return 0, seconds
        rounds, rest = divmod(seconds, self.length)
        return int(rounds), rest

    def stamp(self, number: int, ticks: int) -> int:
        """Ticks of the timeline as ticks of the chunk's init, which are the same here."""
        return ticks

    def chunk(self, number: int, shift: int, data: bytes) -> Chunk:
        """That chunk, `shift` ticks later, `data` being its stamped fragments."""
        entry = self._entries[self.at(number).k]
        return Chunk(number, self.init, self.decode_time(number) + shift, entry.duration, entry.independent, data)

    def entry(self, k: int) -> Entry:
        """A chunk of round 0."""
        return self._entries[k]

    def pieces(self, number: int, shift: int = 0, sound: int = 0) -> tuple[Piece, ...]:
        """What to read for that chunk and how to stamp it: `shift` and `sound` are ticks later, of video and audio."""
        place = self.at(number)
        entry = self._entries[place.k]
        begins = self._offset(place.round) + entry.decode_time + shift
        video = Piece(entry.video.offset, entry.video.size, 2 * number + 1, begins)
        grid = self.head.grid
        if grid is None or not entry.audio:
            return (video,)
        span = self._span(place)
        if not span.count:
            return (video,)
        first = (self.index.first_frame(place.round) if self.index else 0) + span.first
        return video, Piece(span.offset, span.size, 2 * number + 2, grid.base + first * grid.frame + sound)

    def newest_key(self, number: int) -> int | None:
        """The newest independent chunk up to and with that one."""
        place = self.at(number)
        at = bisect_right(self._keys, place.k)  # the first chunk of a round always is one
        return number - place.k + self._keys[at - 1] if at else None

    def segment_of(self, number: int) -> int:
        """The media sequence number of the segment that the chunk belongs to."""
        rounds, k = divmod(number, len(self._entries)) if self.index else (0, number)
        return rounds * len(self._groups) + bisect_right(self._groups, k) - 1

    @property
    def _filled(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _start(self, k: int) -> int:
        return self._entries[k].decode_time

    def _offset(self, round_number: int) -> int:
        return round_number * self.index.length if self.index else 0

    def _begins_segment(self, entry: Entry) -> bool:
        if not self._groups:
            return True
        lasted = entry.decode_time - self._start(self._groups[-1])
        if lasted + entry.duration > LONGEST_SEGMENT * self.timescale:
            return True
        # Half a chunk of tolerance, as in `LiveRing`: 1.98 s between key frames are meant to be 2 s.
        return entry.independent and lasted + Fraction(entry.duration, 2) >= self.shortest * self.timescale
