"""The outer side of a request: who asks, and for which address, as proxies that are trusted tell it (RFC 7239)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDictProxy

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*")
FORWARDED: Final = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix")
TOLD: Final = (*FORWARDED, "Forwarded")
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=(?:"([^"]*)"|([^";,\s]*))\s*(;|,|$)')


@dataclass(frozen=True, slots=True)
class Outer:
    """`address` is that of who asks. `scheme` is http or https, `host` may have a port; `prefix` is the path below
    which the gateway lies there, without a slash at its end ("" as a rule). `proxied`: by a proxy that is trusted.
    """

    address: str
    scheme: str
    host: str
    prefix: str = ""
    proxied: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Proxies:
    """The networks of proxies that are trusted, and the address at which those are asked, where it is set."""

    networks: Sequence[IpNetwork] = ()
    public: tuple[str, str, str] | None = None  # scheme, host, prefix

    def trusts(self, address: IpAddress) -> bool:
        """Whether what comes from there may say whom it comes from."""
        return any(address in network for network in self.networks if network.version == address.version)


def public(url: str) -> tuple[str, str, str] | None:
    """The parts of an address like `https://cams.example:8443/cams`; None for none."""
    parts = urlsplit(url)
    return (parts.scheme, parts.netloc, parts.path.rstrip("/")) if url else None


PROXIES: Final = web.AppKey("proxies", Proxies)
OUTER: Final = web.RequestKey("outer", Outer)
NOBODY: Final = Proxies()


def outer(request: web.BaseRequest) -> Outer:
    """The outer side of this request. Of a peer that is not trusted no header counts but `Host`."""
    if not isinstance(request, web.Request):
        return _as_seen(request)
    found = request.get(OUTER)
    if found is None:
        found = request[OUTER] = _outer(request, request.app.get(PROXIES, NOBODY))
    return found


def _as_seen(request: web.BaseRequest) -> Outer:
    """The outer side of a request that came without a proxy."""
    scheme = "https" if request.secure else "http"
    return Outer(request.remote or "", scheme, request.headers.get("Host", ""))


def _outer(request: web.BaseRequest, proxies: Proxies) -> Outer:
    seen, peer = _as_seen(request), _trusted(proxies, request.remote or "")
    if peer is None:
        return seen
    if proxies.public is None and not any(name in request.headers for name in TOLD):
        return Outer(seen.address, seen.scheme, seen.host, proxied=True)
    told = _told(request.headers)
    address = str(_caller(peer, told.chain, proxies))
    scheme, host, prefix = proxies.public or (
        SCHEMES.get(told.scheme.lower(), seen.scheme),
        told.host if HOST.fullmatch(told.host) else seen.host,
        told.prefix.rstrip("/") if PREFIX.fullmatch(told.prefix.rstrip("/")) else "",
    )
    return Outer(address, scheme, host, prefix, proxied=True)


@lru_cache(maxsize=1024)  # few addresses ask again and again
def _trusted(proxies: Proxies, text: str) -> IpAddress | None:
    """The address of a peer, if it is a trusted proxy's."""
    peer = _address(text)
    return peer if peer is not None and proxies.trusts(peer) else None


@dataclass(frozen=True, slots=True)
class _Told:
    """What the headers of a proxy say: `chain` has the caller first and the last proxy's peer last. "" stands for what
    is not said.
    """

    chain: Sequence[str]
    scheme: str = ""
    host: str = ""
    prefix: str = ""


def _told(headers: CIMultiDictProxy[str]) -> _Told:
    """What the headers say. Of each header the last value counts: the trusted proxy's own, whatever it was sent
    itself.
    """
    if not any(name in headers for name in FORWARDED):
        return _rfc7239(",".join(headers.getall("Forwarded", [])))
    chain, *others = ([each.strip() for each in ",".join(headers.getall(name, [])).split(",")] for name in FORWARDED)
    return _Told(chain, *(values[-1] for values in others))


def _rfc7239(text: str) -> _Told:
    """What the header `Forwarded` says; nothing if it is malformed (RFC 7239, section 4)."""
    elements: list[dict[str, str]] = [{}]
    for name, value, end in _pairs(text):
        elements[-1][name] = value
        if end == ",":
            elements.append({})
    chain, last = [each.get("for", "") for each in elements], elements[-1]
    return _Told(chain, last.get("proto", ""), last.get("host", ""))


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    found, at = [], 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return
        found.append((pair[1].lower(), pair[2] if pair[2] is not None else pair[3], pair[4]))
        at = pair.end()
    yield from found


def _caller(peer: IpAddress, chain: Sequence[str], proxies: Proxies) -> IpAddress:
    """The nearest address that is no trusted proxy's; where a proxy hides or garbles it, that proxy's own."""
    found = peer
    for text in reversed(chain):
        before = _address(text) if proxies.trusts(found) else None
        if before is None:
            break
        found = before
    return found


def _address(text: str) -> IpAddress | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; an IPv4 address in one of IPv6 is what it is."""
    bare = text.partition("]")[0][1:] if text.startswith("[") else text
    bare = bare.partition(":")[0] if bare.count(":") == 1 else bare
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
