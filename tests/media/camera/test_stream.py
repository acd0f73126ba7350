"""Sessions of cameras in virtual time: when they come back, when they rest, when they are given up."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest

from media.camera.attempt import Attempt, AttemptListener, EpochStart
from media.camera.spec import CameraSpec, Transport
from media.camera.stream import CameraParts, CameraStream, KeepPolicy
from media.faults import Fault
from media.net.addresses import AddressPolicy
from media.net.hosts import HostTurns
from media.process.calibration import Calibration
from media.process.capacity import Capacity, Load
from media.process.workers import Workers
from media.ring import RingLimits
from media.stream import Identity, Status

pytestmark = pytest.mark.looptime

INFO = {"video": {"codec": "avc1.64001f", "timescale": 90000, "width": 640, "height": 360}, "audio": None}


@dataclass
class Site:
    """What stands at the other end of all attempts, and when it was connected to."""

    up: bool = True
    jpegs: bool = False
    code: str = "source-refused"
    error: Exception | None = None
    connects: list[float] = field(default_factory=list)
    live: "set[FakeAttempt]" = field(default_factory=set)

    def go_down(self) -> None:
        self.up = False
        for attempt in list(self.live):
            attempt.end("source-protocol-error")


class FakeAttempt(Attempt):
    """An attempt that connects twice, as preflight and worker do, and is live until it is told otherwise."""

    site: Site

    def __init__(self, listener: AttemptListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Fault] = self._loop.create_future()
        self._phase = "resolving"
        self.timings = {}

    @property
    def live(self) -> bool:
        return self in self.site.live

    async def open(self, spec: CameraSpec, place: EpochStart, first: Transport = "tcp") -> dict[str, Any]:
        for _ in range(2):
            await self._listener.turn()
            self.site.connects.append(self._loop.time())
            await asyncio.sleep(0.01)
            if self.site.error is not None:
                raise self.site.error
            if not self.site.up:
                raise Fault(self.site.code, "nobody is there", "connecting")
        if self.site.jpegs:
            self._listener.admission.admit(Load((640, 360), (640, 360), 25))
        self.site.live.add(self)
        return {**INFO, "transport": first, "videoMode": {"reason": "jpegs"} if self.site.jpegs else None}

    async def over(self) -> Fault:
        return await asyncio.shield(self._over)

    async def stop(self, grace: float) -> None:
        self.end("internal")

    def kill(self) -> None:
        self.end("internal")

    def end(self, code: str) -> None:
        self.site.live.discard(self)
        if not self._over.done():
            self._over.set_result(Fault(code, "it went away", "live"))


def cameras(site: Site, count: int = 1, capacity: Capacity | None = None, **policy: Any) -> list[CameraStream]:
    class Bound(FakeAttempt):
        def __init__(self, _workers: Workers, _policy: AddressPolicy, listener: AttemptListener) -> None:
            self.site = site
            super().__init__(listener)

    loop = asyncio.get_running_loop()
    calibration = Calibration(Workers(), capacity or Capacity(2))
    parts = CameraParts(Workers(), AddressPolicy(), RingLimits(), 0.3, loop.time, calibration, HostTurns(), Bound)

    def one(number: int) -> CameraStream:
        uri = f"rtsp://recorder/{number}"
        identity = Identity(f"cam{number}", "rtsp", uri, False, 0.0)
        return CameraStream(identity, CameraSpec(uri), parts, policy=KeepPolicy(**policy))

    return [one(number) for number in range(count)]


async def opened(stream: CameraStream) -> CameraStream:
    await stream.open()
    stream.keep()
    return stream


async def until(true: Callable[[], bool], seconds: float) -> float:
    """Seconds of virtual time until it is true; fails the test when it is not by then."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        assert loop.time() - began < seconds, "it did not come true in time"
        await asyncio.sleep(0.05)
    return loop.time() - began


async def test_a_camera_that_stays_away_leaves_no_tracebacks_of_its_attempts() -> None:
    def knots() -> int:
        return sum(
            isinstance(each, TracebackType) and each.tb_frame.f_code.co_name == "_try" for each in gc.get_objects()
        )

    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    before = knots()
    gc.disable()
    try:
        site.go_down()
        await until(lambda: len(site.connects) > 12, 600)
        assert knots() <= before + 1  # one may be under way
    finally:
        gc.enable()
        await stream.stop()


async def test_c45_fifty_cameras_of_one_host_die_and_come_back_without_a_stampede() -> None:
    site = Site()
    streams = cameras(site, 50)
    await asyncio.gather(*map(opened, streams))
    site.connects.clear()
    site.go_down()
    await asyncio.sleep(60)
    assert all(stream.status is Status.WAITING for stream in streams)
    site.up = True
    assert await until(lambda: all(stream.status is Status.LIVE for stream in streams), 60) < 60
    times = sorted(site.connects)
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[4:], strict=False))
    assert all(len(stream.record()["attempts"]) <= 20 for stream in streams)
    await asyncio.gather(*(stream.stop() for stream in streams))


async def test_c11_a_refused_login_is_not_repeated_for_a_minute_and_five_times_at_most() -> None:
    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    site.code = "source-auth-failed"
    site.connects.clear()
    site.go_down()
    await until(lambda: stream.status is Status.FAILED, 1000)
    gaps = [later - earlier for earlier, later in zip(site.connects, site.connects[1:], strict=False)]
    assert len(site.connects) == 5
    assert min(gaps) >= 60
    assert [warning["code"] for warning in stream.record()["warnings"]] == ["given-up"]
    await stream.stop()


async def test_a_crash_loop_is_broken() -> None:
    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    for _ in range(5):
        await until(lambda: bool(site.live), 60)
        next(iter(site.live)).end("worker-crashed")
    await until(lambda: stream.status is Status.FAILED, 60)
    assert stream.record()["restarts"] == 5
    assert stream.record()["lastError"]["code"] == "worker-crashed"
    await stream.stop()


async def test_a_minute_of_pictures_makes_the_next_retry_quick_again() -> None:
    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    for _ in range(6):
        await asyncio.sleep(70)
        next(iter(site.live)).end("source-timeout")
        assert await until(lambda: bool(site.live), 3) < 2.0
    await stream.stop()


async def test_a_waiting_camera_says_when_it_is_tried_next_and_a_live_one_does_not() -> None:
    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    assert stream.record()["nextRetryAt"] is None
    site.go_down()
    await until(lambda: stream.status is Status.WAITING, 1)
    assert stream.record()["nextRetryAt"] is not None
    await stream.stop()
    assert stream.status is Status.STOPPED


async def test_a_camera_on_demand_rests_without_viewers_and_wakes_for_one() -> None:
    site = Site()
    (stream,) = cameras(site, idle=30.0)
    await opened(stream)
    stream.viewers = 1
    await asyncio.sleep(100)
    assert stream.status is Status.LIVE
    stream.viewers = 0
    assert 29 < await until(lambda: stream.status is Status.IDLE, 40) < 32
    assert not site.live
    site.up = False
    stream.demanded()
    await until(lambda: stream.status is Status.WAITING, 5)
    site.up = True
    await until(lambda: stream.status is Status.LIVE, 60)
    await stream.stop()


async def test_a_camera_that_need_not_be_transcoded_any_more_gives_its_cores_back() -> None:
    site, capacity = Site(jpegs=True), Capacity(2)
    (stream,) = cameras(site, capacity=capacity)
    await opened(stream)
    assert capacity.used > 0
    site.jpegs = False
    site.go_down()
    await until(lambda: stream.status is Status.WAITING, 5)
    assert capacity.used > 0  # it comes back whatever the budget says by then
    site.up = True
    await until(lambda: stream.status is Status.LIVE, 60)
    assert capacity.used == 0
    await stream.stop()


async def test_a_stop_while_waiting_or_resting_leaves_nothing() -> None:
    site = Site()
    waiting, resting = cameras(site, 2, idle=1.0)
    await opened(waiting)
    await opened(resting)
    await until(lambda: resting.status is Status.IDLE, 5)
    await asyncio.gather(waiting.stop(), resting.stop())
    assert (waiting.status, resting.status) == (Status.STOPPED, Status.STOPPED)
    assert not site.live


async def test_a_camera_comes_back_after_something_that_nobody_has_thought_of() -> None:
    site = Site()
    (stream,) = cameras(site)
    await opened(stream)
    site.error = OSError(24, "Too many open files")
    site.go_down()
    await until(lambda: stream.record()["lastError"] is not None and stream.status is Status.WAITING, 5)
    await until(lambda: stream.record()["lastError"]["code"] == "internal", 5)
    assert stream.record()["nextRetryAt"] is not None
    site.error, site.up = None, True
    await until(lambda: stream.status is Status.LIVE, 60)
    assert stream.record()["nextRetryAt"] is None
    await stream.stop()


async def test_a_want_of_processes_does_not_give_a_camera_up() -> None:
    site = Site(code="worker-unavailable")
    (stream,) = cameras(site)
    await opened(stream)
    site.go_down()
    await asyncio.sleep(600)
    assert (len(site.connects) > 10, stream.status) == (True, Status.WAITING)
    site.up = True
    await until(lambda: stream.status is Status.LIVE, 60)
    await stream.stop()
