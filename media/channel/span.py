"""A span of a channel: chunks of one timeline that follow one another on one clock. Pure arithmetic."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from media.channel.playlist.timeline import Piece, Timeline
from media.chunk import Chunk, Init
from media.ring import Segment


@dataclass(frozen=True, slots=True)
class SpanStart:
    """Where a span begins: what a channel has to remember to go on after a restart of the gateway.

    `at` is on the channel's clock, `wall` the same moment as Unix time. `first` is the number of its first chunk in the
    loop, `number` and `msn` are that chunk's and its segment's in the channel; `decode` its decode time and `sound` the
    shift of all audio, in ticks of their tracks. `lead`: seconds that are out as soon as it begins; None: its first
    segment. `behind`: how many seconds before `first` the channel's position is. `breaks`: discontinuities so far,
    this one's included if it is one (`broken`).
    """

    at: float
    wall: float
    first: int = 0
    number: int = 0
    msn: int = 0
    decode: int = 0
    sound: int = 0
    lead: float | None = None
    behind: float = 0.0
    broken: bool = False
    breaks: int = 0


def begun(loop: Timeline, first: int, at: float, wall: float) -> SpanStart:
    """The start of a channel that begins with chunk `first` of the timeline; its sound is as far from the picture as in
    the file.

    Decode times begin at 0, or as little later as is needed by the frame of sound that begins before the picture.
    """
    start = SpanStart(at, wall, first)
    here = loop.sound_from(first) if loop.sound_rate else None
    if not first or here is None:
        return start
    exact = -Fraction(loop.begins_at(first), loop.timescale) * loop.sound_rate
    decode = ceil(max(Fraction(0), -(here + exact)) * loop.timescale / loop.sound_rate)
    sound = ceil(exact + Fraction(decode, loop.timescale) * loop.sound_rate)
    return replace(start, decode=decode, sound=sound)


class Span:
    """The chunks of `loop` from a `SpanStart` on, numbered and stamped as those of a channel.

    It ends before the channel's chunk `end`, if that is set.
    """

    def __init__(self, loop: Timeline, start: SpanStart, end: int | None = None) -> None:
        self.loop = loop
        self.start = start
        self.end = end
        self._begins = loop.begins(start.first)
        self._begun = float(self._begins)
        self._shift = start.decode - loop.begins_at(start.first)
        self._lead = start.lead
        self._segment: int | None = None

    def out(self, now: float) -> int:
        """The number that the channel's next chunk will have, at this time of its clock, as far as it goes."""
        start = self.start
        lead = self.lead
        if lead is None or now < start.at:
            return start.number
        ended = self.loop.ended_by(self._begun + (now - start.at) + lead)
        number = start.number + max(0, ended - start.first)
        return number if self.end is None else min(number, self.end)

    def due(self, number: int) -> float | None:
        """When on the clock that chunk is out; None when it is not known because the package has not grown so far."""
        lead = self.lead
        local = self._local(number)
        if lead is None or not self._on_disk(local):
            return None
        return self.start.at + max(0.0, float(self.loop.ends(local) - self._begins) - lead)

    @property
    def lead(self) -> float | None:
        """Seconds that are out when the span begins; None as long as that is not on disk."""
        if self._lead is None and self.loop.chunk_count:
            _, end, whole = self.loop.bounds(self._first_segment)
            self._lead = float(self.loop.begins(end) - self._begins) if whole else None
        return self._lead

    def position(self, now: float) -> tuple[int, Fraction]:
        """The round, and seconds in it, at this time of the channel's clock."""
        return self.loop.position(self.elapsed(now))

    def elapsed(self, now: float) -> float:
        """The loop's own time, in seconds, that is the channel's position."""
        return self._begun - self.start.behind + max(0.0, now - self.start.at)

    def round_ends(self) -> int | None:
        """The number of the chunk with which the first round that is not begun yet will begin; None: not known."""
        if not self.loop.whole:
            return None
        rounds = self.start.first // self.loop.chunk_count + 1
        return self._channel(rounds * self.loop.chunk_count)

    def next_join(self, head: int) -> int:
        """The first chunk of the file or round that begins next, none of which is out when the next chunk is `head`."""
        return self._channel(self.loop.next_join(self._local(head)))

    def init_of(self, number: int) -> Init:
        """The init of that chunk."""
        return self.loop.init_of(self._local(number))

    def file_of(self, number: int) -> int:
        """Which of the timeline's files that chunk is of."""
        return self.loop.file_of(self._local(number))

    def breaks(self, number: int) -> int:
        """The channel's discontinuities up to and with that chunk."""
        return self.start.breaks + self.loop.breaks(self._local(number)) - self.loop.breaks(self.start.first)

    def chunk(self, number: int, data: bytes) -> Chunk:
        """That chunk, `data` being its fragments with the stamps of `pieces`."""
        local = self._local(number)
        made = self.loop.chunk(local, self._shift, data)
        broken = self._broken(number)
        return replace(made, number=number, discontinuity=broken) if broken or number != local else made

    def timing(self, number: int) -> tuple[Fraction, bool]:
        """How many seconds that chunk lasts, and whether it is independent."""
        local = self._local(number)
        return self.loop.lasts(local), self.loop.independent(local)

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """What to read for that chunk and how to stamp it."""
        local = self._local(number)
        moved = 2 * (number - local)
        pieces = self.loop.pieces(local, self._shift, self.start.sound)
        return tuple(replace(piece, sequence=piece.sequence + moved) for piece in pieces) if moved else pieces

    def newest_key(self, number: int) -> int | None:
        """The newest independent chunk of the span up to and with that one; None when there is none."""
        key = self.loop.newest_key(self._local(number))
        return None if key is None or key < self.start.first else self._channel(key)

    def segment_of(self, number: int) -> int:
        """The media sequence number of the segment that the chunk belongs to."""
        return self.start.msn + self.loop.segment_of(self._local(number)) - self._first_segment

    def segment(self, msn: int, head: int) -> Segment:
        """A segment of the span as it is when the channel's next chunk will be `head`."""
        begin, end, whole = self.loop.bounds(msn - self.start.msn + self._first_segment)
        first = self._channel(max(begin, self.start.first))
        last = self._channel(end) if self.end is None else min(self._channel(end), self.end)
        cut = last == self.end  # the span ends here, and with it the segment
        stop = min(last, head)
        local = self._local(first)
        decode_time = self.loop.stamp(local, self.decode_time(first))
        ticks = self.loop.stamp(local, self.decode_time(stop)) - decode_time
        return Segment(
            msn=msn,
            first=first,
            count=stop - first,
            init=self.loop.init_of(local),
            decode_time=decode_time,
            duration=ticks,
            discontinuity=self._broken(first),
            wall=self.wall_at(first),
            complete=stop == last and (whole or cut),
            independent=self.loop.independent(local),
        )

    def rate(self, msn: int, head: int) -> float:
        """Bits a second of what there is of that segment when the channel's next chunk will be `head`."""
        local = msn - self.start.msn + self._first_segment
        begin, end, whole = self.loop.bounds(local)
        first = max(begin, self.start.first)
        stop = min(end, self._local(head if self.end is None else min(head, self.end)))
        if whole and (first, stop) == (begin, end):
            return self.loop.rate(local)
        size = sum(piece.size for number in range(first, stop) for piece in self.loop.pieces(number))
        return float(8 * size / (self.loop.begins(stop) - self.loop.begins(first)))

    def decode_time(self, number: int) -> int:
        """Ticks of the timeline at which that chunk begins, or at which the one before it ends."""
        return self.loop.begins_at(self._local(number)) + self._shift

    def follow(self, end: int, loop: Timeline, first: int, broken: bool = False) -> SpanStart:
        """Where a span begins that goes on at the channel's chunk `end` with chunk `first` of a timeline.

        Decode times go on without a gap, rounded up to a tick where the timescale changes; audio never overlaps. It is
        `broken`, asked for or not, where the init changes. The caller sets the times (`at`, `wall`, `lead`, `behind`).
        """
        begun = end > self.start.number
        if not broken and begun:
            broken = loop.broken(first) or loop.init_of(first).id != self.init_of(end - 1).id
        seconds = Fraction(self.decode_time(end), self.loop.timescale)
        decode = ceil(seconds * loop.timescale)
        return SpanStart(
            at=0.0,
            wall=0.0,
            first=first,
            number=end,
            msn=self.segment_of(end - 1) + 1 if begun else self.start.msn,
            decode=decode,
            sound=self._sound(end, loop, first, decode),
            broken=broken,
            breaks=(self.breaks(end - 1) if begun else self.start.breaks) + broken,
        )

    def wall_at(self, number: int) -> float:
        """The Unix time at which the chunk's first sample is (or will be) live."""
        seconds = (self.decode_time(number) - self.start.decode) / self.loop.timescale
        # Whoever starts with the channel sees its first segment at once: that was live just before.
        ahead = 0.0 if self.start.lead is not None else self.lead or 0.0
        return self.start.wall - ahead + seconds

    def _sound(self, end: int, loop: Timeline, first: int, decode: int) -> int:
        if not loop.sound_rate:
            return 0
        shift = decode - loop.begins_at(first)
        if loop is self.loop and shift == self._shift:
            return self.start.sound
        exact = round(Fraction(shift, loop.timescale) * loop.sound_rate)
        until, here = self.loop.sound_until(self._local(end)), loop.sound_from(first)
        if until is None or here is None:
            return exact
        heard = ceil(Fraction(until + self.start.sound, self.loop.sound_rate) * loop.sound_rate)
        return max(exact, heard - here)

    def _broken(self, number: int) -> bool:
        return self.start.broken if number == self.start.number else self.loop.broken(self._local(number))

    @property
    def _first_segment(self) -> int:
        if self._segment is not None:
            return self._segment
        segment = self.loop.segment_of(self.start.first)
        if self._on_disk(self.start.first):
            self._segment = segment
        return segment

    def _on_disk(self, local: int) -> bool:
        return self.loop.whole or local < self.loop.chunk_count

    def _local(self, number: int) -> int:
        return number - self.start.number + self.start.first

    def _channel(self, local: int) -> int:
        return local - self.start.first + self.start.number
