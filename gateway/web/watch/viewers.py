"""Who watches: counted on the stream's record, and no more than the limits allow."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web.access.outer import outer
from media.ring import Ring

RETRY: Final = 10  # seconds after which somebody may have left
PLAYERS: Final = 50  # of one stream behind one address, told apart by their names; all others there are one more
OTHERS: Final = "\n"  # the name of those, which no header can have


class Streams(Protocol):
    """The streams that may be watched, by name."""

    def ring(self, name: str) -> Ring | None:
        """The stream's current ring; None when there is no such stream or nothing to see of it."""

    def peek(self, name: str) -> Ring | None:
        """The stream's current ring, for a look in passing: unlike `ring` it wakes no source that rests."""

    def viewer(self, name: str) -> AbstractContextManager[None]:
        """Counts one more viewer of the stream for as long as the context lasts."""


@dataclass(frozen=True, slots=True)
class ViewerCaps:
    """The most viewers of one stream and of all; `absence`: seconds without a request until a player is gone."""

    per_stream: int = 1000
    total: int = 4000
    absence: float = 15.0


class Viewers:
    """Every viewer in one place: connections for as long as they last, HLS players for as long as they ask again.

    An HLS player holds no connection and may not be told apart by a cookie or a mark in its addresses, which would end
    what a cache in between is good for; so its address and its name (User-Agent) stand for it, and two equal players
    behind one address count as one. A caller chooses that name, so an address has a bound of names.
    """

    def __init__(self, streams: Streams, caps: ViewerCaps) -> None:
        self._streams = streams
        self._caps = caps
        self._counts: dict[str, int] = {}
        self._players: dict[tuple[str, str, str], _Player] = {}
        self._names: Counter[tuple[str, str]] = Counter()  # of players, by stream and address

    @property
    def total(self) -> int:
        """Viewers of all streams."""
        return sum(self._counts.values())

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """One viewer of the stream for as long as it lasts. Failure: `capacity-exceeded`."""
        if self._counts.get(name, 0) >= self._caps.per_stream:
            raise Failure("capacity-exceeded", f"The stream has {self._caps.per_stream} viewers.", retry_after=RETRY)
        if self.total >= self._caps.total:
            raise Failure("capacity-exceeded", f"There are {self._caps.total} viewers in all.", retry_after=RETRY)
        self._counts[name] = self._counts.get(name, 0) + 1
        try:
            with self._streams.viewer(name):
                yield
        finally:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]

    def asked(self, name: str, request: web.BaseRequest) -> None:
        """An HLS player has asked for something. Failure: `capacity-exceeded`, for one that is not counted yet."""
        where = (name, outer(request).address)
        key = (*where, request.headers.get(hdrs.USER_AGENT, "")[:200])
        if key not in self._players and self._names[where] >= PLAYERS:
            key = (*where, OTHERS)
        loop = asyncio.get_running_loop()
        player = self._players.get(key)
        if player is None:
            player = _Player(self.watching(name))
            player.context.__enter__()
            self._players[key] = player
            self._names[where] += 1
            player.timer = loop.call_later(self._caps.absence, self._look, key)
        player.seen = loop.time()

    def close(self) -> None:
        """Forgets every HLS player."""
        for key in list(self._players):
            self._leave(key)

    def _look(self, key: tuple[str, str, str]) -> None:
        # One timer for each player, set anew when it fires and not at each of its requests.
        player, loop = self._players[key], asyncio.get_running_loop()
        left = player.seen + self._caps.absence - loop.time()
        if left <= 0:
            self._leave(key)
        else:
            player.timer = loop.call_later(left, self._look, key)

    def _leave(self, key: tuple[str, str, str]) -> None:
        player = self._players.pop(key)
        self._names[key[:2]] -= 1
        if not self._names[key[:2]]:
            del self._names[key[:2]]
        if player.timer is not None:
            player.timer.cancel()
        player.context.__exit__(None, None, None)


@dataclass
class _Player:
    """An HLS player: its place among the viewers, and the loop time of its last request."""

    context: AbstractContextManager[None]
    seen: float = 0.0
    timer: asyncio.TimerHandle | None = None
