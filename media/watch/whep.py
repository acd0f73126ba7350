"""WebRTC as the event loop sees it: one worker for each stream that is watched so, fed from its ring."""

import asyncio
import importlib.util
import logging
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from media.chunk import Chunk
from media.cursor import Cursor, Step
from media.faults import Fault
from media.mp4 import moov
from media.mp4.fmp4 import VIDEO_TRACK
from media.mp4.fragments import fragments
from media.process.framing import MAX_BODY
from media.process.messages import ChunkMade, InitMade, Message, Order, StartTask, StopTask, TaskProgress
from media.process.workers import Workers
from media.ring import Ring

ANSWER: Final = 10.0  # seconds for the answer to an offer
FAREWELL: Final = 1.0  # seconds for a worker's goodbyes
ROOM: Final = 1024 * 1024  # bytes that may wait for a worker before it gets one more chunk
READ_LIMIT: Final = 10.0  # seconds for a worker to read what waits for it: then it counts as hung
TICK: Final = 1.0  # seconds until a replaced ring is noticed
LARGEST: Final = 2_000_000  # bytes of one picture: browsers put together no more than 2048 packets
PEERS: Final = 50  # of one stream: one core sends some 2 Mbit/s to about thirty
SEATS: Final = 2 * PEERS  # with those that are on their way out
COMING: Final = 3.0  # seconds for a viewer to connect, after which it gives way to others where all places are taken
LEAVING: Final = 8.0  # seconds for the worker to say that a viewer is gone: its own limits are shorter
SILENT: Final = 10.0  # seconds without a word from the worker, which speaks once a second: then it counts as hung

log = logging.getLogger(__name__)

Rings = Callable[[], Ring | None]


def is_installed() -> bool:
    """Whether the extra `webrtc` is installed. The library itself is never imported here, since it needs `av`."""
    return importlib.util.find_spec("aiortc") is not None


def refusal(chunk: Chunk) -> str | None:
    """Why what is in this chunk cannot be sent by WebRTC as it is; None when it can."""
    video = chunk.init.video
    if video is None:
        return "The stream has no picture."
    if not video.codec.startswith("avc1"):
        return f"WebRTC takes H.264 from here, and the stream is {video.codec}; MSE and HLS play it."
    if moov.orientation(chunk.init.data) != 1:
        return "The stream's picture is turned by its container, which WebRTC knows nothing of; MSE and HLS play it."
    samples = [sample for each in fragments(chunk.data) if each.track == VIDEO_TRACK for sample in each.samples]
    if len(chunk.data) > MAX_BODY or max((len(sample.data) for sample in samples), default=0) > LARGEST:
        return f"A picture of the stream has over {LARGEST / 1e6:.0f} MB, too much for WebRTC; MSE and HLS play it."
    if len({sample.offset for sample in samples}) > 1:
        return (
            "The stream has B-frames, which WebRTC cannot take; MSE and HLS play it, or switch them off at the camera."
        )
    return None


@dataclass
class WhepSession:
    """One viewer: the SDP answer, and `gone`, which is done when nothing is sent any more.

    `asked_at` is loop time; `connected`: its picture goes out; `leaving`: it was told to go.
    """

    id: str
    answer: "asyncio.Future[str]"
    gone: "asyncio.Future[None]"
    asked_at: float = 0.0
    who: str = ""
    connected: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What a viewer asks with: its SDP, and the address of this machine at which it came; `who` it counts for."""

    sdp: str
    address: str
    who: str = ""


class Broadcasts:
    """All streams that are watched by WebRTC, by name."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._running: dict[str, _Broadcast] = {}

    async def open(self, name: str, rings: Rings, offer: Offer) -> WhepSession:
        """A session for the offer; `rings` gives the stream's ring of the moment, None when the stream is gone.

        Faults: `bad-request` and `codec-unsupported` of the offer; `capacity-exceeded`, `worker-crashed`,
        `worker-hung`.
        """
        broadcast = self._running.get(name)
        if broadcast is None or broadcast.over:
            broadcast = self._running[name] = _Broadcast(self._workers, rings)
            broadcast.task.add_done_callback(lambda _: self._forget(name, broadcast))
        return await broadcast.open(offer)

    def end(self, name: str, session: str) -> None:
        """Ends a session whose viewer has said goodbye."""
        if name in self._running:
            self._running[name].end(session)

    async def close(self) -> None:
        """Ends every session."""
        tasks = [broadcast.task for broadcast in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _forget(self, name: str, broadcast: "_Broadcast") -> None:
        if self._running.get(name) is broadcast:
            del self._running[name]


class _Broadcast:
    """One worker and its viewers; over when the last of them has left, or the stream cannot be sent any more."""

    def __init__(self, workers: Workers, rings: Rings) -> None:
        self._rings = rings
        self._sessions: dict[str, WhepSession] = {}
        self._enough = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._worker = workers.spawn(StartTask("webrtc", {}), self._hear)
        self.over = False
        self.task = self._loop.create_task(self._run(), name="webrtc")

    async def open(self, offer: Offer) -> WhepSession:
        """A session for the offer. Raises the faults that `Broadcasts.open` names."""
        self._make_room(offer.who)
        session = WhepSession(
            uuid.uuid4().hex, self._loop.create_future(), self._loop.create_future(), self._loop.time(), offer.who
        )
        self._sessions[session.id] = session
        answered = False
        try:
            self._worker.send(Order({"offer": offer.sdp, "session": session.id, "address": offer.address}))
            async with asyncio.timeout(ANSWER):
                await session.answer
            answered = True
        except TimeoutError:
            raise Fault("worker-hung", f"The offer was not answered within {ANSWER:g} s.") from None
        finally:
            if not answered:
                self.end(session.id)
        return session

    def _make_room(self, who: str) -> None:
        """Finds a place for one more viewer. Fault: `capacity-exceeded`.

        Where all places are taken, a viewer that has asked and does not connect gives way; else the newest one of
        somebody who has over half of the places, to anybody else.
        """
        staying = [session for session in self._sessions.values() if not session.leaving]
        if len(staying) >= PEERS:
            late = self._loop.time() - COMING
            waited_for = [each for each in staying if not each.connected and each.asked_at <= late]
            gives_way = waited_for[0] if waited_for else _one_of_many(staying, who)
            if gives_way is not None:
                self.end(gives_way.id)
                staying.remove(gives_way)
        if len(staying) >= PEERS or len(self._sessions) >= SEATS:
            raise Fault("capacity-exceeded", f"The stream has {PEERS} viewers by WebRTC; MSE and HLS take more.")

    def end(self, session_id: str) -> None:
        """Ends one session. Its viewer is gone when the worker says so, or has had time to."""
        session = self._sessions.get(session_id)
        if session is None or session.leaving:
            return
        session.leaving = True
        self._worker.send(Order({"end": session_id}))
        self._loop.call_later(LEAVING, self._overdue, session)

    def _overdue(self, session: WhepSession) -> None:
        if not session.gone.done():
            log.warning("webrtc-not-closed", extra={"pid": self._worker.pid, "seconds": LEAVING})
            self._drop(session)

    async def _run(self) -> None:
        feeding = asyncio.create_task(self._feed(), name="webrtc-feed")
        feeding.add_done_callback(lambda _: self._enough.set())
        self._worker.gone.add_done_callback(lambda _: self._enough.set())
        try:
            while not self._enough.is_set() and not self._is_silent():
                await self._pause()
        finally:
            self.over = True
            feeding.cancel()
            await asyncio.wait({feeding})
            await self._stop()

    async def _pause(self) -> None:
        """Waits a tick, or less when the broadcast is over.

        A worker may be silent while the whole machine stood still, so its time begins anew then.
        """
        began = self._loop.time()
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await self._enough.wait()
        if self._loop.time() - began >= 2 * TICK:
            self._heard_at = self._loop.time()

    def _is_silent(self) -> bool:
        silent = self._loop.time() - self._heard_at >= SILENT
        if silent:
            log.warning("worker-hung", extra={"pid": self._worker.pid, "task": self._worker.task})
        return silent

    async def _stop(self) -> None:
        self._worker.send(StopTask())
        await asyncio.wait({self._worker.gone}, timeout=FAREWELL)
        self._worker.kill()
        await asyncio.shield(self._worker.gone)
        for session in list(self._sessions.values()):
            self._drop(session)

    async def _feed(self) -> None:
        """Feeds the worker from the newest key frame on, over reconnects, no faster than the worker reads.

        Returns when the stream has ended or changed its codec, or when the worker hangs.
        """
        cursor: Cursor | None = None
        while await self._has_room() and (ring := self._rings()) is not None:
            if cursor is None:
                cursor = Cursor(ring)
            cursor.follow(ring)
            step = await cursor.step()
            if step is not None and not self._sent(step):
                return
            if step is None and ring.ended and self._rings() is ring:
                return
            if step is None and cursor.waits:
                await _arrival(cursor)

    def _sent(self, step: Step) -> bool:
        """Hands a chunk to the worker; False when the stream cannot be sent any longer."""
        chunk = step.chunk
        anew = step.new_init or step.resumed
        if (anew or len(chunk.data) > MAX_BODY) and (reason := refusal(chunk)):
            log.warning("webrtc-ended", extra={"pid": self._worker.pid, "reason": reason})
            return False
        if anew:
            self._worker.send(InitMade.of(chunk.init))
        times = (chunk.decode_time, chunk.duration)
        self._worker.send(ChunkMade(*times, chunk.independent, chunk.discontinuity, chunk.data))
        return True

    async def _has_room(self) -> bool:
        try:
            async with asyncio.timeout(READ_LIMIT):
                await self._worker.room(ROOM)
        except TimeoutError:
            log.warning("worker-hung", extra={"pid": self._worker.pid, "task": self._worker.task})
            return False
        return True

    def _hear(self, message: Message) -> None:
        self._heard_at = self._loop.time()
        if not isinstance(message, TaskProgress):
            return
        session = self._sessions.get(message.info["session"])
        if session is None:
            return
        if "answer" in message.info and not session.answer.done():
            session.answer.set_result(message.info["answer"])
        elif "refused" in message.info and not session.answer.done():
            session.answer.set_exception(Fault(message.info["refused"], message.info["detail"]))
        elif "connected" in message.info:
            session.connected = True
        elif "gone" in message.info:
            self._drop(session)

    def _drop(self, session: WhepSession) -> None:
        del self._sessions[session.id]
        if not session.answer.done():
            session.answer.set_exception(Fault("worker-crashed", "The worker that sends by WebRTC has ended."))
        session.gone.set_result(None)
        if not self._sessions:
            self.over = True
            self._enough.set()


def _one_of_many(sessions: list[WhepSession], who: str) -> WhepSession | None:
    """The newest session of the one who has over half of the places, unless that is `who`."""
    ((most, count),) = Counter(each.who for each in sessions).most_common(1)
    if most == who or count <= PEERS // 2:
        return None
    return next(each for each in reversed(sessions) if each.who == most)


async def _arrival(cursor: Cursor) -> None:
    """Waits for the next chunk, but not so long that a ring that is replaced goes unnoticed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TICK):
            await (asyncio.sleep(TICK) if cursor.ring.ended else cursor.ring.wait(cursor.number))
