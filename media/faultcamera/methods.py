"""What the camera answers to each RTSP method; knows sessions and tracks, but reads and writes no connection."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from media.faultcamera.broadcast import Broadcast
from media.faultcamera.clip.rtp import Sender
from media.faultcamera.clip.track import ClipTrack
from media.faultcamera.faults import METHODS, Faults
from media.faultcamera.ports import PortPair
from media.faultcamera.rtsp import sdp, transport
from media.faultcamera.rtsp.auth import Doorkeeper, small
from media.faultcamera.rtsp.message import CameraResponse, Request
from media.faultcamera.session import Datagrams, Interleave, Leg, Outlet, RtspSession
from media.faultcamera.settings import CameraSettings

PUBLIC: Final = ", ".join(METHODS)
TRACK_PATH: Final = "/trackID="


@dataclass
class Methods:
    """The camera behind its RTSP side. `clock` gives seconds since the start; `sessions` are by id.

    `small` gives the video track in half the size, made when it is first asked for.
    """

    settings: CameraSettings
    tracks: Sequence[ClipTrack]
    faults: Faults
    doorkeeper: Doorkeeper
    broadcast: Broadcast
    clock: Callable[[], float]
    small: Callable[[], ClipTrack]
    sessions: dict[str, RtspSession] = field(default_factory=dict)
    teardowns: int = 0
    unix_start: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.ports = PortPair(self.settings.host, self.heard_from)

    async def answer(self, request: Request, owner: asyncio.Transport) -> CameraResponse:
        """The answer to one request that came over `owner`. Only a first SETUP over UDP ever waits."""
        early = self._early(request)
        if early:
            return early
        session = self.sessions.get(request.session)
        if session:
            session.touched = self.clock()
        elif request.session or request.method in ("PLAY", "PAUSE", "TEARDOWN"):
            return CameraResponse(454)
        match request.method:
            case "DESCRIBE":
                return self._describe(request)
            case "SETUP":
                return await self._setup(request, session, owner)
            case "PLAY" if session:
                return self._play(request, session)
            case "PAUSE" if session:
                session.playing = False
                self.broadcast.leave(session)
                return CameraResponse(headers=self._session_header(session))
            case "TEARDOWN" if session:
                self.teardowns += 1
                self.end(session)
                return CameraResponse()
        return CameraResponse(headers=self._session_header(session) if session else ())

    def _early(self, request: Request) -> CameraResponse | None:
        """The answer to requests that need no session; None to go on."""
        if not request.cseq:
            return CameraResponse(400)
        if "require" in request.headers:
            return CameraResponse(551, (("Unsupported", request.headers["require"]),))
        if request.method == "OPTIONS":
            return CameraResponse(headers=(("Public", PUBLIC),))
        if request.method not in METHODS:
            known = request.method in ("ANNOUNCE", "RECORD", "REDIRECT")
            return CameraResponse(405 if known else 501, (("Allow", PUBLIC),))
        refusal = self.doorkeeper.challenge() if self.faults.refusing_auth else self.doorkeeper.refusal(request)
        if refusal:
            return small(refusal) if self.faults.small_letters else refusal
        return None if self._target(request) is not None else CameraResponse(404)

    def _target(self, request: Request) -> int | None:
        """The index of the track that a URL names, -1 for the whole presentation, None for what is not here."""
        # A client puts the track behind the whole base, its query included.
        base, found, number = request.url.partition(TRACK_PATH)
        if base != "*" and urlsplit(base).path.rstrip("/") != self.settings.path:
            return None
        if not found:
            return -1
        return int(number) if number.isdecimal() and number.isascii() and int(number) < len(self.tracks) else None

    def _session_header(self, session: RtspSession) -> tuple[tuple[str, str], ...]:
        return (("Session", f"{session.id};timeout={self.settings.session_timeout}"),)

    def _describe(self, request: Request) -> CameraResponse:
        accepted = request.headers.get("accept", "application/sdp")
        if "application/sdp" not in accepted and "*/*" not in accepted:
            return CameraResponse(406)
        base = request.url.rstrip("/") + "/"
        headers = (("Content-Base", base), ("Content-Type", "application/sdp"), ("Cache-Control", "no-cache"))
        if self.faults.redirection:
            return CameraResponse(302, (("Location", self.faults.redirection),))
        how = self.faults.description or ("no_sprop" if self.faults.without_parameters else "")
        return CameraResponse(headers=headers, body=sdp.describe(self.tracks, self.settings.host, how, base))

    async def _setup(self, request: Request, session: RtspSession | None, owner: asyncio.Transport) -> CameraResponse:
        index = self._target(request)
        if index is None or (index < 0 and len(self.tracks) > 1):
            return CameraResponse(459)
        if session and session.playing:
            return CameraResponse(455)
        limit = self.faults.session_limit
        if session is None and limit is not None and len(self.sessions) >= limit:
            return CameraResponse(453)
        offers = transport.offers(request.headers.get("transport", ""))
        offer = next((offer for offer in offers if offer.lower not in self.faults.refused_transports), None)
        if offer is None:
            return CameraResponse(461)
        index = max(index, 0)
        if self.faults.sound_status and self.tracks[index].kind == "audio":
            return CameraResponse(self.faults.sound_status)
        outlet, text = await self._outlet(offer, index, owner)
        if session is None:
            session = RtspSession(
                owner, self.faults, self.settings.report_every, self.unix_start, self.clock(), small=self.small
            )
            self.sessions[session.id] = session
        leg = Leg(self.tracks[index], outlet, Sender(self.tracks[index].payload_type))
        session.legs = dict(sorted({**session.legs, index: leg}.items()))
        return CameraResponse(
            headers=(("Transport", f"{text};ssrc={leg.sender.ssrc:08X}"), *self._session_header(session))
        )

    async def _outlet(
        self, offer: transport.TransportOffer, index: int, owner: asyncio.Transport
    ) -> tuple[Outlet, str]:
        """Where the track goes for an offer, and the Transport header that says so."""
        if offer.lower == "tcp" or offer.pair is None:
            channels = offer.pair or (2 * index, 2 * index + 1)
            text = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}"
            return Interleave(owner, channels, self.settings.backlog_limit), text
        sockets = await self.ports.open()
        own = [socket.get_extra_info("sockname")[1] for socket in sockets]
        text = f"RTP/AVP;unicast;client_port={offer.pair[0]}-{offer.pair[1]};server_port={own[0]}-{own[1]}"
        return Datagrams(sockets, owner.get_extra_info("peername")[0], offer.pair, self.faults), text

    def _play(self, request: Request, session: RtspSession) -> CameraResponse:
        self.broadcast.join(session)
        entry = self.broadcast.entry(session.legs)
        if not session.playing:
            session.begin(entry)
            if self.faults.drop_after is not None:
                asyncio.get_running_loop().call_later(self.faults.drop_after, session.owner.abort)
        base = request.url.partition(TRACK_PATH)[0].rstrip("/")
        infos = (
            f"url={base}{TRACK_PATH}{index};seq={leg.sender.sequence};"
            f"rtptime={session.told_timestamp(index, entry[index])}"
            for index, leg in session.legs.items()
        )
        headers = (("Range", "npt=now-"), ("RTP-Info", ",".join(infos)), *self._session_header(session))
        return CameraResponse(201 if self.faults.play_created else 200, headers)

    def heard(self, owner: asyncio.Transport) -> None:
        """A client's RTCP came over its connection: a sign of life for its sessions."""
        self._touch(lambda session: session.owner is owner)

    def heard_from(self, host: str, port: int) -> None:
        """A client's RTCP came by UDP: a sign of life for its sessions."""
        self._touch(
            lambda session: any(
                isinstance(leg.outlet, Datagrams) and leg.outlet.host == host and port in leg.outlet.ports
                for leg in session.legs.values()
            )
        )

    def _touch(self, meant: Callable[[RtspSession], bool]) -> None:
        for session in self.sessions.values():
            if meant(session):
                session.touched = self.clock()

    def end(self, session: RtspSession) -> None:
        """Forgets a session and sends it nothing more."""
        session.playing = False
        self.broadcast.leave(session)
        self.sessions.pop(session.id, None)

    def leave(self, owner: asyncio.Transport) -> None:
        """Ends the sessions of a connection that is gone; lingering ones only fall silent."""
        for session in [session for session in self.sessions.values() if session.owner is owner]:
            if self.faults.lingering:
                session.playing = False
                self.broadcast.leave(session)
            else:
                self.end(session)

    def expire(self) -> None:
        """Closes the connections of sessions that gave no sign of life for the session timeout."""
        limit = self.clock() - self.settings.session_timeout
        for session in [session for session in self.sessions.values() if session.touched < limit]:
            self.end(session)
            session.owner.abort()

    def close(self) -> None:
        """Ends all sessions and closes the UDP ports."""
        for session in list(self.sessions.values()):
            self.end(session)
        self.ports.close()
