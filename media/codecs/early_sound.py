"""Keeps what a camera sounds like until its first picture has a place in time."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from av.packet import Packet

MOST_PACKETS: Final = 2000  # 40 s of 20 ms each
MOST_BYTES: Final = 4 * 1024 * 1024


class EarlySound:
    """The newest packets, with the monotonic seconds of their arrival; the oldest leave where they are too many."""

    def __init__(self) -> None:
        self._packets: deque[tuple[Packet[Any], float]] = deque()
        self._size = 0

    def keep(self, packet: "Packet[Any]", arrival: float) -> None:
        """Keeps one more packet."""
        self._packets.append((packet, arrival))
        self._size += packet.size
        while len(self._packets) > MOST_PACKETS or self._size > MOST_BYTES:
            self._size -= self._packets.popleft()[0].size

    def taken(self) -> "Iterator[tuple[Packet[Any], float]]":
        """Gives all packets, the oldest first, and forgets them."""
        packets, self._packets, self._size = self._packets, deque(), 0
        return iter(packets)
