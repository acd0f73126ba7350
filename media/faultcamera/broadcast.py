"""The broadcast: which unit of which track is sent when, to all sessions at the same moment."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from media.faultcamera.clip.track import ClipTrack, ClipUnit


@dataclass
class UnitCursor:
    """The next unit of an endless track. `base` is the tick at which the current round of the clip began."""

    track: ClipTrack
    base: int = 0
    position: int = 0

    @property
    def unit(self) -> ClipUnit:
        return self.track.units[self.position]

    @property
    def ticks(self) -> int:
        """The presentation time of the unit, in ticks since the camera's start."""
        return self.base + self.unit.time

    @property
    def due(self) -> float:
        """When the unit is sent, in seconds since the camera's start."""
        return (self.base + self.unit.due) / self.track.clock

    def advance(self) -> None:
        """Goes one unit on."""
        self.position += 1
        if self.position == len(self.track.units):
            self.position = 0
            self.base += self.track.duration

    def skip_to(self, seconds: float) -> None:
        """Goes on to the first unit that is not due before `seconds`; never back. Whole rounds are not walked."""
        rounds = int(seconds * self.track.clock - self.base) // self.track.duration - 1
        self.base += max(0, rounds) * self.track.duration
        while self.due < seconds:
            self.advance()

    def ahead(self, seconds: float) -> "UnitCursor":
        """A copy that stands on the first key unit not due before `seconds`."""
        copy = replace(self)
        while not copy.unit.key or copy.due < seconds:
            copy.advance()
        return copy


class UnitListener(Protocol):
    """Takes units as they fall due; `now` in seconds since the camera's start."""

    def emit(self, index: int, cursor: UnitCursor, now: float) -> None: ...


class Broadcast:
    """Calls every listener with every unit in real time. `clock` gives seconds since the camera's start.

    Without listeners nothing runs: time is arithmetic, and the first listener finds the broadcast where it would be.
    """

    def __init__(self, tracks: Sequence[ClipTrack], clock: Callable[[], float]) -> None:
        self._cursors = [UnitCursor(track) for track in tracks]
        self._clock = clock
        self._listeners: set[UnitListener] = set()
        self._wanted = asyncio.Event()

    def join(self, listener: UnitListener) -> None:
        """Adds a listener; a second time changes nothing."""
        if not self._listeners:
            for cursor in self._cursors:
                cursor.skip_to(self._clock())
        self._listeners.add(listener)
        self._wanted.set()

    def leave(self, listener: UnitListener) -> None:
        """Takes a listener away, if it is there."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._wanted.clear()

    def entry(self, wanted: Iterable[int]) -> dict[int, int]:
        """Where who joins now begins: ticks by index of the wanted tracks, from the next key frame on."""
        starts: dict[int, int] = {}
        start = self._clock()
        for index in wanted:
            first = self._cursors[index].ahead(start)
            starts[index] = first.ticks
            start = first.due
        return starts

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await self._wanted.wait()
            index, cursor = min(enumerate(self._cursors), key=lambda item: item[1].due)
            now = self._clock()
            if cursor.due > now:
                await asyncio.sleep(cursor.due - now)
                continue  # a listener may have come or gone, and with the first one the cursors move
            for listener in tuple(self._listeners):
                listener.emit(index, cursor, now)
            cursor.advance()
            if now - cursor.due > 1.0:
                await asyncio.sleep(0)  # far behind: catch up without shutting everyone else out
