"""A camera's session: one attempt after another for as long as the stream is wanted, under one ring."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from media.addresses import AddressPolicy
from media.attempt import Attempt, Place, Sink
from media.chunk import Init
from media.faults import Fault
from media.messages import ChunkMade, InitMade
from media.ring import LiveRing, Ring, RingLimits
from media.spec import CameraSpec
from media.stream import ENDED, Identity, Status, Stream, audio_record, timestamp, video_record
from media.workers import Workers

log = logging.getLogger(__name__)

HISTORY: Final = 20  # attempts kept for the record
FIRST_DELAY: Final = 0.5  # seconds
LONGEST_DELAY: Final = 30.0
STEADY: Final = 60.0  # seconds of pictures after which the next failure starts over at FIRST_DELAY

# Codes after which a quick retry would only do harm, and those after which none can help.
SLOW: Final = {"source-auth-failed": 60.0, "source-auth-or-busy": 60.0, "source-not-found": 30.0}
HOPELESS: Final = frozenset({"codec-unsupported", "source-forbidden", "unsupported-scheme"})


@dataclass(frozen=True, slots=True)
class CameraParts:
    """What every camera shares."""

    workers: Workers
    policy: AddressPolicy
    ring: RingLimits
    stop_grace: float
    wall: Callable[[], float]


class CameraStream(Stream):
    """A camera that is kept open. `open` is the first attempt, the job's; `keep` makes it last."""

    def __init__(self, identity: Identity, spec: CameraSpec, parts: CameraParts, status: Status = Status.LIVE) -> None:
        super().__init__(identity, parts.wall, status)
        self._spec = spec
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._ring = LiveRing(parts.ring, parts.wall)
        self._epoch = self._loop.time()
        self._end = 0.0  # decode time at the end of the newest chunk, in seconds
        self._init: Init | None = None
        self._fresh = False  # the next chunk is the first of an attempt
        self._attempt: Attempt | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._described: Init | None = None  # the tracks as the worker saw them, before the first chunk's init
        self._transport: str | None = None
        self._stats: dict[str, Any] = {}
        self._timings: dict[str, int] = {}
        self._frame_at: float | None = None
        self._restarts = 0
        self._last_error: dict[str, Any] | None = None
        self._next_retry_at: float | None = None
        self._attempts: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self.on_phase: Callable[[str], None] = lambda _: None

    @property
    def ring(self) -> Ring | None:
        return self._ring

    @property
    def phase(self) -> str:
        """The phase of the attempt under way."""
        return self._attempt.phase if self._attempt else "resolving"

    async def open(self) -> None:
        """One attempt: returns when a picture is proven. Raises `Fault`, and then nothing of the attempt is left."""
        began = self._loop.time()
        sink = Sink(self._on_phase, self._on_init, self._on_chunk, self._on_stats, self.warn)
        attempt = self._attempt = Attempt(self._parts.workers, self._parts.policy, sink)
        self._fresh = True
        try:
            info = await attempt.open(self._spec, Place(self._epoch, self._end))
        except Fault as fault:
            self._note(fault, began)
            raise
        self._described = InitMade(info["video"], info["audio"], b"").init()
        self._transport = info["transport"]
        self._timings = dict(attempt.timings)
        self._history("live", None, began)
        self._frame_at = self._loop.time()

    def keep(self) -> None:
        """From now on the camera is opened again whenever it goes away."""
        self._keeper = self._loop.create_task(self._keep(), name=f"camera-{self.identity.id}")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._attempt is not None:
            await self._attempt.stop(self._parts.stop_grace)
        self._ring.close()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """SIGKILL to the worker; `stop` then has nothing to wait for."""
        if self._attempt is not None:
            self._attempt.kill()

    async def _keep(self) -> None:
        """Runs until `stop` cancels it or the camera is given up."""
        delay = FIRST_DELAY
        fault = None if self._attempt and self._attempt.live else await self._reopen()
        while True:
            if fault is None:
                fault, lasted = await self._watch()
                if lasted >= STEADY:
                    delay = FIRST_DELAY
            if fault.code in HOPELESS:
                self._ring.close()
                self.move(Status.FAILED)
                return
            await self._pause(max(delay, SLOW.get(fault.code, 0.0)))
            delay = min(LONGEST_DELAY, random.uniform(FIRST_DELAY, delay * 3))  # decorrelated jitter
            fault = await self._reopen()

    async def _reopen(self) -> Fault | None:
        """One attempt; None when it is live."""
        try:
            await self.open()
        except Fault as fault:
            return fault
        self.move(Status.LIVE)
        return None

    async def _watch(self) -> tuple[Fault, float]:
        """Waits for the end of the live attempt: why, and after how many seconds."""
        attempt = self._attempt
        if attempt is None:
            raise RuntimeError("there is no live attempt to watch")
        began = self._loop.time()
        fault = await attempt.over()
        self._restarts += 1
        self._note(fault, began)
        return fault, self._loop.time() - began

    async def _pause(self, seconds: float) -> None:
        self._next_retry_at = self._parts.wall() + seconds
        self.move(Status.WAITING)
        await asyncio.sleep(seconds)
        self._next_retry_at = None

    def _note(self, fault: Fault, began: float) -> None:
        """Keeps why an attempt ended, for the record and for the operator."""
        self._last_error = {
            "code": fault.code,
            "phase": fault.phase or None,
            "detail": fault.detail,
            "at": timestamp(self._parts.wall()),
        }
        self._history(fault.phase, fault.code, began)
        log.warning("camera-fault", extra={"stream": self.identity.id, "code": fault.code, "phase": fault.phase})

    def _history(self, phase: str, code: str | None, began: float) -> None:
        ms = round((self._loop.time() - began) * 1000)
        self._attempts.append({"at": timestamp(self._parts.wall()), "phase": phase, "code": code, "ms": ms})

    def _on_phase(self, phase: str) -> None:
        self.on_phase(phase)

    def _on_init(self, init: Init) -> None:
        self._init = init

    def _on_chunk(self, made: ChunkMade) -> None:
        if self._init is None or self._ring.ended:
            return
        discontinuity = made.discontinuity or self._fresh
        self._fresh = False
        self._frame_at = self._loop.time()
        self._end = (made.decode_time + made.duration) / self._init.timescale
        self._ring.append(
            self._init, made.decode_time, made.duration, made.independent, made.body, discontinuity=discontinuity
        )

    def _on_stats(self, stats: dict[str, Any]) -> None:
        self._stats = stats

    def wanted(self) -> dict[str, Any]:
        spec = asdict(self._spec) | {"password": self._spec.password.reveal(), "address": ""}
        return {"identity": asdict(self.identity), "camera": spec}

    def details(self) -> dict[str, Any]:
        init = self._init or self._described
        bitrate = self._stats.get("bitrate")
        video = video_record(init.video, bitrate=bitrate, reason=None) if init else None
        return {
            "video": video,
            "audio": audio_record(init.audio) if init else None,
            "transport": self._transport,
            "lastFrameAge": round(self._loop.time() - self._frame_at, 3) if self._frame_at is not None else None,
            "restarts": self._restarts,
            "lastError": self._last_error,
            "nextRetryAt": timestamp(self._next_retry_at),
            "attempts": list(self._attempts),
            "timings": self._timings,
        }
