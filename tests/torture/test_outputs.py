"""Rows O3 and O5 of the torture list, and who else watches: real gateway, real camera, real clients."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from gateway.app import Gateway
from gateway.settings import Settings
from gateway.web.watch import low_latency
from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from media.faultcamera import sample
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from media.ring import LiveRing
from tests.peers import hlsjs
from tests.support.feeding import Feeder
from tests.support.follower import Follower
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

pytestmark = pytest.mark.media


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[str]:
    """Where a camera, `camera`, and a looping file, `loop`, are watched."""
    sample.write_video(_made(tmp_path / "media") / "sample.mp4")
    settings = Settings(
        http_port=0, media_dir=tmp_path / "media", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache"
    )
    async with Camera(CameraSettings()) as camera, Gateway(settings) as gateway, ClientSession() as session:
        for path, body in (
            ("rtsp", {"uri": camera.url, "localStreamName": "camera"}),
            ("vod", {"uri": "vod-live://sample.mp4", "localStreamName": "loop", "loop": True}),
        ):
            async with session.post(f"{gateway.url}/rest-api/v3/{path}/startup", json=body) as response:
                assert response.status == 200, await response.text()
        yield f"{gateway.url}/live/"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.timeout(700)
@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.soak)])
async def test_o5_minutes_of_a_camera_and_of_a_loop_break_no_rule_of_low_latency_hls(base: str, seconds: int) -> None:
    followers = [Follower(f"{base}{name}/") for name in ("camera", "loop")]
    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.follow(seconds))
    for follower in followers:
        assert follower.plain == 0
        assert follower.checker.resolved > 2 * seconds  # three parts a second, each of them hinted at
        assert follower.deltas > seconds / 2
        assert follower.spread < 0.001
        assert len(follower.checker.seen) >= seconds // 2


@pytest.mark.debian
@pytest.mark.timeout(400)  # where npm has to fetch it, and to try again
async def test_o5_hls_js_with_low_latency_on_plays_at_the_live_edge_without_an_error(base: str) -> None:
    # It catches up: where a busy machine has let it run dry, it would stay as far behind for good.
    async with hlsjs.player(f"{base}camera/index.m3u8", lowLatencyMode=True, maxLiveSyncPlaybackRate=1.5) as viewer:
        await hlsjs.plays_steadily(viewer.page, 6)
        parts = await viewer.page.evaluate("window.levels.filter(([, parts]) => parts > 0).length")
        assert parts > 12  # three a second: it reloads for parts
        # Plain HLS would stay three segments behind.
        await viewer.page.wait_for_function("window.hls.latency < 6", timeout=60_000)
        assert await hlsjs.complaints(viewer.page) == []


@pytest.fixture
async def still() -> AsyncIterator[tuple[LiveRing, int]]:
    """A stream that stands still, `yard`, and the port where it is watched."""
    streams = FakeStreams()
    ring = streams.add("yard")
    Feeder(ring).feed_until(2)
    server = Server(an_app(streams, PlayLimits(viewer=ViewerLimits(tick=0.2))))
    await server.start_server()
    assert server.port is not None
    yield ring, server.port
    await server.close()


async def test_o3_five_hundred_blocked_reloads_whose_clients_vanish_leave_nothing(
    still: tuple[LiveRing, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_latency, "HELD_TARGETS", 100)  # it is not for lack of it that they are let go
    ring, port = still
    before, sizes = _descriptors(), []
    for _ in range(4):
        writers = []
        for _ in range(500):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /live/yard/media.m3u8?_HLS_msn=3 HTTP/1.1\r\nHost: x\r\n\r\n")
            writers.append(writer)
        await until(lambda: ring.waiting == 500)
        for writer in writers:
            writer.close()
        await until(lambda: ring.waiting == 0 and _descriptors() <= before)
        gc.collect()
        sizes.append(_resident())
    assert sizes[-1] - sizes[0] < 4 * 1024 * 1024  # the first round is what the process needs at most


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _resident() -> int:
    """Bytes of this process, in which the server is."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
