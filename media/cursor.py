"""Where one reader is in the ring of a stream: the next chunk, what the reader knows, and what it has missed."""

from dataclasses import dataclass
from fractions import Fraction

from media.chunk import Chunk
from media.ring import Ring


@dataclass(frozen=True, slots=True)
class Step:
    """One chunk for a reader.

    `new_init`: the reader has not had the init of this chunk. `resumed`: the chunk before it in the ring did not reach
    the reader, so this one is independent. `skipped`: seconds that were left out because the reader was too slow, 0
    when that is not known; None when nothing was skipped.
    """

    chunk: Chunk
    new_init: bool
    resumed: bool
    skipped: Fraction | None


class Cursor:
    """Begins at the newest key frame. A reader that is over `limit` seconds behind is moved to the newest one again.

    `limit` None: it is never moved for being late. What has left the ring is skipped in any case.
    """

    def __init__(self, ring: Ring, limit: float | None = None) -> None:
        self.ring = ring
        self.number = ring.newest_key() or 0
        self._limit = limit
        self._needs_key = True
        self._init_id = ""
        self._skipped: Fraction | None = None
        self._excused = Fraction(0)  # seconds behind that are not the reader's fault, and are not made good yet

    def follow(self, ring: Ring) -> None:
        """Goes on in another ring of the stream, from its newest key frame; nothing happens if it is the same one."""
        if ring is not self.ring:
            self.ring, self.number = ring, ring.newest_key() or 0
            self.lost()

    def lost(self) -> None:
        """Tells the cursor that the reader did not get its chunk: it goes on with the next key frame."""
        self._needs_key = True

    @property
    def waits(self) -> bool:
        """Whether the next chunk is not there yet."""
        return self.number >= self.ring.head

    async def step(self, *, idle: bool = False) -> Step | None:
        """The next chunk for the reader; None when there is none now: ask again, after a wait if it `waits`.

        `idle` says that the reader has used all that it got. What it is behind then is not its fault, and is not held
        against it: it may be `limit` seconds further behind, until it has caught up.
        """
        chunk = await self.ring.chunk(self.number)
        if chunk is None and self.waits:
            return None
        if chunk is None or self._is_late(chunk, idle):
            chunk = await self._moved(chunk)
            if chunk is None:
                return None
        self.number = chunk.number + 1
        if self._needs_key and not chunk.independent:
            return None
        step = Step(chunk, chunk.init.id != self._init_id, self._needs_key, self._skipped)
        self._needs_key, self._init_id, self._skipped = False, chunk.init.id, None
        return step

    def _is_late(self, chunk: Chunk, idle: bool) -> bool:
        if self._limit is None:
            return False
        if idle or self._excused:
            late = behind(self.ring, chunk)
            self._excused = late if idle else min(self._excused, late)
        key = self.ring.newest_key()
        if key is None or key <= chunk.number:
            return False
        return behind(self.ring, chunk) > self._limit + self._excused

    async def _moved(self, late: Chunk | None) -> Chunk | None:
        """The newest key frame's chunk. If there is none, None, and the next key frame is awaited.

        `late` is the chunk that would have been next, None when it has left the ring already.
        """
        self.lost()
        key = self.ring.newest_key()
        chunk = await self.ring.chunk(key) if key is not None and key > self.number else None
        if chunk is None:
            self.number = self.ring.head
            return None
        self._skipped = behind(self.ring, late) - behind(self.ring, chunk) if late else Fraction(0)
        return chunk


def behind(ring: Ring, chunk: Chunk) -> Fraction:
    """Seconds of media from the beginning of `chunk` to the newest chunk, whatever discontinuities are in between."""
    total = Fraction(0)
    for segment in reversed(ring.segments()):
        if segment.gap:
            continue  # nothing was lost in it
        if segment.first + segment.count <= chunk.number:
            break
        if segment.first <= chunk.number:
            elapsed = Fraction(chunk.decode_time - segment.decode_time, chunk.init.timescale)
            return total + segment.seconds - elapsed
        total += segment.seconds
    return total
