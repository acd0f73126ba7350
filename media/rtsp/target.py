"""The address of a camera: what an `rtsp://` URI says about where to connect and what to ask for."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from media.faults import Fault

PORTS: Final = {"rtsp": 554, "rtsps": 322}  # RFC 7826, section 4.2


@dataclass(frozen=True, slots=True)
class RtspTarget:
    """`uri` is absolute, ASCII and without userinfo and fragment: fit for a request line and a digest."""

    scheme: str
    host: str
    port: int
    uri: str

    @property
    def tls_name(self) -> str:
        """The name to ask for by TLS; "" for a plain connection."""
        return self.host if self.scheme == "rtsps" else ""

    @classmethod
    def parse(cls, uri: str) -> "RtspTarget":
        """Raises Fault `unsupported-scheme` for what is no rtsp or rtsps address with a host."""
        try:
            return _target(urlsplit(uri))
        except ValueError:
            detail = (
                "the address is not one of a camera; it has the form rtsp://host:port/path or rtsps://host:port/path"
            )
            raise Fault("unsupported-scheme", detail) from None

    def follow(self, location: str, address: str) -> tuple["RtspTarget", bool]:
        """The target of a redirect, and whether that is still the host at `address`, by the same name or that number.

        Raises Fault `source-protocol-error` for no or a strange location, and for one that would give up encryption.
        """
        try:
            parts = urlsplit(location)
            if not parts.netloc and parts.path.startswith("/"):
                base = urlsplit(self.uri)
                parts = parts._replace(scheme=base.scheme, netloc=base.netloc)
            target = _target(parts)
        except ValueError:
            raise Fault("source-protocol-error", "the camera redirects to what is no rtsp:// address") from None
        if self.scheme == "rtsps" and target.scheme == "rtsp":
            raise Fault("source-protocol-error", "the camera redirects from rtsps:// to rtsp://, without encryption")
        return target, target.host == self.host or _same_address(target.host, address)


def _target(parts: SplitResult) -> RtspTarget:
    """Raises ValueError for an unknown scheme, no host, or a port that is none."""
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("no rtsp address")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    if port == 0 or not host.isprintable() or " " in host:
        raise ValueError("no port or host")
    authority = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        authority += f":{port}"
    # What is percent-encoded stays so; only what a request line cannot hold is encoded here.
    path = quote(parts.path, safe="/%:=&~+!$,;'@()*[]", errors="replace")
    query = "?" + quote(parts.query, safe="/%:=&~+!$,;'@()*[]?", errors="replace") if parts.query else ""
    return RtspTarget(parts.scheme, host, port, f"{parts.scheme}://{authority}{path}{query}")


def _same_address(host: str, address: str) -> bool:
    try:
        return ip_address(host) == ip_address(address)
    except ValueError:
        return False
