"""Which IP addresses a source may be connected to."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from media.faults import Fault

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# No camera lives at these, and a stranger's URI must not reach them. Settings can deny more, and allow each.
DENIED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # unspecified: a connect to it reaches this machine
        "::/128",
        "169.254.0.0/16",  # link-local, with the metadata service of most clouds at 169.254.169.254
        "fe80::/10",
        "100.100.100.200/32",  # metadata services that are not link-local
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "224.0.0.0/4",  # multicast
        "ff00::/8",
        "255.255.255.255/32",  # broadcast
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052, section 2.1


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Networks that sources may not, or may all the same, be reached at.

    `deny` comes on top of `DENIED`; `allow` wins over both and over the rule for loopback. `loopback` is true only
    while the gateway itself listens on loopback alone.
    """

    deny: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()
    loopback: bool = False

    @classmethod
    def parse(cls, deny: Iterable[str] = (), allow: Iterable[str] = (), *, loopback: bool = False) -> "AddressPolicy":
        """Read networks as settings hold them (`10.0.0.0/8`, `2001:db8::1`); ValueError names the one that is wrong."""
        return cls(tuple(map(ip_network, deny)), tuple(map(ip_network, allow)), loopback)

    def check(self, address: str) -> None:
        """Raise Fault `source-forbidden` unless `address`, a literal IP address, may be connected to."""
        try:
            judged = _judged(ip_address(address))
        except ValueError:
            raise Fault("source-forbidden", "the source's address is not an IP address", "resolving") from None
        if _within(judged, self.allow):
            return
        if judged.is_loopback and not self.loopback:
            raise _forbidden(judged, "loopback is for a gateway that itself listens on loopback alone")
        if _within(judged, DENIED) or _within(judged, self.deny):
            raise _forbidden(judged, "it is in a denied network")

    def allowed(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Those of the addresses that may be connected to. If there is none, raises the Fault of the first."""
        allowed: list[str] = []
        refusals: list[Fault] = []
        for address in addresses:
            try:
                self.check(address)
                allowed.append(address)
            except Fault as fault:
                refusals.append(fault)
        if not allowed and refusals:
            raise refusals[0]
        return tuple(allowed)


def _judged(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped: RFC 4291 2.5.5.2; NAT64), or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _forbidden(address: Address, why: str) -> Fault:
    detail = f"connecting to {address} is not allowed: {why}; source_allow can allow it"
    return Fault("source-forbidden", detail, "resolving")
