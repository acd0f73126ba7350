"""Still pictures of streams: one decode for each key frame, however many ask for it."""

import asyncio
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from weakref import WeakKeyDictionary

from media.chunk import Chunk
from media.faults import Fault
from media.pictures.turns import Full, TurnLimits, Turns
from media.process.messages import Finished, StartTask
from media.process.question import Question
from media.process.workers import Workers
from media.ring import Ring

Format = Literal["jpeg", "png"]

LIMIT: Final = 5.0  # seconds that one picture may take
# Workers at once, and one of each stream; pictures that wait for one stream, and of one viewer; seconds for a turn.
TURNS: Final = TurnLimits(at_once=2, of_place=16, of_caller=4, patience=5.0)
LARGEST: Final = 4 * 1024 * 1024  # bytes of a key frame's chunk, which travels to the worker in one message
KEPT: Final = 16  # pictures of one ring: sizes and formats of the newest key frame


@dataclass(frozen=True, slots=True)
class Still:
    """One picture of a stream: the file's bytes, its size in pixels, and the Unix time at which it was live."""

    data: bytes
    width: int
    height: int
    format: Format
    taken_at: float


@dataclass(frozen=True, slots=True)
class _Key:
    number: int
    format: Format
    width: int | None


@dataclass
class _Making:
    task: asyncio.Task[Still]
    askers: int = 0


class Stills:
    """Takes pictures. When nobody asks any longer for one that is being made, its worker is killed."""

    def __init__(self, workers: Workers, wall: Callable[[], float]) -> None:
        self._workers = workers
        self._wall = wall
        self._turns = Turns(TURNS)
        self._made: WeakKeyDictionary[Ring, OrderedDict[_Key, Still]] = WeakKeyDictionary()
        self._making: dict[tuple[int, _Key], _Making] = {}
        self.decoded = 0  # workers that were asked for a picture

    async def take(self, ring: Ring, format_: Format = "jpeg", width: int | None = None, viewer: str = "") -> Still:
        """The newest key frame as a picture, at most `width` pixels wide. Each `viewer` waits in a queue of its own.

        Faults: `no-keyframe-yet`, `limits-exceeded`, `capacity-exceeded`, `worker-crashed`, `worker-hung`,
        `worker-unavailable`, `internal`.
        """
        number = ring.newest_key()
        if number is None:
            raise Fault("no-keyframe-yet", "The stream has no key frame yet; ask again.", "waiting")
        key = _Key(number, format_, _smaller(ring, width))
        made = self._made.setdefault(ring, OrderedDict()).get(key)
        if made is not None:
            return made
        making = self._making.get((id(ring), key)) or self._begun(ring, key, viewer)
        making.askers += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.askers -= 1
            if not making.askers and not making.task.done():
                self._forget((id(ring), key), making)  # who asks from now on gets one that nobody gives up
                making.task.cancel()
                await asyncio.wait({making.task})

    def _begun(self, ring: Ring, key: _Key, viewer: str) -> _Making:
        task = asyncio.create_task(self._make(ring, key, viewer), name=f"still-{key.number}")
        making = self._making[id(ring), key] = _Making(task)
        task.add_done_callback(lambda _: self._forget((id(ring), key), making))
        return making

    def _forget(self, where: tuple[int, _Key], making: _Making) -> None:
        if self._making.get(where) is making:
            del self._making[where]

    def age(self, still: Still) -> float:
        """Seconds since the picture was live."""
        return max(0.0, self._wall() - still.taken_at)

    async def _make(self, ring: Ring, key: _Key, viewer: str) -> Still:
        chunk = await ring.chunk(key.number)
        if chunk is None or chunk.init.video is None:
            raise Fault("no-keyframe-yet", "The stream has no picture just now; ask again.", "waiting")
        if len(chunk.data) > LARGEST:
            raise Fault("limits-exceeded", f"The key frame is over {LARGEST} bytes.", "decoding")
        taken_at = _live_at(ring, chunk)
        try:
            async with self._turns.turn(id(ring), viewer):
                finished = await self._ask(chunk, key)
        except Full as full:
            raise Fault("capacity-exceeded", f"Too many pictures are asked for: {full}.", "decoding") from None
        still = Still(finished.body, finished.info["width"], finished.info["height"], key.format, taken_at)
        self._keep(ring, key, still)
        return still

    def _keep(self, ring: Ring, key: _Key, still: Still) -> None:
        """Keeps a still, and drops those of older key frames: nobody is given them any more."""
        kept = self._made.setdefault(ring, OrderedDict())
        for older in [each for each in kept if each.number < key.number]:
            del kept[older]
        kept[key] = still
        while len(kept) > KEPT:
            kept.popitem(last=False)

    async def _ask(self, chunk: Chunk, key: _Key) -> Finished:
        film = {"init": b64encode(chunk.init.data).decode(), "chunk": b64encode(chunk.data).decode()}
        self.decoded += 1
        start = StartTask("still", {**film, "format": key.format, "width": key.width})
        return await Question(self._workers, start, "The picture's worker", "decoding").answer(LIMIT)


def _smaller(ring: Ring, width: int | None) -> int | None:
    """The width, if it makes the picture smaller, else None: all larger widths are one picture."""
    segments = ring.segments()
    video = segments[-1].init.video if segments else None
    return width if width is not None and video is not None and width < video.width else None


def _live_at(ring: Ring, chunk: Chunk) -> float:
    for segment in reversed(ring.segments()):
        if segment.first <= chunk.number < segment.first + segment.count:
            return segment.wall + (chunk.decode_time - segment.decode_time) / chunk.init.timescale
    raise Fault("no-keyframe-yet", "The key frame has just left the stream; ask again.", "waiting")
