"""aiortc as a viewer: an independent WHEP client that decodes what it is sent."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientResponse, ClientSession
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError


@dataclass
class WhepViewer:
    """Offers to receive picture and sound; `received` are the decoded frames by kind. `location` after the answer."""

    http: ClientSession
    url: str
    kinds: tuple[str, ...] = ("video", "audio")
    location: str = ""
    answer: str = ""
    received: dict[str, list[Any]] = field(default_factory=lambda: {"video": [], "audio": []})
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in self.kinds:
            self.peer.addTransceiver(kind, direction="recvonly")
        self.peer.on("track", self._take)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.peer.close()
        await asyncio.gather(*self._tasks)

    async def offer(self) -> str:
        """The SDP that is posted."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def post(self, **headers: str) -> ClientResponse:
        """Asks; on 201 what comes is received from then on."""
        sent = {"Content-Type": "application/sdp", **headers}
        async with self.http.post(self.url, data=await self.offer(), headers=sent) as response:
            text = await response.text()
            if response.status == 201:
                self.location, self.answer = response.headers["Location"], text
                await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
            return response

    def _take(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._receive(track), name=f"whep {track.kind}"))

    async def _receive(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                self.received[track.kind].append(await track.recv())
        except MediaStreamError:
            return
