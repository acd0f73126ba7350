"""A camera's session: one attempt after another for as long as the stream is wanted, under one ring."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from media.camera.attempt import Admission, Attempt, AttemptListener, EpochStart
from media.camera.spec import CameraSpec, Transport
from media.chunk import Init
from media.faults import Fault
from media.kept import KeptStream
from media.net.addresses import AddressPolicy
from media.net.hosts import HostTurns
from media.process.calibration import Calibration
from media.process.capacity import Load
from media.process.messages import ChunkMade, InitMade
from media.process.workers import Workers
from media.ring import LiveRing, Ring, RingLimits, RingStart
from media.stream import ENDED, Identity, Status, audio_record, timestamp, video_record
from media.timing.backoff import REFUSED_LOGIN, Backoff

log = logging.getLogger(__name__)

HISTORY: Final = 20  # attempts kept for the record
DEMAND_CHECK: Final = 0.5  # seconds between two looks whether anybody watches


@dataclass(frozen=True, slots=True)
class CameraParts:
    """The parts that all cameras share."""

    workers: Workers
    policy: AddressPolicy
    ring: RingLimits
    stop_grace: float
    wall: Callable[[], float]
    calibration: Calibration
    turns: HostTurns = field(default_factory=HostTurns)
    attempt: Callable[[Workers, AddressPolicy, AttemptListener], Attempt] = Attempt


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """How a camera is kept: opened again when it goes away, and let go when nobody has watched for `idle` seconds.

    `idle` None: it is kept open whether anybody watches or not.
    """

    reconnect: bool = True
    idle: float | None = None


class CameraStream(KeptStream):
    """A camera that is kept open. `open` makes the first attempt, for the job; `keep` makes it last."""

    kept_as = "camera"

    def __init__(
        self,
        identity: Identity,
        spec: CameraSpec,
        parts: CameraParts,
        status: Status = Status.LIVE,
        policy: KeepPolicy | None = None,
    ) -> None:
        super().__init__(identity, parts.wall, Backoff(), status)
        self._spec = spec
        self._parts = parts
        self._policy = policy or KeepPolicy()
        self._host = urlsplit(spec.uri).hostname or ""
        start = RingStart.at(parts.wall(), broken=status is not Status.LIVE)  # one that comes back goes on
        self._ring = LiveRing(parts.ring, parts.wall, self._loop.time, start)
        self._epoch = self._loop.time()
        self._end = 0.0  # decode time at the end of the newest chunk, in seconds
        self._init: Init | None = None
        self._fresh = False  # the next chunk is the first of an attempt
        self._attempt: Attempt | None = None
        self._demand = asyncio.Event()
        self._demanded_at = self._loop.time()
        self._seen = _Seen()
        self.on_phase: Callable[[str], None] = lambda _: None

    @property
    def ring(self) -> Ring | None:
        return self._ring

    def frame_age(self) -> float | None:
        return self._seen.age(self._loop.time())

    @property
    def phase(self) -> str:
        """The phase of the attempt under way."""
        return self._attempt.phase if self._attempt else "resolving"

    def demanded(self) -> None:
        """Somebody asks for the picture: a camera that was let go comes back."""
        self._demanded_at = self._loop.time()
        self._demand.set()

    async def open(self, within: float = math.inf) -> None:
        """Makes one attempt: returns when a picture is proven. Raises `Fault`, and then nothing of the attempt is left.

        The caller watches the clock; `within` (seconds) keeps the worker's own limits no longer than that.
        """
        try:
            await self._try(_at_once, self._spec.within(within))
        except Fault:
            self._release()
            raise

    def keep(self) -> None:
        self._demanded_at = self._loop.time()
        super().keep()

    async def stop(self) -> None:
        await self.unkeep()
        await self.free()
        self._ring.close()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """Kills the worker (SIGKILL); `stop` then has nothing to wait for."""
        if self._attempt is not None:
            self._attempt.kill()

    @property
    def is_open(self) -> bool:
        return self._attempt is not None

    async def _try(self, turn: Callable[[], Awaitable[None]], spec: CameraSpec) -> None:
        """Makes one attempt, and puts it on the record."""
        began = self._loop.time()
        admission = Admission(self._parts.calibration.done, self._admit)
        listener = AttemptListener(
            self._on_phase, self._on_init, self._on_chunk, self._on_stats, self.warn, turn, admission
        )
        attempt = self._attempt = self._parts.attempt(self._parts.workers, self._parts.policy, listener)
        self._fresh = True
        try:
            info = await attempt.open(spec, EpochStart(self._epoch, self._end), self._seen.first_transport)
        except Fault as fault:
            told = self._judged(fault)
            self._ended(told, began)
            raise told from None
        if info.get("videoMode") is None:
            self._release()  # a camera that was transcoded before, and whose codec was changed
        self._seen.opened(info, dict(attempt.timings), self._loop.time())
        self._history("live", None, began)

    async def reopen(self) -> Fault | None:
        try:
            await self._try(lambda: self._parts.turns.turn(self._host), self._spec)
        except Fault as fault:
            # Its traceback refers to this frame, and this frame to it. A camera that stays away for days would leave
            # such a circle for the collector at each attempt, and collecting them stops the event loop.
            return fault.with_traceback(None)
        self.move(Status.LIVE)
        return None

    async def watch(self) -> Fault | None:
        """Why the live attempt ended; None: nobody watches, and the camera was let go."""
        attempt = self._attempt
        if attempt is None:
            raise RuntimeError("there is no live attempt to watch")
        began = self._loop.time()
        over = self._loop.create_task(attempt.over(), name=f"camera-over-{self.identity.id}")
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=None if self._policy.idle is None else DEMAND_CHECK)
                if not over.done() and self._unwatched():
                    await self._let_go()
                    return None
        finally:
            over.cancel()
        fault = over.result()
        self._ended(fault, began)
        return fault

    def _unwatched(self) -> bool:
        if self.viewers:
            self._demanded_at = self._loop.time()
        return self._policy.idle is not None and self._loop.time() - self._demanded_at >= self._policy.idle

    async def rest(self) -> bool:
        """Is IDLE until somebody asks for the picture."""
        self._demand.clear()
        self._release()
        self.move(Status.IDLE)
        await self._demand.wait()
        return True

    def delay(self, fault: Fault) -> float | None:
        return super().delay(fault) if self._policy.reconnect else None

    async def free(self) -> None:
        await self._let_go()
        self._attempt = None
        self._release()

    async def _let_go(self) -> None:
        """Stops the live attempt: TEARDOWN, and the worker's end."""
        if self._attempt is not None:
            await self._attempt.stop(self._parts.stop_grace)

    def _admit(self, load: Load) -> None:
        """Reserves cores for a camera that is transcoded. One that was let in once is let in again, whatever the budget
        says.
        """
        self._parts.calibration.capacity.reserve(self.identity.id, load, insist=self._keeper is not None)

    def _release(self) -> None:
        self._parts.calibration.capacity.release(self.identity.id)

    def give_up(self, fault: Fault) -> None:
        self.warn("given-up", f"No further attempt is made after {fault.code}: {fault.detail}")
        self._release()
        self._ring.close()
        self.move(Status.WAITING)  # the table has no way from IDLE to FAILED
        self.move(Status.FAILED)

    def _judged(self, fault: Fault) -> Fault:
        """The fault as it is told: a refused login of a camera that has worked may mean that it has too many
        viewers.
        """
        if fault.code == "source-auth-failed" and self._seen.info and self.troubles.last_code not in REFUSED_LOGIN:
            detail = "The camera refuses a login that has worked: it was changed, or the camera has too many viewers."
            return Fault("source-auth-or-busy", detail, fault.phase)
        return fault

    def note(self, fault: Fault) -> None:
        self._ended(fault, self._loop.time())

    def _ended(self, fault: Fault, began: float) -> None:
        """Keeps why the attempt that began then (loop time) ended, for the record and for the operator."""
        self.troubles.note(fault, self._parts.wall())
        attempts = self._seen.attempts
        # A camera that stays dead is worth one line, not one for each try.
        level = logging.DEBUG if attempts and attempts[-1]["code"] == fault.code else logging.WARNING
        self._history(fault.phase, fault.code, began)
        log.log(level, "camera-fault", extra={"stream": self.identity.id, "code": fault.code, "phase": fault.phase})

    def _history(self, phase: str, code: str | None, began: float) -> None:
        ms = round((self._loop.time() - began) * 1000)
        self._seen.attempts.append({"at": timestamp(self._parts.wall()), "phase": phase, "code": code, "ms": ms})

    def _on_phase(self, phase: str) -> None:
        self.on_phase(phase)

    def _on_init(self, init: Init) -> None:
        self._init = init

    def _on_chunk(self, made: ChunkMade) -> None:
        if self._init is None or self._ring.ended:
            return
        discontinuity = made.discontinuity or self._fresh
        self._fresh = False
        self._seen.frame_at = self._loop.time()
        self._end = (made.decode_time + made.duration) / self._init.timescale
        self._ring.append(
            self._init, made.decode_time, made.duration, made.independent, made.body, discontinuity=discontinuity
        )

    def _on_stats(self, stats: dict[str, Any]) -> None:
        self._seen.stats = stats

    def wanted(self) -> dict[str, Any]:
        spec = asdict(self._spec) | {"password": self._spec.password.reveal(), "address": ""}
        return {"identity": asdict(self.identity), "camera": spec, "manner": asdict(self._policy)}

    def details(self) -> dict[str, Any]:
        return self._seen.record(self._init, self._loop.time()) | self.troubles.record()


async def _at_once() -> None:
    """Takes no turn: a startup that a person asked for is not held back."""


@dataclass(slots=True)
class _Seen:
    """What was observed of a camera, not what is wanted of it; `frame_at` is loop time."""

    frame_at: float | None = None
    attempts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    stats: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, int] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)  # what the worker said when the picture was proven
    described: Init | None = None  # the tracks as the worker saw them, before the first chunk's init

    @property
    def first_transport(self) -> Transport:
        """The transport to try first: the one that worked last."""
        return "udp" if self.info.get("transport") == "udp" else "tcp"

    def opened(self, info: dict[str, Any], timings: dict[str, int], now: float) -> None:
        """Notes that an attempt has become live."""
        self.info, self.timings, self.frame_at = info, timings, now
        self.described = InitMade(info["video"], info["audio"], b"").init()

    def age(self, now: float) -> float | None:
        """Seconds since the newest chunk."""
        return round(now - self.frame_at, 3) if self.frame_at is not None else None

    def _measured(self) -> dict[str, Any]:
        mode = self.info.get("videoMode") or {"reason": None}
        return {"bitrate": self.stats.get("bitrate"), "gop": self.stats.get("gop"), **mode}

    def record(self, init: Init | None, now: float) -> dict[str, Any]:
        """The members of the Stream record that a camera adds."""
        init = init or self.described
        audio = self.info.get("audioMode") or {}
        return {
            "video": video_record(init.video, **self._measured()) if init else None,
            "audio": audio_record(init.audio, **audio) if init else None,
            "browsers": browsers(init) if init else None,
            "transport": self.info.get("transport"),
            "lastFrameAge": self.age(now),
            "loss": self.stats.get("loss"),
            "attempts": list(self.attempts),
            "timings": self.timings,
        }


def browsers(init: Init) -> dict[str, Any]:
    """Which ways of watching a browser can play, and why not."""
    codec = init.video.codec if init.video else ""
    if codec.startswith("avc1") and init.video and init.video.profile in ("High 10", "High 4:2:2"):
        reason = f"H.264 {init.video.profile} is played by no browser; choose High or Main in the camera."
        return {"hls": False, "mse": False, "reason": reason}
    if codec.startswith("hvc1"):
        reason = "H.265 is played by Safari, and by Chrome and Edge where the machine decodes it in hardware."
        return {"hls": "some", "mse": "some", "reason": reason}
    return {"hls": True, "mse": True, "reason": None}
