"""Faults on command: a channel that misbehaves for test teams, and the words for it."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from media.channel.channel_ring import ChannelRing
from media.chunk import Chunk
from media.stream import timestamp

LEAP: Final = 9800  # seconds by which wrong timestamps are off, as real cameras' have been
SLOW: Final = 3.0  # seconds that a slow answer takes for each chunk that it holds


class ChannelFaults(StrEnum):
    """The ways in which a channel can misbehave.

    `STALL`: nothing comes, then it goes on. `GAP`: nothing comes, and that time is missing from the timeline.
    `TIMESTAMPS`: all timestamps are hours ahead. `MISSING`: segments are listed and answer 404. `SLOW`: segments take
    seconds to be answered. None of them marks a discontinuity: that is the fault.
    """

    STALL = "stall"
    GAP = "gap"
    TIMESTAMPS = "timestamps"
    MISSING = "missing"
    SLOW = "slow"


class FaultyRing(ChannelRing):
    """A `ChannelRing` that can be told to misbehave; without a `fault` it is like any other."""

    fault: ChannelFaults | None = None

    async def chunk(self, number: int) -> Chunk | None:
        """The chunk of that number, but whole segments are missing or late. A viewer at the live edge notices
        nothing.
        """
        if self.fault in (ChannelFaults.MISSING, ChannelFaults.SLOW) and self._is_old(number):
            if self.fault is ChannelFaults.MISSING:
                return None
            await asyncio.sleep(SLOW)
        return await super().chunk(number)

    def begin(self, fault: ChannelFaults, wall: float) -> None:
        """Misbehaves from now on. `wall` is the Unix time."""
        self.fault = fault
        if fault in (ChannelFaults.STALL, ChannelFaults.GAP):
            self.pause()
        elif fault is ChannelFaults.TIMESTAMPS:
            self.leap(LEAP, wall)

    def heal(self, seconds: float, wall: float) -> None:
        """Ends the fault, `seconds` after it began: from now on all is as if nothing had been."""
        fault, self.fault = self.fault, None
        if fault in (ChannelFaults.STALL, ChannelFaults.GAP):
            self.resume(wall)
        if fault is ChannelFaults.GAP:
            self.leap(seconds, wall)
        elif fault is ChannelFaults.TIMESTAMPS:
            self.leap(-LEAP, wall)

    def _is_old(self, number: int) -> bool:
        segments = self.segments()
        return bool(segments) and number < segments[-1].first


class ChannelFault:
    """One fault for so many seconds. Then the ring heals by itself, and `on_healed` is called. `wall` gives Unix
    time.
    """

    def __init__(
        self,
        ring: FaultyRing,
        fault: ChannelFaults,
        seconds: float,
        wall: Callable[[], float],
        on_healed: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.fault = fault
        self.until = wall() + seconds
        self._ring = ring
        self._wall = wall
        self._on_healed = on_healed
        self._clock = loop.time
        self._began = loop.time()
        self._timer = loop.call_later(seconds, self.end)
        ring.begin(fault, wall())

    def end(self) -> None:
        """Ends the fault now, if it has not ended before."""
        self._timer.cancel()
        try:
            self._ring.heal(self._clock() - self._began, self._wall())
        finally:
            self._on_healed()


class FaultTimer:
    """The fault of one channel, one at a time. `on_healed` is called after each; `wall` gives Unix time."""

    def __init__(self, wall: Callable[[], float], on_healed: Callable[[], None]) -> None:
        self._wall = wall
        self._on_healed = on_healed
        self._running: ChannelFault | None = None

    def begin(self, ring: ChannelRing, fault: ChannelFaults, seconds: float) -> None:
        """Begins a fault for so many seconds; one that is under way ends. The ring is a `FaultyRing`."""
        if not isinstance(ring, FaultyRing):
            raise RuntimeError("faults are not to be had")
        self.heal()
        self._running = ChannelFault(ring, fault, seconds, self._wall, self._healed)

    def heal(self) -> None:
        """Ends the fault, if there is one."""
        if self._running is not None:
            self._running.end()

    def record(self) -> dict[str, Any] | None:
        """The fault that is under way, as the stream's record shows it."""
        running = self._running
        return {"fault": running.fault.value, "until": timestamp(running.until)} if running else None

    def _healed(self) -> None:
        self._running = None
        self._on_healed()
