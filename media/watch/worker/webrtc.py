"""Sends one stream to many peers by WebRTC: a worker of its own, as the library for it runs on asyncio and needs `av`.

Down come `InitMade` and `ChunkMade` as the ring has them, and orders:

    {"offer": SDP, "session": ID, "address": A}   somebody wants to watch; A is the address at which they reached us
    {"end": ID}                                   they do not any longer

Up goes `TaskProgress` with `session` and one of `answer` (SDP), `connected`, `refused` (a code) with `detail`, and,
last and always, `gone`. `Stats` says once a second that this worker's loop still turns.
"""

import asyncio
import heapq
import itertools
import resource
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from aioice import ice
from aiortc.exceptions import OperationError

from media.mp4 import fmp4
from media.mp4.fragments import fragments
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Message, Order, Stats, TaskProgress
from media.timing.pace import Pace
from media.watch.worker.opus_encoder import OpusMaker
from media.watch.worker.peer import BACKLOG, Peer, Unit

LATE: Final = 0.2  # seconds after which sound is not worth sending any more
FILES: Final = 512  # a peer has a socket or two
BEAT: Final = 1.0  # seconds
START_CODE: Final = b"\0\0\0\1"

_reached: ContextVar[str] = ContextVar("reached")


def run(channel: GatewaySocket, _spec: dict[str, Any]) -> None:
    """The task `webrtc` of a worker: runs until the gateway says stop."""
    # The library knows of every address of this machine but loopback; a peer gets the one that it is known to reach.
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    ice.get_host_addresses = lambda use_ipv4, use_ipv6: [_reached.get()]
    asyncio.run(_serve(channel))


async def _serve(channel: GatewaySocket) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    show = _Show(channel)

    def listen() -> None:
        while not channel.stopping:
            message = channel.receive(3600.0)
            if message is not None:
                loop.call_soon_threadsafe(show.take, message)
        loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=listen, name="orders", daemon=True).start()
    player = asyncio.create_task(show.play(), name="player")
    beat = asyncio.create_task(_beat(channel), name="beat")
    stop = asyncio.create_task(stopped.wait(), name="stop")
    done, _ = await asyncio.wait({player, beat, stop}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()  # player and beat never end but by an error
    await show.close()


async def _beat(channel: GatewaySocket) -> None:
    while True:
        channel.send(Stats({}))
        await asyncio.sleep(BEAT)


class _Show:
    """The stream as it is sent: what is due next, and who gets it."""

    def __init__(self, channel: GatewaySocket) -> None:
        self._channel = channel
        self._peers: dict[str, Peer] = {}
        self._openings: set[asyncio.Task[None]] = set()
        self._pace = Pace()
        self._due: list[tuple[float, int, Unit]] = []
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self._backlog: list[Unit] = []
        self._init: InitMade | None = None
        self._sound: OpusMaker | None = None

    def take(self, message: Message) -> None:
        """Takes one message of the gateway."""
        if isinstance(message, InitMade):
            self._begin(message)
        elif isinstance(message, ChunkMade):
            self._schedule(message)
        elif isinstance(message, Order) and "offer" in message.info:
            session = message.info["session"]
            self._peers[session] = Peer(self._backlog_now)
            task = asyncio.create_task(self._open(**message.info), name=f"offer {session}")
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)
        elif isinstance(message, Order):
            peer = self._peers.get(message.info["end"])
            if peer is not None:
                peer.leave()

    async def play(self) -> None:
        """Hands out what is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            while self._due and self._due[0][0] <= loop.time():
                self._hand_out(heapq.heappop(self._due)[2])
            left = self._due[0][0] - loop.time() if self._due else None
            try:
                async with asyncio.timeout(left):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Says goodbye to everybody."""
        for peer in self._peers.values():
            peer.leave()
        if self._openings:
            await asyncio.wait(self._openings, timeout=1.0)

    async def _open(self, session: str, offer: str, address: str) -> None:
        _reached.set(address)
        peer = self._peers[session]
        try:
            if peer.left:
                return  # who has asked is gone before it was looked at
            self._tell(session, answer=await peer.answer(offer))
            if await peer.comes():
                self._tell(session, connected=True)
                await peer.leaves()
        except OperationError:
            self._tell(session, refused="codec-unsupported", detail="The offer has no H.264 that this stream fits.")
        except Exception as error:  # any exception that a stranger's text may raise in the library
            detail = f"The offer cannot be answered ({type(error).__name__})."
            self._tell(session, refused="bad-request", detail=detail)
        finally:
            del self._peers[session]
            await peer.close()
            self._tell(session, gone=True)

    def _tell(self, session: str, **what: Any) -> None:
        self._channel.send(TaskProgress({"session": session, **what}))

    def _begin(self, made: InitMade) -> None:
        self._init = made
        self._pace.forget()
        self._sound = None
        if made.audio is not None:
            try:
                self._sound = OpusMaker(made.body)
            except ValueError:
                self._sound = None  # a picture without sound is better than none

    def _schedule(self, chunk: ChunkMade) -> None:
        if self._init is None or self._init.video is None:
            return
        if chunk.discontinuity:
            self._pace.forget()
        scale, now = self._init.init().timescale, asyncio.get_running_loop().time()
        base = self._pace.arrived(chunk.decode_time / scale, chunk.duration / scale, now)
        for unit in self._units(chunk, base, scale):
            heapq.heappush(self._due, (unit.due, next(self._numbers), unit))
        self._woken.set()

    def _units(self, chunk: ChunkMade, base: float, scale: int) -> Iterator[Unit]:
        audio = self._init.audio if self._init else None
        for fragment in fragments(chunk.body):
            time = fragment.decode_time
            for sample in fragment.samples:
                if fragment.track == fmp4.VIDEO_TRACK:
                    data = b"".join(START_CODE + unit for unit in fmp4.split_prefixed(sample.data))
                    yield Unit("video", data, base + time / scale, sample.key)
                elif self._sound is not None and audio is not None:
                    for at, packet in self._sound.packets(sample.data, time / audio["timescale"]):
                        yield Unit("audio", packet, base + at)
                time += sample.duration

    def _hand_out(self, unit: Unit) -> None:
        late = asyncio.get_running_loop().time() - unit.due
        if unit.kind == "audio" and late > LATE:
            return
        if unit.kind == "video":
            if unit.key or len(self._backlog) > BACKLOG:
                self._backlog.clear()
            if unit.key or self._backlog:
                self._backlog.append(unit)
        for peer in self._peers.values():
            peer.show(unit)

    def _backlog_now(self) -> list[Unit]:
        return list(self._backlog)
