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
from media.camera import sample
from media.camera.server import Camera
from media.camera.settings import CameraSettings
from media.loops import LoopRing
from tests.conftest import SOAK
from tests.web.follower import Follower
from tests.web.watching import until

pytestmark = pytest.mark.media

SECONDS = 600 if SOAK else 60


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One with a camera, `camera`, and a looping file, `loop`."""
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
        yield gateway


@pytest.fixture
def base(gateway: Gateway) -> str:
    """Where streams are watched."""
    return f"{gateway.url}/live/"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("seconds", [pytest.param(SECONDS, marks=[pytest.mark.soak] if SOAK else [])])
async def test_o5_a_minute_of_a_camera_and_of_a_loop_break_no_rule_of_low_latency_hls(base: str, seconds: int) -> None:
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


async def test_o3_five_hundred_blocked_reloads_whose_clients_vanish_leave_nothing(gateway: Gateway) -> None:
    ring = gateway.catalog.ring("loop")
    assert isinstance(ring, LoopRing)
    host, port = gateway.url.removeprefix("http://").split(":")
    await until(lambda: sum(segment.complete for segment in ring.segments()) > 1)
    before, sizes = _descriptors(), []
    for _ in range(3):
        writers = []
        for _ in range(500):
            _, writer = await asyncio.open_connection(host, int(port))
            msn = ring.segments()[-1].msn + 2
            writer.write(f"GET /live/loop/media.m3u8?_HLS_msn={msn} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            writers.append(writer)
        await until(lambda: ring.waiting > 300)  # some have their answer already: the loop goes on
        for writer in writers:
            writer.close()
        await until(lambda: ring.waiting == 0 and _descriptors() <= before)
        gc.collect()
        sizes.append(_resident())
    assert sizes[2] - sizes[0] < 4 * 1024 * 1024


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _resident() -> int:
    """Bytes of this process, which is the gateway's."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
