"""The ring of a looping file: a channel that no process and no task feeds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from media.channel.due_waiters import DueWaiters
from media.channel.packages import chunk_reader
from media.channel.packages.data_file import PackageFile
from media.channel.playlist.timeline import Timeline
from media.channel.recent_chunks import Recent
from media.channel.span import Span, SpanStart
from media.chunk import Chunk
from media.ring import RingLimits, Segment


class ChannelRing:
    """The `Ring` of a looping file or list of files. It has no task, no process, and a timer only while somebody waits.

    `clock` is the event loop's time, or one like it. `repeat` False: it ends after one round. What it shows is a
    function of its spans: `pause`, `resume`, `seek`, `leap` and `replace_at_join` add one, and nothing else does. A
    channel that is begun again with the same `SpanStart` goes on where it would have been.
    """

    def __init__(
        self,
        loop: Timeline,
        files: Sequence[PackageFile],
        start: SpanStart,
        clock: Callable[[], float],
        limits: RingLimits | None = None,
        repeat: bool = True,
    ) -> None:
        self._clock = clock
        self._limits = limits or RingLimits()
        self._repeat = repeat
        self._spans = [Span(loop, start)]
        self._files = {id(loop): files}
        self._paused_at: float | None = None
        self._closed_at: int | None = None
        self.recent = Recent()  # replaced by a store that it shares with other channels
        self._token = object()  # stands for this ring in `recent`
        self._due_waiters = DueWaiters()
        self._complete: dict[int, Segment] = {}
        self._held = (0, 0)  # the oldest chunk at hand when last looked, and the number behind the newest one
        self._listed: tuple[tuple[int, int, int | None], tuple[Segment, ...]] | None = None

    @property
    def ended(self) -> bool:
        """True after `close`, and after the one round of a channel that does not repeat."""
        return self._closed_at is not None or self._played_out

    @property
    def head(self) -> int:
        """The number that the next chunk will have."""
        if self._closed_at is not None:
            return self._closed_at
        now = self._now()
        head = 0
        for span in reversed(self._spans):
            head = span.out(now)
            if head > span.start.number:
                break
        last = self._last
        return head if last is None else min(head, last)

    @property
    def discontinuities(self) -> int:
        """How many discontinuities there were before the window."""
        segments = self.segments()
        if not segments:
            return 0
        first = segments[0].first
        return self._span(first).breaks(first) - segments[0].discontinuity

    @property
    def target_duration(self) -> int:
        """Whole seconds that no segment is longer than when rounded."""
        return max(span.loop.target_duration for span in self._spans)

    @property
    def position(self) -> tuple[int, Fraction]:
        """The round, and seconds in it; of a channel that has played out, the end."""
        length = self.length if self._played_out else None
        return self._current().position(self._now()) if length is None else (0, length)

    @property
    def length(self) -> Fraction | None:
        """Seconds of a round of the timeline that the position is in; None while it grows."""
        return self._current().loop.length

    @property
    def file(self) -> int:
        """Which of the timeline's files the position is in."""
        span = self._current()
        if self._played_out:
            return span.file_of(self.head - 1)
        now = span.elapsed(self._now())
        return span.loop.file_of(span.loop.ended_by(now)) if span.loop.chunk_count else 0

    @property
    def standing(self) -> bool:
        """Whether no chunk is due, since the channel is paused."""
        return self.paused

    @property
    def paused(self) -> bool:
        """Whether its clock stands still."""
        return self._paused_at is not None

    @property
    def start(self) -> SpanStart:
        """Where the channel can be begun again, as of now; a paused one where it will go on."""
        if self._paused_at is None:
            return self._current().start
        return self._start_at(self._goes_on_at(), 0.0)

    @property
    def loop(self) -> Timeline:
        """The newest timeline. It may be waiting for the join."""
        return self._spans[-1].loop

    @property
    def playing(self) -> Timeline:
        """The timeline that the newest chunk is of."""
        return self._current().loop

    @property
    def joins_at(self) -> float | None:
        """The Unix time of the join that the newest timeline waits for; None when it waits for none."""
        last = self._spans[-1]
        return last.start.wall if last is not self._current() else None

    @property
    def waiting(self) -> int:
        """How many callers are in `wait`."""
        return self._due_waiters.waiting

    def segments(self) -> Sequence[Segment]:
        """The window and the spare ones before it, oldest first."""
        head = self.head
        if self._listed is not None and self._listed[0] == (head, len(self._spans), self._spans[-1].end):
            return self._listed[1]
        found: list[Segment] = []
        most = self._limits.window + self._limits.spare + 1
        for span in reversed(self._spans):
            stop = head if span.end is None else min(head, span.end)
            if stop <= span.start.number:
                continue
            newest = span.segment_of(stop - 1)
            oldest = max(span.start.msn, newest + 1 - (most - len(found)))
            found[:0] = [self._segment(span, msn, head) for msn in range(oldest, newest + 1)]
            if len(found) >= most:
                break
        whole = self._spans[-1].loop.whole  # else a segment may turn out to be whole before it grows
        key = (head, len(self._spans), self._spans[-1].end)
        self._listed = (key, tuple(found)) if whole else None
        self._held = (found[0].first, head) if found else (0, 0)
        self._complete = {segment.msn: segment for segment in found if segment.complete}
        return tuple(found)

    def _segment(self, span: Span, msn: int, head: int) -> Segment:
        known = self._complete.get(msn)  # whole segments stay as they are
        return known if known is not None else span.segment(msn, head)

    def bitrate(self) -> float | None:
        """Bits a second of the newest whole segment, or of what is out when there is none yet."""
        head = self.head
        if head <= self._spans[0].start.number:
            return None
        span = self._span(head - 1)
        return span.rate(max(span.start.msn, span.segment_of(head - 1) - 1), head)

    def newest_key(self) -> int | None:
        """The number of the newest independent chunk; None before the first one."""
        head = self.head
        for span in reversed(self._spans):
            stop = head if span.end is None else min(head, span.end)
            key = span.newest_key(stop - 1) if stop > span.start.number else None
            if key is not None:
                return key
        return None

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number; None when it is not there yet or has left. Fault `file-changed`: a bad disk.

        A chunk that was in the window at the last look is given until the next look.
        """
        if len(self._spans) > 1 and self._closed_at is None:
            self._prune()  # this looks for itself: a file that it closes is not found below
        span = self._holder(number)
        if span is None:
            return None
        known = self.recent.get(self._token, number)
        if known is not None or self._closed_at is not None:
            return known
        data = await chunk_reader.read(span.pieces(number), self._files[id(span.loop)])
        if data is None:
            return None
        chunk = span.chunk(number, data)
        self.recent.keep(self._token, chunk)
        return chunk

    def timing(self, number: int) -> tuple[Fraction, bool] | None:
        """Seconds of that chunk, and whether it is independent; None when it is not there yet or has left."""
        span = self._holder(number)
        return span.timing(number) if span is not None else None

    async def wait(self, number: int) -> bool:
        """Waits until chunk `number` is out (True; it may have left since) or never will be (False)."""
        while True:
            if number < self.head:
                return True
            if self._closed_at is not None or (self._last is not None and number >= self._last):
                return False
            await self._wait_until_due(number)

    def pause(self) -> None:
        """Nothing more comes out until `resume`. What is out makes a whole segment. Pausing twice is once."""
        if self._paused_at is None and not self.ended:
            self._paused_at = self._clock()
            self._cut(self.head)
            self._wake_due()

    def resume(self, wall: float) -> None:
        """Goes on behind what is out, and its next chunk is out at once. `wall`: the Unix time now."""
        if self._paused_at is None:
            return
        start = self._start_at(self._goes_on_at(), wall)
        self._paused_at = None
        self._add(self._spans[-1].loop, start)

    def seek(self, seconds: Fraction, wall: float) -> None:
        """Goes on at the key frame before this moment of the file; it is out at once, behind a discontinuity.

        The round stays. A paused channel shows the new picture and stays paused.
        """
        last = self._current()
        first = last.loop.key_at(seconds)
        if last.loop.whole:
            first += last.position(self._now())[0] * last.loop.chunk_count
        was_paused, self._paused_at = self.paused, None
        if not was_paused:
            self._cut(self.head)
        self._add(last.loop, self._start_at(first, wall, broken=True))
        if was_paused:
            self.pause()

    def leap(self, seconds: float, wall: float) -> None:
        """Goes on with the next chunk, which is out at once, with all timestamps so many seconds later. Players are not
        told.
        """
        self._cut(self.head)
        start = self._start_at(self._goes_on_at(), wall)
        loop = self.loop
        moved = replace(
            start,
            decode=start.decode + round(seconds * loop.timescale),
            sound=start.sound + round(seconds * loop.sound_rate),
        )
        self._add(loop, moved)

    def replace_at_join(self, loop: Timeline, files: Sequence[PackageFile]) -> None:
        """From the next round or file on, plays another timeline: without a discontinuity if the init is the same.

        A timeline that waits for the join already gives way to this one. Not for a channel that is paused or growing.
        """
        self._drop_future()
        last = self._spans[-1]
        join = last.next_join(self.head)
        last.end = join
        if self._files.setdefault(id(loop), files) is not files:
            for file in files:  # it plays that one: another was to come in between, and will not
                file.close()
        due = last.due(join - 1) if join > last.start.number else last.start.at
        at = self._now() if due is None else due
        wall = last.wall_at(join)
        behind = last.start.behind + (last.lead or 0.0)
        start = replace(last.follow(join, loop, loop.first_of(last.file_of(join))), at=at, wall=wall, lead=0.0)
        self._spans.append(Span(loop, replace(start, behind=behind)))
        self._prune()
        self._wake_due()

    def after(self, loop: Timeline, wall: float) -> SpanStart:
        """Where another ring begins that goes on behind this one: at once, behind a discontinuity, with the first chunk
        of `loop`.

        The chunks of this ring that are out stay as they are; the other ring is numbered and stamped behind them.
        """
        last = self._spans[-1]
        end = self.head if last.end is None else min(last.end, self.head)
        begun = last.follow(end, loop, 0, broken=True)
        lead = Span(loop, begun).lead or 0.0
        return replace(begun, at=self._clock(), wall=max(wall, last.wall_at(end)), lead=lead)

    def grown(self) -> None:
        """Takes notice that there is more of the timeline than there was."""
        self._wake_due()

    def close(self) -> None:
        """Ends the ring; nobody waits any longer. May be called again."""
        if self._closed_at is None:
            self._closed_at = self.head
            self._wake_due()
            for key in list(self._files):
                self._close_files(key)

    @property
    def _played_out(self) -> bool:
        """Whether the one round of a channel that does not repeat is out."""
        last = self._last
        return last is not None and self.head >= last

    @property
    def _last(self) -> int | None:
        """The number behind the last chunk of a channel that does not repeat, once it is known."""
        return None if self._repeat else self._spans[-1].round_ends()

    def _now(self) -> float:
        return self._clock() if self._paused_at is None else self._paused_at

    def _current(self) -> Span:
        """The span that the newest chunk is of."""
        head = self.head
        return self._span(head - 1) if head else self._spans[0]

    def _span(self, number: int) -> Span:
        for span in reversed(self._spans):
            if number >= span.start.number:
                return span
        return self._spans[0]

    def _holder(self, number: int) -> Span | None:
        """The span of a chunk that is at hand; None for other chunks."""
        if number >= self._held[1]:  # else it was out when last looked
            if number >= self.head:
                return None
            self.segments()
        first, head = self._held
        return self._span(number) if first <= number < head else None

    def _goes_on_at(self) -> int:
        """The number, in its loop, of the chunk that follows the newest one."""
        last = self._spans[-1]
        return last.start.first + self.head - last.start.number

    def _start_at(self, first: int, wall: float, broken: bool = False) -> SpanStart:
        """The start of a span that begins now with that chunk of the newest loop; the chunk is out at once."""
        last = self._spans[-1]
        loop = last.loop
        end = self.head if last.end is None else last.end
        begun = loop.whole or first < loop.chunk_count
        return replace(
            last.follow(end, loop, first, broken),
            at=self._clock(),
            wall=max(wall, last.wall_at(end)),
            lead=float(loop.ends(first) - loop.begins(first)) if begun else 0.0,
            # What is out goes further than the position; after a pause it still does.
            behind=0.0 if broken else max(0.0, float(loop.begins(first)) - last.elapsed(self._now())),
        )

    def _cut(self, number: int) -> None:
        """Ends the newest span before that chunk. A span of which nothing is out goes altogether."""
        self._drop_future()
        self._spans[-1].end = number

    def _drop_future(self) -> None:
        head = self.head
        while len(self._spans) > 1 and self._spans[-1].start.number >= head:
            self._spans.pop()
            self._spans[-1].end = None
        self._close_unneeded()

    def _add(self, loop: Timeline, start: SpanStart) -> None:
        last = self._spans[-1]
        last.end = start.number
        self._spans.append(Span(loop, start))
        self._prune()
        self._wake_due()

    def _prune(self) -> None:
        """Forgets the spans that have left the window, and closes the files that none needs any more."""
        oldest = self.segments()[0].first if self.head else 0
        while len(self._spans) > 1 and (self._spans[0].end or 0) <= oldest:
            self._spans.pop(0)
        self._close_unneeded()

    def _close_unneeded(self) -> None:
        needed = {id(span.loop) for span in self._spans}
        for key in self._files.keys() - needed:
            self._close_files(key)

    def _close_files(self, key: int) -> None:
        for file in self._files.pop(key):
            file.close()

    async def _wait_until_due(self, number: int) -> None:
        """Waits until the chunk is due, or something has changed."""
        due = None if self.paused else self._span(number).due(number)
        await self._due_waiters.passed(number, None if due is None else max(0.0, due - self._clock()))

    def _wake_due(self) -> None:
        self._listed = None  # whatever opens them all has changed something
        self._complete.clear()
        self._held = (0, 0)
        self._due_waiters.open_all()
