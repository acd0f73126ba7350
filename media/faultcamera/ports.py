"""The camera's pair of UDP ports, for RTP and RTCP, shared by all its clients."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

TRIES: Final = 50
FIRST: Final = 20_000
LAST: Final = 60_000

Sockets = tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]


class PortPair:
    """Opened for the first client that wants UDP. `heard` is told the host and port of whatever comes in."""

    def __init__(self, host: str, heard: Callable[[str, int], None]) -> None:
        self._host = host
        self._heard = heard
        self._sockets: Sockets | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> Sockets:
        """Opens the two sockets, even port and odd (RFC 3550, 11). Raises `OSError` when no pair is free."""
        async with self._opening:
            for _ in range(TRIES):
                if self._sockets is None:
                    self._sockets = await self._try(random.randrange(FIRST, LAST, 2))  # nosec B311
        if self._sockets is None:
            raise OSError(f"no pair of free UDP ports was found in {TRIES} tries")
        return self._sockets

    async def _try(self, port: int) -> Sockets | None:
        try:
            rtp = await self._bind(port)
        except OSError:
            return None
        try:
            return rtp, await self._bind(port + 1)
        except OSError:
            rtp.close()
            return None

    async def _bind(self, port: int) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._heard), local_addr=(self._host, port))
        return transport

    def close(self) -> None:
        """Closes the sockets that are open."""
        for socket in self._sockets or ():
            socket.close()
        self._sockets = None


class _Ear(asyncio.DatagramProtocol):
    """Hears that a client is there; what it says in its reports is of no interest."""

    def __init__(self, heard: Callable[[str, int], None]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._heard(addr[0], addr[1])
