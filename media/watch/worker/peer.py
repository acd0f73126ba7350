"""One WebRTC peer that watches: what it agrees to, and the RTP times of what it is sent."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Literal

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet

from media.watch.worker.opus_encoder import FRAME, RATE

MediaKind = Literal["video", "audio"]

VIDEO_RATE: Final = 90_000  # RFC 6184, section 5.1
CODECS: Final[dict[MediaKind, str]] = {"video": "video/h264", "audio": "audio/opus"}
AT_ONCE: Final = 0.002  # seconds between the frames of a backlog: they are shown as fast as they can be decoded
BACKLOG: Final = 1500  # frames since the last key frame that are kept for who comes next
QUEUE: Final = 2 * BACKLOG  # packets that wait for one peer before it has to wait for a key frame
CONNECT_LIMIT: Final = 15.0  # seconds until a peer must be connected
CLOSING: Final = 2.0  # seconds for the library to close a connection
HOLE: Final = 0.06  # seconds between two Opus packets from which on it is silence and no jitter
# Where a peer says that it may be reached. Nothing is sent there, since a stranger chose these addresses. The peer
# sends its checks here, with a password that only it was told, and is answered where they come from.
UNHEARD: Final = ("a=candidate:", "a=end-of-candidates")


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit (Annex B) or one Opus packet. `due` is on the loop's clock; `key`: a decoder can begin here."""

    kind: MediaKind
    data: bytes
    due: float
    key: bool = True


class Peer:
    """One viewer. `backlog` gives the frames since the newest key frame: it gets them all at once, as soon as it is
    connected, and then everything as it is due.
    """

    def __init__(self, backlog: Callable[[], Sequence[Unit]]) -> None:
        self._lines: dict[MediaKind, _Line] = {"video": _Line("video", VIDEO_RATE), "audio": _Line("audio", RATE)}
        self._backlog = backlog
        self._connected = asyncio.Event()
        self._left = asyncio.Event()
        self._connection: RTCPeerConnection | None = None
        self._transports: set[RTCDtlsTransport] = set()  # all that were ever made: the library can lose one

    @property
    def left(self) -> bool:
        """Whether the peer is not wanted here any longer."""
        return self._left.is_set()

    async def answer(self, offer: str) -> str:
        """The answer to an SDP offer. Raises what the library does for one that makes no sense to it.

        `OperationError`: no codec fits.
        """
        if "m=video " not in offer:
            raise ValueError("an offer without a picture")
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # None would ask a stranger's server
        connection.on("connectionstatechange", self._changed)
        self._connection = connection
        for kind, line in self._lines.items():
            if f"m={kind} " not in offer:
                continue  # the library has no answer without a place for it
            transceiver = connection.addTransceiver(line, direction="sendonly")
            self._transports.add(transceiver.sender.transport)
            # Before the remote description: afterwards the codecs are agreed already, and VP8 comes first.
            capabilities = RTCRtpSender.getCapabilities(kind).codecs
            wanted = [each for each in capabilities if each.mimeType.lower() in (CODECS[kind], "video/rtx")]
            transceiver.setCodecPreferences(wanted)
        heard = [line for line in offer.splitlines() if not line.startswith(UNHEARD)]
        await connection.setRemoteDescription(RTCSessionDescription("\r\n".join([*heard, ""]), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    async def comes(self) -> bool:
        """Waits until the peer is connected (True), or will not be (False): it has left, or did not come in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_LIMIT):
                await self._connected.wait()
        return self._connected.is_set() and not self.left

    async def leaves(self) -> None:
        """Waits until the peer has left."""
        await self._left.wait()

    def leave(self) -> None:
        """Lets the peer go: it is not wanted here any longer."""
        self._left.set()
        self._connected.set()

    def show(self, unit: Unit) -> None:
        """Hands over what is due, once the peer is connected."""
        if self._connected.is_set():
            self._lines[unit.kind].push(unit)

    async def close(self) -> None:
        """Ends the connection; returns when its sockets are closed, or `CLOSING` seconds are over, and never raises.

        The library stops at the first part of a connection that it cannot close, such as one that the offer has put
        into a group that does not exist. What is left is closed here, or each such offer would keep its sockets.
        """
        for line in self._lines.values():
            line.stop()
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSING):
                await self._connection.close()
        except Exception:  # any exception that a stranger's text may raise in the library
            owners = [each.sender for each in self._connection.getTransceivers()]
            self._transports |= {each.transport for each in owners if each.transport is not None}
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await asyncio.gather(*map(_stopped, self._transports), return_exceptions=True)

    def _changed(self) -> None:
        state = self._connection.connectionState if self._connection else "closed"
        if state == "connected" and not self._connected.is_set():
            self._connected.set()
            units, now = self._backlog(), asyncio.get_running_loop().time()
            for behind, unit in zip(range(len(units), 0, -1), units, strict=True):
                self._lines["video"].push(replace(unit, due=now - behind * AT_ONCE))
        elif state in ("failed", "closed"):
            self.leave()


async def _stopped(transport: RTCDtlsTransport) -> None:
    """Stops DTLS, and ICE below it, which has the socket."""
    try:
        await transport.stop()
    finally:
        await transport.transport.stop()


class _Line(MediaStreamTrack):
    """The media of one kind that one peer is sent, as packets that are coded already; the library makes RTP of them."""

    def __init__(self, kind: MediaKind, rate: int) -> None:
        super().__init__()
        self.kind = kind
        self._rate = rate
        self._packets: asyncio.Queue[Packet[Any] | None] = asyncio.Queue()
        self._needs_key = True
        self._start: float | None = None  # on the loop's clock, at RTP time 0
        self._newest = 0  # RTP time

    def push(self, unit: Unit) -> None:
        """Adds one unit. A peer that takes nothing goes on with a key frame once it does."""
        if self._packets.qsize() >= QUEUE:
            self._needs_key = True
        if self._needs_key and not (unit.key and self._packets.qsize() < QUEUE // 2):
            return
        self._needs_key = False
        packet: Packet[Any] = Packet(unit.data)
        packet.pts, packet.time_base = self._time(unit.due), Fraction(1, self._rate)
        self._packets.put_nowait(packet)

    async def recv(self) -> "Packet[Any]":
        """The next packet; `MediaStreamError` after the end."""
        packet = await self._packets.get()
        if packet is None:
            raise MediaStreamError
        return packet

    def stop(self) -> None:
        """Ends the line: no more packets will come."""
        super().stop()
        self._packets.put_nowait(None)

    def _time(self, due: float) -> int:
        if self._start is None:
            self._start = due
            return 0
        time = round((due - self._start) * self._rate)
        if self.kind == "audio" and abs(time - self._newest - FRAME) < HOLE * RATE:
            time = self._newest + FRAME  # sample by sample
        self._newest = max(time, self._newest + 1)
        return self._newest
