"""One honest try at a camera: preflight, worker, first picture, and how it ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from media.camera.preflight import Described, locate, preflight
from media.camera.spec import CameraSpec, Transport
from media.chunk import Init
from media.faults import Fault
from media.net.addresses import AddressPolicy
from media.process.capacity import Load
from media.process.messages import (
    ChunkMade,
    Failed,
    Finished,
    InitMade,
    Message,
    Order,
    PhaseReached,
    StartTask,
    Stats,
    StopTask,
    TaskProgress,
    TaskReady,
    WarningRaised,
)
from media.process.workers import Worker, Workers

log = logging.getLogger(__name__)

HEARTBEAT: Final = 3.0  # seconds without a word from a live worker after which it counts as hung
STALLED: Final = 15.0  # seconds without a chunk, or four times the longest chunk, after which there is no picture
UDP_SILENCE: Final = 3.0  # seconds without a packet after which a firewall is likelier than a slow camera
PUTTING_AWAY: Final = (0.2, 0.8)  # seconds given to a camera that is still busy with the end of the preflight

LETTING_GO: Final = (1.0, 2.5)  # seconds given to a camera of one connection, to let go of that of the preflight

COPIED: Final = frozenset({"h264", "h265"})  # video that is passed on as it is, in the words of media.rtsp.sdp


@dataclass(frozen=True, slots=True)
class AttemptListener:
    """Where an attempt tells what it sees; every callback runs on the loop and must not block."""

    phase: Callable[[str], None]
    init: Callable[[Init], None]
    chunk: Callable[[ChunkMade], None]
    stats: Callable[[dict[str, Any]], None]
    warned: Callable[[str, str], None]
    turn: Callable[[], Awaitable[None]]  # waits until the camera's host may be connected to once more
    admission: "Admission"


@dataclass(frozen=True, slots=True)
class Admission:
    """Who says whether there is room for a camera whose pictures must be transcoded.

    `ready` is awaited before a worker is spent on one; `admit` promises cores or raises `Fault`.
    """

    ready: Callable[[], Awaitable[None]]
    admit: Callable[[Load], None]


@dataclass(frozen=True, slots=True)
class EpochStart:
    """Where on the stream's timeline the attempt begins, in seconds (see `media.codecs.cutter.Epoch`)."""

    epoch: float
    not_before: float


@dataclass(frozen=True, slots=True)
class SourceKind:
    """What one kind of source does its own way.

    `task` is the worker's (a row of `media/process/worker/tasks.py`). `look` finds out what is on offer before a worker
    is spent on it, and pins the address. `order` is what the worker is told. All raise `Fault`.
    """

    task: str
    look: Callable[[CameraSpec, AddressPolicy, Callable[[str], None]], Awaitable[Described]]
    order: Callable[[CameraSpec, EpochStart], dict[str, Any]]


class Attempt:
    """One try, from `open` to `over`. After `open` has raised `Fault`, nothing of it is left."""

    def __init__(
        self, workers: Workers, policy: AddressPolicy, listener: AttemptListener, kind: SourceKind | None = None
    ) -> None:
        self._kind = kind or RTSP
        self._workers = workers
        self._policy = policy
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._worker: Worker | None = None
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._fault: Fault | None = None
        self._sounding = True  # whether the camera may have sound
        self._phase = "resolving"
        self._phase_at = self._loop.time()
        self._heard_at = self._chunk_at = self._loop.time()
        self._longest_chunk = 0.0  # seconds between two chunks
        self._watchdog: asyncio.TimerHandle | None = None
        self.timings: dict[str, int] = {}  # milliseconds spent in each phase that is over

    @property
    def phase(self) -> str:
        """How far it came: a word of `CAMERA_PHASES`."""
        return self._phase

    @property
    def live(self) -> bool:
        """True from the proven picture to the worker's end."""
        return self._ready.done() and self._worker is not None and not self._worker.gone.done()

    async def open(self, spec: CameraSpec, place: EpochStart, first: Transport = "tcp") -> dict[str, Any]:
        """Returns the worker's description of the tracks once a picture is proven. Raises `Fault`.

        With the transport `auto`, the other one of TCP and UDP is tried after a failure of the `first` that it may help
        against. When the call is cancelled the worker lives on until `stop`.
        """
        spec = await self._checked(spec)
        if spec.encrypted and spec.transport != "tcp":
            if spec.transport == "udp":
                detail = "An rtsps:// camera is opened by TCP: by UDP what it sends would not be encrypted."
                self._listener.warned("transport-changed", detail)
            spec = replace(spec, transport="tcp")
        tries = 0
        while True:
            try:
                info = await self._open_some_way(spec, place, first, hasty=spec.preflight and not tries)
                break
            except Fault as fault:
                if tries == len(LETTING_GO) or not (spec.preflight and _broken_off(fault)):
                    raise
            await asyncio.sleep(LETTING_GO[tries])
            tries += 1
        if tries and info.get("transport") in (spec.transport, first):
            detail = "The camera takes one connection at a time and lets go late; preflight: false opens it faster."
            self._listener.warned("slow-to-let-go", detail)
        return info

    async def _open_some_way(
        self, spec: CameraSpec, place: EpochStart, first: Transport, *, hasty: bool
    ) -> dict[str, Any]:
        """Opens the camera by its transport, or by the one of TCP and UDP that works.

        `hasty`: it is so early that a camera which lets nobody in may still be busy with the preflight, and its silence
        says nothing about the transport.
        """
        if spec.transport != "auto":
            return await self._open_by(spec, place)
        second: Transport = "udp" if first == "tcp" else "tcp"
        try:
            quiet = UDP_SILENCE if first == "udp" else spec.silence_timeout
            return await self._open_by(replace(spec, transport=first, silence_timeout=quiet), place)
        except Fault as fault:
            if not _other_transport_may_help(fault, first) or (hasty and _broken_off(fault)):
                raise
            detail = f"{first.upper()} failed ({fault.code} while {fault.phase}); {second.upper()} is used."
        info = await self._open_by(replace(spec, transport=second), place)
        self._listener.warned("transport-changed", detail)
        return info

    async def _checked(self, spec: CameraSpec) -> CameraSpec:
        """The spec with its address resolved, checked and pinned, after a look at what the camera offers."""
        if not spec.preflight:
            return await locate(spec, self._policy, self._enter)
        await self._listener.turn()
        described = await self._kind.look(spec, self._policy, self._enter)
        for warning in described.warnings:
            self._listener.warned("camera-odd", warning)
        self._sounding = any(track.media == "audio" for track in described.tracks)
        if _check_offer(described):
            await self._listener.admission.ready()
        return described.pin(spec)

    async def _open_by(self, spec: CameraSpec, place: EpochStart) -> dict[str, Any]:
        """Opens the camera by one transport; without its sound, if SETUP of that is refused.

        An answer to PLAY of 201 or such is a success (RFC 2326, 7.1.1), but FFmpeg gives up without a word; what the
        relay tells it is 200.
        """
        try:
            return await self._open_patiently(spec, place)
        except Fault as fault:
            if (fault.code, fault.phase) == ("source-protocol-error", "playing") and not (fault.status or spec.relayed):
                return await self._open_patiently(replace(spec, relay=True), place)
            if not (spec.audio and self._sounding and _may_be_of_sound(fault)):
                raise
            refused = fault
        try:
            info = await self._open_patiently(replace(spec, audio=False), place)
        except Fault:
            raise refused from None  # it was not the sound
        detail = f"The camera answers {refused.status} when its sound is asked for; the picture plays without."
        self._listener.warned("audio-refused", detail)
        return info

    async def _open_patiently(self, spec: CameraSpec, place: EpochStart) -> dict[str, Any]:
        """Opens the camera by one transport.

        A camera that described itself to the preflight, and is busy right after, is asked again: GStreamer's server
        answers 503 until it has taken down the pipeline of the first connection.
        """
        for pause in PUTTING_AWAY:
            try:
                return await self._open_once(spec, place)
            except Fault as fault:
                if not spec.preflight or (fault.code, fault.phase) != ("source-busy", "describing"):
                    raise
            await asyncio.sleep(pause)
        return await self._open_once(spec, place)

    async def _open_once(self, spec: CameraSpec, place: EpochStart) -> dict[str, Any]:
        """Starts one worker and waits until its picture is proven."""
        await self._listener.turn()
        self._fault = None
        self._worker = worker = self._workers.spawn(
            StartTask(self._kind.task, self._kind.order(spec, place)), self._on_message
        )
        # The worker keeps the camera's own limits; this one is for a worker that does not.
        limit = 2 * spec.connect_timeout + spec.keyframe_timeout + HEARTBEAT
        either: list[asyncio.Future[Any]] = [self._ready, worker.gone]
        await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            self._chunk_at = self._loop.time()
            self._beat()
            return self._ready.result()
        if not worker.gone.done():
            self._fault = self._fault or Fault("source-timeout", "The camera was not open in time.", self._phase)
            worker.kill()
        raise await self.over()

    async def over(self) -> Fault:
        """Waits until the worker is gone and says why."""
        if self._worker is None:
            raise RuntimeError("an attempt without a worker is not over")
        await asyncio.shield(self._worker.gone)
        if self._watchdog:
            self._watchdog.cancel()
        return self._fault or self._worker.crash("The camera's worker", self._phase)

    async def stop(self, grace: float) -> None:
        """Lets the worker send TEARDOWN if a picture was proven; SIGKILL otherwise, or when `grace` seconds are
        over.
        """
        worker = self._worker
        if worker is None:
            return
        if self.live:
            worker.send(StopTask(grace))
            await asyncio.wait({worker.gone}, timeout=grace)
        worker.kill()
        await asyncio.shield(worker.gone)
        if self._watchdog:
            self._watchdog.cancel()

    def kill(self) -> None:
        """Kills the worker now (SIGKILL)."""
        if self._worker is not None:
            self._worker.kill()

    def _enter(self, phase: str) -> None:
        now = self._loop.time()
        self.timings[self._phase] = self.timings.get(self._phase, 0) + round((now - self._phase_at) * 1000)
        self._phase, self._phase_at = phase, now
        self._listener.phase(phase)

    def _on_message(self, message: Message) -> None:
        self._heard_at = self._loop.time()
        match message:
            case PhaseReached(name):
                self._enter(name)
            case InitMade():
                self._listener.init(message.init())
            case ChunkMade():
                self._longest_chunk = max(self._longest_chunk, self._heard_at - self._chunk_at)
                self._chunk_at = self._heard_at
                self._listener.chunk(message)
            case Stats(info):
                self._listener.stats(info)
            case WarningRaised(code, detail):
                self._listener.warned(code, detail)
            case TaskProgress({"transcode": {"width": width, "height": height, "fps": fps}}):
                self._answer(Load((width, height), (width, height), fps))
            case TaskReady(info):
                if not self._ready.done():
                    self._ready.set_result(info)
            case Failed(code, phase, detail, status):
                self._fault = Fault(code, detail, phase or self._phase, status=status)
            case Finished():
                self._fault = Fault("source-protocol-error", "The camera ended the stream.", self._phase)
            case _:
                log.error("worker-message-unexpected", extra={"type": type(message).__name__})

    def _answer(self, load: Load) -> None:
        """Tells the worker whether it may transcode."""
        try:
            self._listener.admission.admit(load)
            told: dict[str, Any] = {"admitted": True}
        except Fault as fault:
            told = {"refused": fault.detail, "code": fault.code}
        if self._worker is not None:
            self._worker.send(Order(told))

    def _beat(self) -> None:
        """Looks whether a live worker still makes chunks, and still speaks, which it does every second.

        A look that comes late does not count: then this process stood still, perhaps with the whole machine, and the
        worker gets its time anew.
        """
        if self._worker is None or self._worker.gone.done():
            return
        now = self._loop.time()
        if self._watchdog is not None and now - self._watchdog.when() >= HEARTBEAT / 3:
            self._heard_at = now
        self._watchdog = self._loop.call_later(HEARTBEAT / 3, self._beat)
        if now - self._heard_at >= HEARTBEAT:
            detail = f"The camera's worker said nothing for {HEARTBEAT:.0f} s."
            self._fault = self._fault or Fault("worker-hung", detail, self._phase)  # it may have told why before
            self._worker.kill()
        elif now - self._chunk_at >= max(STALLED, 4 * self._longest_chunk):
            detail = f"Nothing to show has come of the camera for {now - self._chunk_at:.0f} s."
            self._fault = Fault("source-timeout", detail, self._phase)
            self._worker.kill()


def _check_offer(described: Described) -> bool:
    """Whether the camera's video has to be transcoded. Raises `Fault` when it offers no video at all."""
    offered = [track.codec for track in described.tracks if track.media == "video"]
    if not offered:
        raise Fault("source-no-media", "The camera offers sound and no picture; check its profile.", "describing")
    return COPIED.isdisjoint(offered)


def _broken_off(fault: Fault) -> bool:
    """Whether the camera did not let the worker in, or hung up, and refused nothing in words."""
    closed = fault.code == "source-refused" or (fault.code == "source-protocol-error" and not fault.status)
    return closed and fault.phase in ("connecting", "options", "describing", "setup")


def _may_be_of_sound(fault: Fault) -> bool:
    """Whether this may be a refusal of sound alone: a microphone that is off, or a loudspeaker (404, 415, 461, 500)."""
    return fault.phase == "setup" and bool(fault.status) and fault.code in ("source-not-found", "source-protocol-error")


def _other_transport_may_help(fault: Fault, tried: Transport) -> bool:
    """Whether the other one of TCP and UDP may work after this fault.

    A refused SETUP (461) is `source-protocol-error`; packets that a firewall drops are no media.
    """
    if fault.phase == "setup":
        return fault.code == "source-protocol-error"
    return fault.code == "source-no-media" and fault.phase == "playing" and tried == "udp"


def _order(spec: CameraSpec, place: EpochStart) -> dict[str, Any]:
    camera = asdict(spec) | {"password": spec.password.reveal()}
    return {"camera": camera, "epoch": place.epoch, "notBefore": place.not_before}


RTSP: Final = SourceKind("rtsp", preflight, _order)
