"""One delivery of a webhook over HTTP: to addresses that the policy allows, with limits, and without redirects."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway import __version__
from media.faults import Fault
from media.net.addresses import AddressPolicy
from media.net.resolver import Resolve, system_resolver

ANSWER_LIMIT: Final = 15.0  # seconds that a receiver has to answer
LONGEST_WAIT: Final = 3600.0  # seconds that a receiver may ask for by Retry-After
AGENT: Final = f"Reelgate/{__version__}"


class Unreachable(Exception):
    """There was no answer; the text says why, and never names the address, which may hold a secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the receiver answered. `retry_after` is in seconds."""

    status: int
    retry_after: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether the event is the receiver's now."""
        return 200 <= self.status < 300


class Post:
    """Sends to receivers: `async with Post(policy) as post: await post(url, headers, body)`."""

    def __init__(
        self, policy: AddressPolicy, patience: float = ANSWER_LIMIT, resolve: Resolve = system_resolver
    ) -> None:
        self._policy = policy
        self._patience = patience
        self._resolver = _Guard(policy, resolve)

    async def __aenter__(self) -> Self:
        # No cache of names: the policy judges the address that is connected to, each time.
        connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._patience),
            headers={"User-Agent": AGENT, "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        """Sends one request, and returns the reply. Raises `Unreachable`."""
        try:
            self._check_literal(url)
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return Reply(answer.status, _seconds(answer.headers.get("Retry-After", "")))
        except Fault as fault:
            raise Unreachable(fault.detail) from None
        except TimeoutError:
            raise Unreachable(f"no answer within {self._patience:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unreachable("its certificate is not to be trusted") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"cannot connect: {error.os_error.strerror or 'the name does not resolve'}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the connection broke ({type(error).__name__})") from None

    def _check_literal(self, url: str) -> None:
        """Checks an address that is written as a number: the client asks no resolver for it."""
        host = URL(url).host or ""
        try:
            ip_address(host)
        except ValueError:
            return
        self._policy.check(host)


class _Guard(AbstractResolver):
    """Gives a connection the addresses that it may be made to, and no other."""

    def __init__(self, policy: AddressPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that may be connected to. Raises `Fault`."""
        addresses = self._policy.allowed(await self._resolve(host, port))
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Does nothing: it holds nothing."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0
