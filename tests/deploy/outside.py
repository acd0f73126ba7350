"""A caller outside: what it asks for goes through the proxy, by the host's name and over TLS."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.peers.proxies import HOST, Place
from tests.support.api import Answer

CALLER: Final = "127.1.2.3"  # the address from which it calls


class _Here(AbstractResolver):
    """Every name is that of the proxy."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True)
class Outside:
    """Calls of `url`; `session` keeps no cookies."""

    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, headers: dict[str, str] | None = None, most: int = 1) -> Answer:
        """The status and the headers of an answer, and its body up to some piece after `most` bytes."""
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as response:
            body = b""
            while len(body) < most and (piece := await response.content.readany()):
                body += piece
            if not response.content.at_eof():
                response.close()  # it has no end, or there is no need to wait for it
            return Answer(response.status, response.headers, body)


@asynccontextmanager
async def outside(place: Place, port: int, scheme: str = "https") -> AsyncIterator[Outside]:
    trusting = ssl.create_default_context()
    place.authority.configure_trust(trusting)
    connector = aiohttp.TCPConnector(resolver=_Here(place.address), ssl=trusting, limit=0, local_addr=(CALLER, 0))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Outside(session, f"{scheme}://{HOST}:{port}")
