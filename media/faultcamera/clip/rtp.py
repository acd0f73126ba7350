"""RTP: payloads of H.264, H.265, AAC and plain sound, packets with a clock of their own, sender reports.

Our own packetiser and not FFmpeg's `rtp` muxer: a fault is a change of a timestamp, a sequence number or the order of
packets, and here these are three integers of `Sender`; the muxer would have to be undone byte by byte. It also lets a
clip be cut into payloads once and be sent to every client with that client's own numbers.
"""

import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_PAYLOAD: Final = 1400  # bytes; with all headers below an Ethernet frame
FU_A: Final = 28
FU_H265: Final = 49
PARAMETERS_H264: Final = (7, 8)
PARAMETERS_H265: Final = (32, 33, 34)
SENDER_REPORT: Final = 200
SOURCE_DESCRIPTION: Final = 202
NTP_OF_UNIX: Final = 2_208_988_800  # seconds from 1900 to 1970, RFC 5905
SPAN: Final = 1 << 32  # a timestamp's range
CNAME: Final = b"camera@sample"


@dataclass(frozen=True, slots=True)
class Payload:
    """What one RTP packet carries; `marker` is the header's bit, set on the last packet of a picture.

    `parameters`: it is a whole parameter set (SPS, PPS or VPS) and nothing else.
    """

    data: bytes
    marker: bool
    parameters: bool = False


def h264_payloads(nals: Sequence[bytes], limit: int = MAX_PAYLOAD) -> tuple[Payload, ...]:
    """The payloads of one access unit of H.264, given as NAL units without start codes.

    They are single NAL unit packets and FU-A (RFC 6184, 5.6 and 5.8).
    """
    pieces = [piece for nal in nals for piece in ((nal,) if len(nal) <= limit else _fragments(nal, limit))]
    last = len(pieces) - 1
    return tuple(
        Payload(piece, index == last, piece[0] & 0x1F in PARAMETERS_H264) for index, piece in enumerate(pieces)
    )


def h265_payloads(nals: Sequence[bytes], limit: int = MAX_PAYLOAD) -> tuple[Payload, ...]:
    """The payloads of one access unit of H.265, given as NAL units without start codes.

    They are single NAL unit packets and fragmentation units (RFC 7798, 4.4.1 and 4.4.3).
    """
    pieces = [piece for nal in nals for piece in ((nal,) if len(nal) <= limit else _fragments_h265(nal, limit))]
    last = len(pieces) - 1
    return tuple(
        Payload(piece, index == last, piece[0] >> 1 & 0x3F in PARAMETERS_H265) for index, piece in enumerate(pieces)
    )


def _fragments_h265(nal: bytes, limit: int) -> Iterator[bytes]:
    header = bytes((nal[0] & 0x81 | FU_H265 << 1, nal[1]))
    kind = nal[0] >> 1 & 0x3F
    size = limit - 3
    for start in range(2, len(nal), size):
        first = 0x80 if start == 2 else 0
        last = 0x40 if start + size >= len(nal) else 0
        yield header + bytes((first | last | kind,)) + nal[start : start + size]


def _fragments(nal: bytes, limit: int) -> Iterator[bytes]:
    indicator = nal[0] & 0xE0 | FU_A
    kind = nal[0] & 0x1F
    size = limit - 2
    for start in range(1, len(nal), size):
        first = 0x80 if start == 1 else 0
        last = 0x40 if start + size >= len(nal) else 0
        yield bytes((indicator, first | last | kind)) + nal[start : start + size]


def aac_payload(frame: bytes) -> Payload:
    """One AAC frame without ADTS as a whole AU-header section and AU, mode AAC-hbr (RFC 3640, 3.3.6).

    Raises `ValueError` for a frame that the 13 bits of the size cannot say.
    """
    if len(frame) >= 1 << 13:
        raise ValueError(f"an AAC frame of {len(frame)} bytes is too large for AAC-hbr")
    return Payload(struct.pack(">HH", 16, len(frame) << 3) + frame, True)


@dataclass
class Sender:
    """The RTP state of one track towards one client (RFC 3550, 5.1 and 6.4.1).

    `offset` is added to the camera's ticks to make the timestamps that this client sees.
    """

    payload_type: int
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    offset: int = field(default_factory=lambda: secrets.randbits(32))
    packets: int = 0
    octets: int = 0

    def timestamp(self, ticks: int) -> int:
        """The 32-bit timestamp of a moment given in ticks of the track's clock."""
        return (ticks + self.offset) % SPAN

    def packet(self, payload: Payload, ticks: int) -> bytes:
        """The bytes of the next packet."""
        second = self.payload_type | (0x80 if payload.marker else 0)
        header = struct.pack(">BBHII", 0x80, second, self.sequence, self.timestamp(ticks), self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload.data)
        return header + payload.data

    def report(self, unix_time: float, ticks: int) -> bytes:
        """A compound packet of sender report and CNAME: at `unix_time` (seconds) the clock stood at `ticks`."""
        ntp = round((unix_time + NTP_OF_UNIX) * SPAN) % (1 << 64)
        counts = (self.packets % SPAN, self.octets % SPAN)
        report = struct.pack(">BBHIQIII", 0x80, SENDER_REPORT, 6, self.ssrc, ntp, self.timestamp(ticks), *counts)
        item = struct.pack(">IBB", self.ssrc, 1, len(CNAME)) + CNAME
        item += bytes(4 - len(item) % 4)  # at least one zero octet ends the list of items
        return report + struct.pack(">BBH", 0x81, SOURCE_DESCRIPTION, len(item) // 4) + item
