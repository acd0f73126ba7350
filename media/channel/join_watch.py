"""Looks whether viewers see by now what a channel of files was to change to at a join."""

import asyncio
from collections.abc import Callable
from typing import Final

from media.channel.channel_ring import ChannelRing

OUT_SOON: Final = 0.5  # seconds between two looks whether the first chunk behind a join is out


class JoinWatch:
    """`told` is called when the join is out; `wall` gives Unix time."""

    def __init__(self, told: Callable[[], None], wall: Callable[[], float]) -> None:
        self._told = told
        self._wall = wall
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, ring: ChannelRing) -> None:
        """Waits for the join of this ring, and no longer for that of another."""
        self.stop()
        if ring.joins_at is None:
            self._told()
        else:
            left = max(OUT_SOON, ring.joins_at - self._wall())
            self._timer = asyncio.get_running_loop().call_later(left, self.follow, ring)

    def stop(self) -> None:
        """Waits for nothing. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
