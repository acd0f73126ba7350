"""The Transport header of SETUP (RFC 2326, 12.39): what a client offers, and which offer is taken."""

import re
from dataclasses import dataclass
from typing import Literal

Lower = Literal["tcp", "udp"]


@dataclass(frozen=True)
class TransportOffer:
    """One acceptable way: `pair` are the interleaved channels for tcp, the client's RTP and RTCP ports for udp."""

    lower: Lower
    pair: tuple[int, int] | None


def offers(header: str) -> list[TransportOffer]:
    """The unicast play offers of a header, in the client's order of preference; what is unknown is left out."""
    parsed = (_offer(text.strip()) for text in header.split(","))
    return [offer for offer in parsed if offer]


def _offer(text: str) -> TransportOffer | None:
    protocol, *parameters = (part.strip() for part in text.split(";"))
    named = {name.lower(): value for name, _, value in (parameter.partition("=") for parameter in parameters)}
    if "multicast" in named or named.get("mode", "play").strip('"').lower() != "play":
        return None
    match protocol.upper():
        case "RTP/AVP/TCP":
            return TransportOffer("tcp", _pair(named.get("interleaved", ""), 255))
        case "RTP/AVP" | "RTP/AVP/UDP":
            pair = _pair(named.get("client_port", ""), 65535)
            return TransportOffer("udp", pair) if pair and all(pair) else None
    return None


def _pair(text: str, limit: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text.strip(), re.ASCII)
    if not match:
        return None
    first = int(match[1])
    pair = (first, int(match[2]) if match[2] else first + 1)
    return pair if max(pair) <= limit else None
