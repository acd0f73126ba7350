"""Turns at connecting to a host: many cameras behind one recorder must not all come back in the same moment."""

import asyncio
from typing import Final

SPACING: Final = 0.33  # seconds between two connects to a host: four in any second only if one of them was late
MOST_HOSTS: Final = 4096  # remembered; over that, those whose time has passed are forgotten


class HostTurns:
    """Turns for each host by itself, first come, first served. Lives on one event loop."""

    def __init__(self, spacing: float = SPACING) -> None:
        self._spacing = spacing
        self._free_at: dict[str, float] = {}

    async def turn(self, host: str) -> None:
        """Waits until it is the caller's turn to connect to `host`. A caller that is cancelled has used its turn."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._free_at.get(host, now))
        if len(self._free_at) >= MOST_HOSTS:
            self._free_at = {name: free for name, free in self._free_at.items() if free > now}
        self._free_at[host] = at + self._spacing
        if at > now:
            await asyncio.sleep(at - now)
