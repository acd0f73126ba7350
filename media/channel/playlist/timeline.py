"""What a channel plays, as a function of time: the words that one looping file and a list of files share."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from media.chunk import Chunk, Init


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment of a chunk: where its bytes are, the stamps that they get, and which file's package they are in."""

    offset: int
    size: int
    sequence: int
    decode_time: int
    file: int = 0


class Timeline(Protocol):
    """Chunks from 0 on, without end once the media is on disk as a whole; each round has the same ones again.

    Times are ticks of `timescale`, those of audio ticks of `sound_rate` (0 without any). Where a chunk's init has
    another timescale, `stamp` and `pieces` give ticks of that one.
    """

    @property
    def whole(self) -> bool:
        """Whether all of it is on disk. Until then there is only as much of the first round as is."""

    @property
    def timescale(self) -> int:
        """Ticks a second."""

    @property
    def sound_rate(self) -> int:
        """Ticks a second of audio."""

    @property
    def chunk_count(self) -> int:
        """Chunks in a round, so far."""

    @property
    def length(self) -> Fraction | None:
        """Seconds of a round, exact; None while it grows."""

    @property
    def target_duration(self) -> int:
        """Whole seconds that no segment is longer than when rounded (EXT-X-TARGETDURATION)."""

    def init_of(self, number: int) -> Init:
        """The init of that chunk."""

    def file_of(self, number: int) -> int:
        """Which file's chunk it is."""

    def first_of(self, file: int) -> int:
        """The number in round 0 of a file's first chunk. Raises `IndexError` for one that is not known yet."""

    def next_join(self, number: int) -> int:
        """That chunk if a file begins with it, else the next chunk with which a file begins. Not while it grows."""

    def broken(self, number: int) -> bool:
        """Whether the chunk always begins behind a discontinuity."""

    def breaks(self, number: int) -> int:
        """How many `broken` chunks there are up to and with that one."""

    def begins_at(self, number: int) -> int:
        """Ticks at which the chunk begins, be it the next one of what grows. Raises `IndexError` past that."""

    def begins(self, number: int) -> Fraction:
        """Seconds at which the chunk begins, be it the next one of what grows. Raises `IndexError` past that."""

    def ends(self, number: int) -> Fraction:
        """Seconds at which the chunk ends. Raises `IndexError` for one not on disk."""

    def lasts(self, number: int) -> Fraction:
        """Seconds of the chunk. Raises `IndexError` for one not on disk."""

    def ended_by(self, seconds: float) -> int:
        """How many chunks have ended after so many seconds."""

    def key_at(self, seconds: Fraction) -> int:
        """The number in round 0 of the last independent chunk that begins no later; past the end, the last there is."""

    def bounds(self, msn: int) -> tuple[int, int, bool]:
        """The first chunk of a segment of its own numbering, the one behind its last, and whether it is whole.

        Raises `IndexError` for one that is not on disk.
        """

    def segment_of(self, number: int) -> int:
        """The media sequence number, in its own numbering, of the segment that the chunk belongs to."""

    def rate(self, msn: int) -> float:
        """Bits a second of a whole segment of its own numbering."""

    def independent(self, number: int) -> bool:
        """Whether the chunk begins with a key frame."""

    def newest_key(self, number: int) -> int | None:
        """The newest independent chunk up to and with that one."""

    def position(self, elapsed: float) -> tuple[int, Fraction]:
        """The round, and seconds in it, of a moment in seconds."""

    def sound_from(self, number: int) -> int | None:
        """Audio ticks at which the audio of this chunk and those behind it begins; None without any (on disk)."""

    def sound_until(self, number: int) -> int | None:
        """Audio ticks at which the audio of the chunks before this one ends; None when none of them has any."""

    def stamp(self, number: int, ticks: int) -> int:
        """Ticks of the timeline as ticks of that chunk's init, rounded up."""

    def chunk(self, number: int, shift: int, data: bytes) -> Chunk:
        """That chunk, `shift` ticks later, `data` being its stamped fragments."""

    def pieces(self, number: int, shift: int = 0, sound: int = 0) -> tuple[Piece, ...]:
        """What to read for that chunk and how to stamp it: `shift` and `sound` are ticks later, of video and audio.

        Sequence numbers rise: two for each chunk.
        """
