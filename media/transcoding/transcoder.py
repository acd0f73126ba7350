"""A stream that is another stream with a watermark: the loop side of the transcoder."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from media.catalog import Catalog
from media.chunk import Init
from media.faults import Fault
from media.kept import KeptStream
from media.process.calibration import Calibration
from media.process.capacity import Load
from media.process.messages import (
    ChunkMade,
    Failed,
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
from media.ring import LiveRing, Ring, RingLimits, RingStart
from media.stream import ENDED, Identity, Status, audio_record, video_record
from media.supervision import ended, supervise
from media.timing.backoff import Doubling
from media.transcoding.ring_feed import RingFeed
from media.watermark import Watermark

log = logging.getLogger(__name__)

HEARTBEAT: Final = 5.0  # seconds without a word from a worker after which it counts as hung
STARVED: Final = 3.0  # seconds without a frame out after which there is no picture
OVERLOAD: Final = 1.0  # seconds of lag after which the record says so
CHECK: Final = 0.5  # seconds between two looks at these limits


@dataclass(frozen=True, slots=True)
class TranscoderSpec:
    """What a transcoder makes: the name of its source; sides in pixels, frames and bits a second (None: as the source,
    or by size), and seconds between key frames.
    """

    source: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    bitrate: int | None = None
    key_every: float = 2.0

    def encoder(self) -> dict[str, Any]:
        """The output as the worker is told of it."""
        return {name: value for name, value in asdict(self).items() if name != "source"}

    def record(self) -> dict[str, Any]:
        """The output as the stream's record shows it."""
        told = {name: getattr(self, name) for name in ("width", "height", "fps", "bitrate")}
        return told | {"keyFrameSeconds": self.key_every}

    def load(self, init: Init) -> Load:
        """The load with a source of that init."""
        source = (init.video.width, init.video.height) if init.video else (0, 0)
        width, height = self.width, self.height
        if width is None:
            width = round(source[0] * height / source[1]) if height else source[0]
        if height is None:
            height = round(source[1] * width / source[0]) if source[0] else source[1]
        declared = init.video.fps if init.video else 0.0
        return Load(source, (width, height), min(self.fps or declared, declared or self.fps or 0.0))


@dataclass(frozen=True, slots=True)
class TranscoderParts:
    """The parts that all transcoders share."""

    catalog: Catalog
    workers: Workers
    calibration: Calibration
    ring: RingLimits
    stop_grace: float
    wall: Callable[[], float]


@dataclass(slots=True)
class _Observed:
    """What was seen of a transcoder; `frame_at` and `heard_at` are loop time."""

    info: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    frame_at: float = 0.0
    heard_at: float = 0.0


class TranscodedStream(KeptStream):
    """A transcoder that is kept. `open` is for the job: the source is there, there is room, a frame is encoded.

    `keep` makes it last: a worker that ends is replaced, a source that goes away is waited for.
    """

    kept_as = "transcoder"

    def __init__(
        self,
        identity: Identity,
        spec: TranscoderSpec,
        parts: TranscoderParts,
        mark: Watermark | None,
        status: Status = Status.LIVE,
    ) -> None:
        super().__init__(identity, parts.wall, Doubling(), status)
        self.spec = spec
        self.mark = mark
        self.on_phase: Callable[[str], None] = lambda _: None
        self._parts = parts
        start = RingStart.at(parts.wall(), broken=status is not Status.LIVE)  # one that comes back goes on
        self._ring = LiveRing(parts.ring, parts.wall, start=start)
        self._epoch = self._loop.time()
        self._end = 0.0
        self._init: Init | None = None
        self._worker: Worker | None = None
        self._feed: RingFeed | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._fault: Fault | None = None
        self._orders: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._seen = _Observed()

    @property
    def ring(self) -> Ring | None:
        return self._ring

    @property
    def source(self) -> str:
        return self.spec.source

    @property
    def pictures(self) -> frozenset[str]:
        return frozenset({self.mark.sha256} if self.mark else ())

    def frame_age(self) -> float | None:
        return round(self._loop.time() - self._seen.frame_at, 3) if self._seen.frame_at else None

    async def open(self, *, insist: bool = False) -> None:
        """Returns when a frame is encoded. Raises `Fault`, and then nothing is left. `insist`: whatever the budget
        says.
        """
        feed = RingFeed(self._parts.catalog, self.spec.source, self.warn)
        self.on_phase("waiting-source")
        init = await feed.source()
        self.on_phase("admission")
        await self._parts.calibration.done()
        self._parts.calibration.capacity.reserve(self.identity.id, self.spec.load(init), insist=insist)
        try:
            await self._start(feed)
        except BaseException:
            await self._end_worker()
            raise

    @property
    def is_open(self) -> bool:
        return self._worker is not None

    async def show(self, mark: Watermark | None) -> None:
        """Returns when the first frame with this watermark (None: without one) is encoded. Raises `Fault`.

        What the record says changes only with `shown`; call `show` again with what was there to take it back.
        """
        if self._worker is None or self._worker.gone.done() or self.status in ENDED:
            raise Fault("resource-busy", f"The transcoder {self.identity.name!r} is not on air; try again later.")
        self._number += 1
        number, done = self._number, self._loop.create_future()
        self._orders[number] = done
        self._worker.send(Order({"mark": _mark(mark), "number": number}))
        try:
            await done
        finally:
            self._orders.pop(number, None)

    def take_back(self) -> None:
        """Shows the watermark of the record again, without waiting for it."""
        if self._worker is not None and not self._worker.gone.done():
            self._worker.send(Order({"mark": _mark(self.mark), "number": 0}))

    def shown(self, mark: Watermark | None) -> None:
        """Puts what `show` has brought about on the record."""
        self.mark = mark
        self.on_change(self)

    async def stop(self) -> None:
        await self.unkeep()
        self._refuse(Fault("resource-busy", f"The transcoder {self.identity.name!r} has been ended."))
        await self._end_worker()
        self._parts.calibration.capacity.release(self.identity.id)
        self._ring.close()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """Kills the worker (SIGKILL)."""
        if self._worker is not None:
            self._worker.kill()

    def wanted(self) -> dict[str, Any]:
        return {
            "identity": asdict(self.identity),
            "transcoder": asdict(self.spec),
            "mark": asdict(self.mark) if self.mark else None,
        }

    def details(self) -> dict[str, Any]:
        seen = self._seen
        described = InitMade(seen.info["video"], seen.info["audio"], b"").init() if seen.info else None
        init = self._init or described
        if seen.stats.get("lag", 0.0) > OVERLOAD:
            self._tell_overload()
        why = "a watermark needs every frame encoded anew" if self.mark else "a transcoder encodes every frame anew"
        measured = {"mode": "transcode", "reason": why}
        return {
            "source": self.spec.source,
            "watermark": self.mark.record() if self.mark else None,
            "encoder": self.spec.record(),
            "video": video_record(init.video, **measured) if init else None,
            "audio": audio_record(init.audio) if init else None,
            "browsers": {"hls": True, "mse": True, "reason": None},
            "lastFrameAge": self.frame_age(),
            "lag": seen.stats.get("lag"),
            "cores": seen.stats.get("cores"),
            **self.troubles.record(),
        }

    async def _start(self, feed: RingFeed) -> None:
        """Starts a worker and its feed, and returns when its first frame is out."""
        spec = {
            "encoder": self.spec.encoder(),
            "mark": _mark(self.mark),
            "epoch": self._epoch,
            "notBefore": self._end,
        }
        self._fault, self._ready = None, self._loop.create_future()
        self._seen.heard_at = self._loop.time()
        self._feed = feed
        self._worker = worker = self._parts.workers.spawn(StartTask("transcode", spec), self._on_message)
        self._feeding = supervise("transcoder-feed", partial(feed.run, worker), self.identity.id)
        either: list[asyncio.Future[Any]] = [self._ready, worker.gone]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            raise self._why(worker)
        self._seen.info, self._seen.frame_at = self._ready.result(), self._loop.time()

    async def _end_worker(self) -> None:
        await ended(self._feeding)
        self._feeding = None
        worker = self._worker
        if worker is None:
            return
        worker.send(StopTask())
        await asyncio.wait({worker.gone}, timeout=self._parts.stop_grace)
        worker.kill()
        await asyncio.shield(worker.gone)
        self._refuse(self._why(worker))

    def _refuse(self, fault: Fault) -> None:
        """Tells those who wait for a watermark that it will not come."""
        for order in self._orders.values():
            _resolve(order, fault)

    async def free(self) -> None:
        await self._end_worker()
        self._worker = None

    async def reopen(self) -> Fault | None:
        try:
            await self.open(insist=True)
        except Fault as fault:
            self.note(fault)
            return fault
        self.move(Status.LIVE)
        return None

    async def watch(self) -> Fault:
        """Why the worker ended. Until then the stream is WAITING while the source sends nothing, and it is told when
        the worker is too slow.

        A look that comes late does not count: then this process stood still, perhaps with the whole machine.
        """
        worker = self._worker
        assert worker is not None
        stood = 0.0
        while not worker.gone.done():
            due = self._loop.time() + CHECK
            await asyncio.wait({worker.gone}, timeout=CHECK)
            now = self._loop.time()
            stood = now if now - due >= CHECK else stood
            if now - max(self._seen.heard_at, stood) > HEARTBEAT and not worker.gone.done():
                self._fault = Fault("worker-hung", f"The transcoder's worker said nothing for {HEARTBEAT:.0f} s.")
                worker.kill()
            elif self.status is Status.LIVE and now - max(self._seen.frame_at, stood) > STARVED:
                detail = f"The source {self.spec.source!r} sends nothing; the transcoder waits for it."
                self.note(Fault("source-timeout", detail, "live"))
                self.move(Status.WAITING)
        fault = self._why(worker)
        self.note(fault)
        await self._end_worker()
        return fault

    def _why(self, worker: Worker) -> Fault:
        return self._fault or worker.crash("The transcoder's worker", "live")

    def _on_message(self, message: Message) -> None:
        self._seen.heard_at = self._loop.time()
        match message:
            case PhaseReached(name):
                self.on_phase(name)
            case InitMade():
                self._init = message.init()
            case ChunkMade():
                self._on_chunk(message)
            case TaskProgress({"used": used}):
                if self._feed is not None:
                    self._feed.used(used)
            case TaskProgress({"shown": number}):
                for each in [each for each in self._orders if each <= number]:
                    _resolve(self._orders[each], None)
            case TaskProgress({"refused": number, "code": code, "detail": detail, "phase": phase}):
                if number in self._orders:
                    _resolve(self._orders[number], Fault(code, detail, phase))
                else:
                    self.warn(code, detail)
            case Stats(info):
                self._seen.stats = info
                if info["lag"] > OVERLOAD:
                    self._tell_overload()
            case WarningRaised(code, detail):
                self.warn(code, detail)
            case TaskReady(info):
                if not self._ready.done():
                    self._ready.set_result(info)
            case Failed(code, phase, detail):
                self._fault = Fault(code, detail, phase)

    def _on_chunk(self, made: ChunkMade) -> None:
        if self._init is None or self._ring.ended:
            return
        self._seen.frame_at = self._loop.time()
        self._end = (made.decode_time + made.duration) / self._init.timescale
        self._ring.append(self._init, made.decode_time, made.duration, made.independent, made.body)
        if self.status is Status.WAITING and self._keeper is not None and self._ready.done():
            self.move(Status.LIVE)

    def _tell_overload(self) -> None:
        lag = self._seen.stats.get("lag", 0.0)
        self.warn("overloaded", f"The transcoder is {lag:.1f} s behind; use a smaller picture or fewer streams.")

    def note(self, fault: Fault) -> None:
        self.troubles.note(fault, self._parts.wall())
        log.warning("transcoder-fault", extra={"stream": self.identity.id, "code": fault.code, "phase": fault.phase})


def _mark(mark: Watermark | None) -> dict[str, Any] | None:
    return mark.order() if mark else None


def _resolve(future: asyncio.Future[None], fault: Fault | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(None)
    else:
        future.set_exception(fault)
