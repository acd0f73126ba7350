"""Who watches: counted on the stream's record, and no more than the limits allow."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web.access.access import GRANT, grant
from gateway.web.access.outer import outer
from media.ring import Ring

RETRY: Final = 10  # seconds after which somebody may have left
PLAYERS: Final = 50  # of one stream behind one address, told apart by their names; all others there are one more
OTHERS: Final = "\n"  # the name of those, which no header can have


class Streams(Protocol):
    """The streams that may be watched, by name."""

    @property
    def leaving(self) -> bool:
        """Whether the gateway is ending: a stream's end is none then, for it goes on when the gateway is back."""

    def ring(self, name: str) -> Ring | None:
        """The stream's current ring; None when there is no such stream or nothing to see of it."""

    def comes(self, name: str) -> bool:
        """Whether there is a stream of that name, to be seen now or soon: one that comes back after a restart."""

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


class Way(StrEnum):
    """How somebody watches."""

    HLS = "hls"
    MSE = "mse"
    MP4 = "mp4"
    MJPEG = "mjpeg"
    WHEP = "whep"


@dataclass(slots=True, eq=False)
class Seat:
    """One viewer's place: of which stream, how, from which address, and since when (Unix time). `ended`: it was told to
    go, and does so at its next look or request.
    """

    name: str
    way: Way
    address: str
    since: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    ended: bool = False

    def may_stay(self, allowed: Callable[[], bool]) -> bool:
        """Whether it was not told to go, and what let it in is good still."""
        return not self.ended and allowed()


class Viewers:
    """Every viewer in one place: connections for as long as they last, HLS players for as long as they ask again.

    An HLS player holds no connection. A cookie or a mark in its addresses would tell it from others, but would make
    each answer one of its own, and caches useless. So its address and its name (User-Agent) stand for it, and two equal
    players behind one address count as one. A caller chooses that name, so the names of one address have a bound.
    """

    def __init__(self, streams: Streams, caps: ViewerCaps) -> None:
        self._streams = streams
        self._caps = caps
        self._counts: dict[str, int] = {}
        self._players: dict[tuple[str, str, str], _Player] = {}
        self._names: Counter[tuple[str, str]] = Counter()  # of players, by stream and address
        self._seats: dict[str, Seat] = {}

    @property
    def total(self) -> int:
        """Viewers of all streams."""
        return sum(self._counts.values())

    def seats(self) -> list[Seat]:
        """All viewers but those that were told to go, in the order in which they came."""
        return [seat for seat in self._seats.values() if not seat.ended]

    def end(self, seat_id: str) -> None:
        """Tells one viewer to go. A player of HLS, which holds no connection, is refused for `absence` seconds."""
        if seat_id in self._seats:
            self._seats[seat_id].ended = True

    @contextmanager
    def watching(self, request: web.Request, way: Way) -> Iterator[None]:
        """One viewer of the stream for as long as it lasts, or until it is told to go: from then on the request's
        `grant` is not good any more. Failure: `capacity-exceeded`.
        """
        name = request.match_info["name"]
        with self._seated(name, way, outer(request).address) as seat:
            request[GRANT] = partial(seat.may_stay, grant(request))
            yield

    @contextmanager
    def _seated(self, name: str, way: Way, address: str) -> Iterator[Seat]:
        if self._counts.get(name, 0) >= self._caps.per_stream:
            raise Failure("capacity-exceeded", f"The stream has {self._caps.per_stream} viewers.", retry_after=RETRY)
        if self.total >= self._caps.total:
            raise Failure("capacity-exceeded", f"There are {self._caps.total} viewers in all.", retry_after=RETRY)
        self._counts[name] = self._counts.get(name, 0) + 1
        seat = Seat(name, way, address, time.time())
        self._seats[seat.id] = seat
        try:
            with self._streams.viewer(name):
                yield seat
        finally:
            del self._seats[seat.id]
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]

    def asked(self, name: str, request: web.BaseRequest) -> None:
        """An HLS player has asked for something. Failures: `capacity-exceeded`, for one that is not counted yet;
        `forbidden`, for one that was told to go.
        """
        where = (name, outer(request).address)
        key = (*where, request.headers.get(hdrs.USER_AGENT, "")[:200])
        if key not in self._players and self._names[where] >= PLAYERS:
            key = (*where, OTHERS)
        loop = asyncio.get_running_loop()
        player = self._players.get(key)
        if player is None:
            context = self._seated(name, Way.HLS, where[1])
            player = self._players[key] = _Player(context, context.__enter__())
            self._names[where] += 1
            player.timer = loop.call_later(self._caps.absence, self._look, key)
        elif player.seat.ended:
            retry = int(self._caps.absence) + 1
            raise Failure("forbidden", f"This viewer was told to go; it may come back in {retry} s.")
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

    context: AbstractContextManager[Seat]
    seat: Seat
    seen: float = 0.0
    timer: asyncio.TimerHandle | None = None
