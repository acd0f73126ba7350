"""A list of files as one timeline: one round plays all of them in order."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor, lcm
from typing import Final

from media.channel.packages.index import AudioSpan, Grid
from media.channel.playlist.loop import TINY, Loop
from media.channel.playlist.timeline import Piece
from media.chunk import Chunk, Init

HALF: Final = Fraction(1, 2)


class PlaylistTimeline:
    """The `Timeline` of a list of files, as arithmetic on the loops of its files.

    One tick of every file is a whole number of ticks of `timescale`, so where each file begins is exact, however many
    rounds later. Every file begins a segment. A file begins behind a discontinuity if its init is another than that of
    the file before it, or if its pictures come earlier or later behind their sound.

    The audio of all files with the same frames is on one endless grid. A file begins at the frame of the grid that is
    nearest to its first picture, and its audio variant is the one that ends where the next file begins.

    The list grows while its files are packaged: it reaches up to the first file whose package is not whole.
    """

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = tuple(loops)
        self._scale = lcm(*(loop.timescale for loop in loops))
        self._rate = lcm(*(loop.sound_rate or 1 for loop in loops)) if any(loop.sound_rate for loop in loops) else 0
        self._begins = [0]  # ticks, of each file that counts; then of the next round, once all are whole
        self._firsts = [0]  # as chunks
        self._msns = [0]  # as segments
        pairs = list(zip((self._loops[-1], *self._loops), self._loops, strict=False))
        self._broken = [_differs(before, loop) for before, loop in pairs]
        self._bases = self._sound_bases()
        self._settle()

    @property
    def whole(self) -> bool:
        """Whether all packages are whole."""
        return self._settle()

    @property
    def timescale(self) -> int:
        """The least common multiple of the timescales of all files."""
        return self._scale

    @property
    def sound_rate(self) -> int:
        """The least common multiple of the audio timescales of the files that have audio; 0 when none has."""
        return self._rate

    @property
    def chunk_count(self) -> int:
        """Chunks in a round, so far."""
        return self._firsts[-1] if self._settle() else self._firsts[-1] + self._loops[len(self._firsts) - 1].chunk_count

    @property
    def length(self) -> Fraction | None:
        """Seconds of a round, exact; None while it grows."""
        return Fraction(self._begins[-1], self._scale) if self._settle() else None

    @property
    def target_duration(self) -> int:
        """The longest target duration of all files, in whole seconds."""
        return max(loop.target_duration for loop in self._loops)

    def init_of(self, number: int) -> Init:
        """The init of the file that the chunk is of."""
        return self._loops[self.file_of(number)].init

    def file_of(self, number: int) -> int:
        """Which file's chunk it is."""
        return self._place(number)[1]

    def first_of(self, file: int) -> int:
        """The number in round 0 of a file's first chunk. Raises `IndexError` for one that is not known yet."""
        self._settle()
        return self._firsts[file]

    def next_join(self, number: int) -> int:
        """That chunk if a file begins with it, else the next chunk with which a file begins."""
        round_number, file, k = self._place(number)
        return round_number * self._firsts[-1] + self._firsts[file + (k > 0)]

    def broken(self, number: int) -> bool:
        """Whether a file begins there that cannot follow without a discontinuity."""
        _, file, k = self._place(number)
        return number > 0 and k == 0 and self._broken[file]

    def breaks(self, number: int) -> int:
        """How many `broken` chunks there are up to and with that one."""
        round_number, file, _ = self._place(number)
        return round_number * sum(self._broken) + sum(self._broken[: file + 1]) - self._broken[0]

    def begins_at(self, number: int) -> int:
        """Ticks at which the chunk begins, be it the next one of what grows. Raises `IndexError` past that."""
        round_number, file, k = self._place(number)
        return self._file_begins(round_number, file) + self._loops[file].begins_at(k) * self._ratio(file)

    def begins(self, number: int) -> Fraction:
        """Seconds at which the chunk begins, be it the next one of what grows. Raises `IndexError` past that."""
        return Fraction(self.begins_at(number), self._scale)

    def ends(self, number: int) -> Fraction:
        """Seconds at which the chunk ends. Raises `IndexError` for one not on disk."""
        round_number, file, k = self._place(number)
        return Fraction(self._file_begins(round_number, file), self._scale) + self._loops[file].ends(k)

    def lasts(self, number: int) -> Fraction:
        """Seconds of the chunk. Raises `IndexError` for one not on disk."""
        _, file, k = self._place(number)
        return self._loops[file].lasts(k)

    def ended_by(self, seconds: float) -> int:
        """How many chunks have ended after so many seconds."""
        ticks = floor((seconds + TINY) * self._scale)
        if ticks < 0:
            return 0
        rounds, rest = divmod(ticks, self._begins[-1]) if self._settle() else (0, ticks)
        file = self._file_at(self._begins, rest)
        within = (rest - self._begins[file]) // self._ratio(file)
        return rounds * self._firsts[-1] + self._firsts[file] + self._loops[file].ended_by_ticks(within)

    def key_at(self, seconds: Fraction) -> int:
        """The number in round 0 of the last independent chunk that begins no later; past the end, the last there is."""
        self._settle()
        file = self._file_at(self._begins, floor(seconds * self._scale))
        while not self._loops[file].chunk_count:
            file -= 1
        return self._firsts[file] + self._loops[file].key_at(seconds - Fraction(self._begins[file], self._scale))

    def bounds(self, msn: int) -> tuple[int, int, bool]:
        """The first chunk of a segment of its own numbering, the one behind its last, and whether it is whole.

        Raises `IndexError` for one that is not on disk.
        """
        rounds, rest = divmod(msn, self._msns[-1]) if self._settle() else (0, msn)
        file = self._file_at(self._msns, rest)
        base = rounds * self._firsts[-1] + self._firsts[file]
        begin, end, whole = self._loops[file].bounds(rest - self._msns[file])
        return base + begin, base + end, whole

    def segment_of(self, number: int) -> int:
        """The media sequence number, in its own numbering, of the segment that the chunk belongs to."""
        round_number, file, k = self._place(number)
        return round_number * self._msns[-1] + self._msns[file] + self._loops[file].segment_of(k)

    def rate(self, msn: int) -> float:
        """Bits a second of a whole segment of its own numbering."""
        rounds, rest = divmod(msn, self._msns[-1]) if self._settle() else (0, msn)
        file = self._file_at(self._msns, rest)
        return self._loops[file].rate_of(rest - self._msns[file], self._variant(rounds, file))

    def independent(self, number: int) -> bool:
        """Whether the chunk begins with a key frame."""
        _, file, k = self._place(number)
        return self._loops[file].independent(k)

    def newest_key(self, number: int) -> int | None:
        """The newest independent chunk up to and with that one."""
        _, file, k = self._place(number)
        key = self._loops[file].newest_key(k)
        return None if key is None else number - k + key

    def position(self, elapsed: float) -> tuple[int, Fraction]:
        """The round, and seconds in it, of a moment in seconds."""
        seconds = Fraction(max(0.0, elapsed))
        if not self._settle():
            return 0, seconds
        rounds, rest = divmod(seconds, Fraction(self._begins[-1], self._scale))
        return int(rounds), rest

    def sound_from(self, number: int) -> int | None:
        """Audio ticks at which the audio of this chunk and those behind it begins; None without any (on disk)."""
        at, end = number, number + self.chunk_count if self.whole else self.chunk_count
        while at < end:
            _, file, k = self._place(at)
            if self._loops[file].head.grid is None:
                at += self._loops[file].chunk_count - k  # a mute film has thousands of chunks
                continue
            pieces = self.pieces(at)[1:]
            if pieces:
                return pieces[0].decode_time * self._sound_ratio(file)
            at += 1
        return None

    def sound_until(self, number: int) -> int | None:
        """Audio ticks at which the audio of the chunks before this one ends; None when none of them has any."""
        at, end = number - 1, max(-1, number - 1 - self.chunk_count)
        while at > end:
            round_number, file, k = self._place(at)
            grid = self._loops[file].head.grid
            if grid is None:
                at -= k + 1
                continue
            pieces = self.pieces(at)[1:]
            if pieces:
                count = self._span(round_number, file, k).count
                return (pieces[0].decode_time + count * grid.frame) * self._sound_ratio(file)
            at -= 1
        return None

    def stamp(self, number: int, ticks: int) -> int:
        """Ticks of the timeline as ticks of the chunk's file, rounded up."""
        return -(-ticks // self._ratio(self.file_of(number)))

    def chunk(self, number: int, shift: int, data: bytes) -> Chunk:
        """That chunk, `shift` ticks later, `data` being its stamped fragments."""
        _, file, k = self._place(number)
        entry = self._loops[file].entry(k)
        begins = self.stamp(number, self.begins_at(number) + shift)
        return Chunk(number, self._loops[file].init, begins, entry.duration, entry.independent, data)

    def pieces(self, number: int, shift: int = 0, sound: int = 0) -> tuple[Piece, ...]:
        """What to read for that chunk and how to stamp it: `shift` and `sound` are ticks later, of video and audio."""
        round_number, file, k = self._place(number)
        loop = self._loops[file]
        span = loop.entry(k).video
        begins = self.stamp(number, self.begins_at(number) + shift)
        video = Piece(span.offset, span.size, 2 * number + 1, begins, file)
        grid = loop.head.grid
        if grid is None or not loop.entry(k).audio:
            return (video,)
        heard = self._span(round_number, file, k)
        if not heard.count:
            return (video,)
        slot = self._slot(self._file_begins(round_number, file), file) + heard.first
        later = -(-sound // self._sound_ratio(file))
        at = self._bases[file] + slot * grid.frame + later
        return video, Piece(heard.offset, heard.size, 2 * number + 2, at, file)

    def _settle(self) -> bool:
        """Counts the files whose packages have become whole. Returns whether all are."""
        while len(self._begins) <= len(self._loops):
            file = len(self._begins) - 1
            index = self._loops[file].index
            if index is None:
                return False
            self._begins.append(self._begins[-1] + index.length * self._ratio(file))
            self._firsts.append(self._firsts[-1] + self._loops[file].chunk_count)
            self._msns.append(self._msns[-1] + self._loops[file].segments_per_round)
        return True

    def _place(self, number: int) -> tuple[int, int, int]:
        """Round, file, and number in the file, of a chunk."""
        round_number, rest = divmod(number, self._firsts[-1]) if self._settle() else (0, number)
        file = self._file_at(self._firsts, rest)
        return round_number, file, rest - self._firsts[file]

    def _file_at(self, table: list[int], value: int) -> int:
        return min(bisect_right(table, value), len(self._loops)) - 1

    def _ratio(self, file: int) -> int:
        return self._scale // self._loops[file].timescale

    def _sound_ratio(self, file: int) -> int:
        return self._rate // self._loops[file].sound_rate

    def _file_begins(self, round_number: int, file: int) -> int:
        return (round_number * self._begins[-1] if round_number else 0) + self._begins[file]

    def _slot(self, ticks: int, file: int) -> int:
        """The frame of the file's grid that is nearest to this moment."""
        grid = self._grid(file)
        return floor(Fraction(ticks * self._loops[file].sound_rate, self._scale * grid.frame) + HALF)

    def _span(self, round_number: int, file: int, k: int) -> AudioSpan:
        return self._loops[file].entry(k).sound(self._variant(round_number, file))

    def _variant(self, round_number: int, file: int) -> int:
        """The variant of a file's audio that fills the room which the round has for the file."""
        index = self._loops[file].index
        if index is None or len(index.counts) < 2:
            return 0
        begins = self._file_begins(round_number, file)
        ends = begins + index.length * self._ratio(file)
        room = self._slot(ends, file) - self._slot(begins, file)
        return index.counts.index(room)

    def _grid(self, file: int) -> Grid:
        grid = self._loops[file].head.grid
        if grid is None:
            raise ValueError("a file without audio has no audio grid")
        return grid

    def _sound_bases(self) -> list[int]:
        """Where the audio grid of each file begins. Files that follow without a discontinuity share that of the first
        of them.
        """
        bases = [loop.head.grid.base if loop.head.grid else 0 for loop in self._loops]
        begin = self._broken.index(True) if True in self._broken else 0
        order = [*range(begin, len(bases)), *range(begin)]
        for before, file in pairwise(order):
            if not self._broken[file]:
                bases[file] = bases[before]
        return bases


def _differs(before: Loop, loop: Loop) -> bool:
    """Whether a player has to be told that another file begins."""
    one, other = before.head.grid, loop.head.grid
    if before.init.id != loop.init.id or one is None or other is None:
        return before.init.id != loop.init.id
    return one.frame != other.frame or abs(one.base - other.base) > one.frame
