"""One client's session: its tracks, its transports, its own RTP numbers."""

import asyncio
import random
import secrets
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from media.faultcamera.broadcast import UnitCursor
from media.faultcamera.clip.rtp import SPAN, Payload, Sender
from media.faultcamera.clip.track import ClipTrack, ClipUnit
from media.faultcamera.faults import Faults


class Outlet(Protocol):
    """Where a track's packets go."""

    def rtp(self, packets: Sequence[bytes]) -> None: ...

    def rtcp(self, packet: bytes) -> None: ...


@dataclass(frozen=True)
class Interleave:
    """Packets on two channels of the RTSP connection. A client with over `limit` bytes waiting is dropped."""

    transport: asyncio.Transport
    channels: tuple[int, int]
    limit: int

    def rtp(self, packets: Sequence[bytes]) -> None:
        self._write(self.channels[0], packets)

    def rtcp(self, packet: bytes) -> None:
        self._write(self.channels[1], [packet])

    def _write(self, channel: int, packets: Sequence[bytes]) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > self.limit:
            self.transport.abort()
            return
        self.transport.write(b"".join(struct.pack(">cBH", b"$", channel, len(packet)) + packet for packet in packets))


@dataclass(frozen=True)
class Datagrams:
    """Packets to the client's two UDP ports from the camera's two, over a network as bad as the faults say."""

    sockets: tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]
    host: str
    ports: tuple[int, int]
    faults: Faults
    held: list[bytes] = field(default_factory=list)

    def rtp(self, packets: Sequence[bytes]) -> None:
        for packet in self._through(packets):
            self.sockets[0].sendto(packet, (self.host, self.ports[0]))

    def _through(self, packets: Iterable[bytes]) -> Iterable[bytes]:
        for packet in packets:
            if random.uniform(0, 100) < self.faults.loss:  # nosec B311
                continue
            if self.faults.reordering and not self.held and random.random() < 0.1:  # nosec B311
                self.held.append(packet)
                continue
            yield packet
            if random.uniform(0, 100) < self.faults.duplicates:  # nosec B311
                yield packet
            while self.held:
                yield self.held.pop()

    def rtcp(self, packet: bytes) -> None:
        self.sockets[1].sendto(packet, (self.host, self.ports[1]))


@dataclass
class Leg:
    """One track on its way to one client; `report_at` is when the next sender report is due."""

    track: ClipTrack
    outlet: Outlet
    sender: Sender
    report_at: float = 0.0
    resized: bool = False


@dataclass(eq=False)
class RtspSession:
    """A client's session (RFC 2326, 3.4). `touched` is when it last gave a sign of life, seconds since the start;
    `unix_start` is when the camera started, seconds since 1970, for the sender reports.
    """

    owner: asyncio.Transport
    faults: Faults
    report_every: float
    unix_start: float
    touched: float
    small: Callable[[], ClipTrack]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    legs: dict[int, Leg] = field(default_factory=dict)
    playing: bool = False
    joined: bool = False

    def begin(self, entry: dict[int, int]) -> None:
        """Gets ready to send from these ticks on, by index of the track, with fresh timestamps."""
        self.playing, self.joined = True, False
        for index, leg in self.legs.items():
            first = secrets.randbits(32)
            if self.faults.wrap_after is not None:
                first = SPAN - round(self.faults.wrap_after * leg.track.clock)
                leg.sender.sequence = -round(self.faults.wrap_after * _packet_rate(leg.track)) % (1 << 16)
            leg.sender.offset = first - self._shown(leg, entry[index])

    def shown_timestamp(self, index: int, ticks: int) -> int:
        """The RTP timestamp that this client sees for a moment of the broadcast."""
        leg = self.legs[index]
        return leg.sender.timestamp(self._shown(leg, ticks))

    def told_timestamp(self, index: int, ticks: int) -> int:
        """What RTP-Info says of that moment: the truth, unless the sound is misplaced."""
        leg = self.legs[index]
        return (self.shown_timestamp(index, ticks) - round(self._misplaced(leg) * leg.track.clock)) % SPAN

    def _misplaced(self, leg: Leg) -> float:
        return self.faults.sound_misplaced if leg.track.kind == "audio" else 0.0

    def _shown(self, leg: Leg, ticks: int) -> int:
        return ticks + round(self.faults.clock_offset * leg.track.clock)

    def emit(self, index: int, cursor: UnitCursor, now: float) -> None:
        """Sends the unit if this client has its track and has seen a key frame or sees it here."""
        leg = self.legs.get(index)
        if leg is None or not self.playing:
            return
        if self.faults.stalled:
            self.joined = False
            return
        if not self.joined and not self._may_join(index, cursor.unit):
            return
        self.joined = True
        if leg.track.kind == "audio" and self.faults.muted:
            return
        ticks = self._shown(leg, cursor.ticks)
        if leg.track.kind == "video" and self.faults.clock_spike:
            ticks += round(self.faults.clock_spike * leg.track.clock)
            self.faults.clock_spike = 0.0
        payloads = self._payloads(leg, cursor)
        if payloads:
            leg.outlet.rtp([leg.sender.packet(payload, ticks) for payload in payloads])
        if now >= leg.report_at:
            leg.report_at = now + self.report_every
            sent = cursor.base + cursor.unit.due  # not `now`: with exact ticks all reports lie on one line, no step
            leg.outlet.rtcp(
                leg.sender.report(self.unix_start + cursor.due + self._misplaced(leg), self._shown(leg, sent))
            )

    def _may_join(self, index: int, unit: ClipUnit) -> bool:
        return index == min(self.legs) and (unit.key or self.faults.without_keys)

    def _payloads(self, leg: Leg, cursor: UnitCursor) -> Sequence[Payload]:
        """The payloads of the unit that this client gets."""
        unit = cursor.unit
        if leg.track.kind == "video":
            if unit.key:
                leg.resized = self.faults.resized
            if leg.resized:
                unit = self.small().units[cursor.position]
            if unit.key and self.faults.without_keys:
                return ()
        payloads = unit.payloads
        if self.faults.without_parameters:
            payloads = tuple(payload for payload in payloads if not payload.parameters)
        if self.faults.garbled:
            payloads = tuple(replace(payload, data=secrets.token_bytes(len(payload.data))) for payload in payloads)
        return payloads


def _packet_rate(track: ClipTrack) -> float:
    return sum(len(unit.payloads) for unit in track.units) * track.clock / track.duration
