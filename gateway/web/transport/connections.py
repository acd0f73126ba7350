"""All connections: how many there may be, which one gives way to a newcomer, and when one is ended as stuck.

A connection is *silent* when nothing is under way on it: it has asked for nothing yet, or has got all its answers. It
is *still* when the gateway waits for the client and nothing moves: the client takes no more of an answer, or sends no
more of the body of its request. Who is silent or still gives way to a newcomer; who takes nothing for long is ended.
"""

import asyncio
import socket
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, cast

from media.supervision import noted

LOOK: Final = 0.5  # seconds between two looks at what moves
STILL: Final = 1.0  # seconds without movement after which a connection gives way, though something is under way on it
STUCK: Final = 10.0  # seconds without movement after which it is ended: a place is not held by who takes nothing
MOVED: Final = 4096  # bytes, taken or sent, that count as movement
TCP_INFO: Final = slice(120, 128)  # tcpi_bytes_acked in `struct tcp_info` of linux/tcp.h


class OtherEnd(Protocol):
    """What is asked of a connection. Peers are told apart by identity."""

    received: int  # bytes that have come

    def owes(self) -> bool:
        """Whether a request is under way whose body has not come whole."""


@dataclass(slots=True)
class _Place:
    """One place: the transport of TCP, whether a request is under way, and the loop time of the last movement."""

    transport: asyncio.Transport
    busy: bool = False
    waits: bool = False  # whether it waited for the client at the last look
    since: float = 0.0
    taken: int = 0
    received: int = 0


class Connections:
    """All connections.

    When there are too many, the one that has been silent or still for longest gives way to the new one. If there is
    none, the new one goes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.dropped = 0
        self.stuck = 0
        self._here: dict[OtherEnd, _Place] = {}
        self._first: OrderedDict[OtherEnd, None] = OrderedDict()  # who gives way, in this order
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._here)

    def come(self, peer: OtherEnd, transport: asyncio.BaseTransport) -> None:
        """A connection is there, or has its TLS now. The first `transport` is TCP's; it is aborted when the connection
        must end.
        """
        if peer not in self._here:
            self._here[peer] = _Place(cast(asyncio.Transport, transport))
        self._first[peer] = None
        self._first.move_to_end(peer)
        if len(self._here) > self.most:
            self.dropped += 1
            self._end(next(iter(self._first)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def asked(self, peer: OtherEnd) -> None:
        """A connection has asked for something, and its request is here as a whole."""
        if peer in self._here:
            self._here[peer].busy = True
            self._first.pop(peer, None)

    def answered(self, peer: OtherEnd) -> None:
        """A connection has got all that it asked for."""
        if peer in self._here:
            self._here[peer].busy = False
            self._first[peer] = None

    def go(self, peer: OtherEnd) -> None:
        """A connection is closed."""
        self._here.pop(peer, None)
        self._first.pop(peer, None)

    def _end(self, peer: OtherEnd) -> None:
        place = self._here[peer]
        self.go(peer)
        place.transport.abort()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK, self._look) if self._here else None
        now = loop.time()
        for peer, place in list(self._here.items()):
            unsent = place.transport.get_write_buffer_size() > 0
            if unsent or place.waits or peer.owes():
                with noted("connection"):  # the others are to be looked at all the same
                    self._judge(peer, place, now, unsent)

    def _judge(self, peer: OtherEnd, place: _Place, now: float, unsent: bool) -> None:
        """Looks at a connection that the gateway waits for, or has waited for."""
        taken = _taken(place.transport) if unsent else 0
        began, owes = not place.waits, peer.owes()
        place.waits = unsent or owes
        moved = not began and (taken - place.taken >= MOVED or peer.received - place.received >= MOVED)
        if began or moved or not place.waits:
            place.since, place.taken, place.received = now, taken, peer.received
            if place.busy or (moved and owes):
                self._first.pop(peer, None)
        elif unsent and now - place.since >= STUCK:
            self.stuck += 1
            self._end(peer)
        elif now - place.since >= STILL:
            self._first.setdefault(peer)


def _taken(transport: asyncio.Transport) -> int:
    """The bytes that the client's machine has acknowledged.

    What leaves our own buffer would not do: behind it the kernel has one of megabytes, which is filled in large steps.
    """
    try:
        return int.from_bytes(
            transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.stop)[TCP_INFO],
            "little",
        )
    except OSError:
        return 0  # it is closed
