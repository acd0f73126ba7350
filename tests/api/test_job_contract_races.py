"""A cancel against a commit, again and again, with real workers: whoever comes first wins, and nothing is left over."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from fractions import Fraction

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from tests.support.api import Api
from tests.support.processes import open_files, until

pytestmark = pytest.mark.media

LANES = 8  # as many as there are slots for cameras
CLIP = ClipSettings(width=160, height=120, fps=Fraction(10), gop=0.2, bitrate=50_000, audio=False)


@pytest.fixture
async def cameras() -> AsyncIterator[list[Camera]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Camera(CameraSettings(clip=CLIP))) for _ in range(LANES)]


async def lane(api: Api, number: int, camera: Camera, races: int, seen: Counter[str]) -> None:
    """One camera, one name: opened and cancelled over and over, ever closer to the moment of its commit."""
    name, delay = f"lane-{number}", 0.2
    dice = random.Random(number)
    for _ in range(races):
        started = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": name}, "wait=0, timeout=30")
        assert started.status == 202, started.body  # no name and no address is left from the one before
        await asyncio.sleep(delay * dice.uniform(0.8, 1.2))
        answer = await api.post("/jobs/terminate", {"id": started.body["id"]}, "wait=30")
        streams = await api.post("/stream/find", {"name": name})
        record = (await api.post("/jobs/find", {"id": started.body["id"]})).body
        seen[record["state"]] += 1
        if answer.status == 200:
            assert (answer.body["state"], record["state"], streams.status) == ("CANCELLED", "CANCELLED", 404)
            delay *= 1.05
        else:
            assert (answer.body["code"], record["state"]) == ("job-already-finished", "DONE"), record
            assert [stream["jobId"] for stream in streams.body] == [record["id"]]
            assert streams.body[0]["id"] == record["result"]["id"]
            await api.post("/stream/terminate", {"name": name})
            delay *= 0.95


async def run_races(settings: Settings, cameras: list[Camera], races: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        await api.post("/watermark/startup", {"watermark": "logo.png"})  # whatever is opened once is open now
        await asyncio.gather(*(api.get("/livez") for _ in range(LANES)))
        files = open_files()
        lanes = (lane(api, number, camera, races, seen) for number, camera in enumerate(cameras))
        await asyncio.gather(*lanes)
        assert seen.total() == races * LANES
        assert list(gateway.catalog.streams()) == []
        assert (gateway.workers.alive, gateway.supervisor.live(), gateway.supervisor.broken()) == (0, [], [])
        gc.collect()
        # The client and the cameras close their ends of connections when they notice.
        await until(lambda: open_files() <= files + LANES)
        metrics = (await api.get("/metrics")).body.decode()
        assert f'gateway_jobs_accepted_total{{kind="rtsp.startup"}} {races * LANES}.0' in metrics
    return seen


async def test_cancel_vs_commit_races(settings: Settings, cameras: list[Camera]) -> None:
    seen = await run_races(settings, cameras, races=6)
    assert set(seen) <= {"DONE", "CANCELLED"}


@pytest.mark.soak
async def test_cancel_vs_commit_thousand_races(
    settings: Settings, cameras: list[Camera], capsys: pytest.CaptureFixture[str]
) -> None:
    began = asyncio.get_running_loop().time()
    seen = await run_races(settings, cameras, races=1000 // LANES)
    with capsys.disabled():
        print(f"\n1000 races in {asyncio.get_running_loop().time() - began:.0f} s: {dict(seen)}")
    assert set(seen) == {"DONE", "CANCELLED"}
