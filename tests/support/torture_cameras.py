"""A gateway with cameras in front of it, and what came out of them, for the tests of the camera rows."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from gateway.settings import Settings
from media.chunk import Chunk
from media.faultcamera.clip import marks
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from tests.support.api import Answer, Api, running
from tests.support.processes import until

SMALL: dict[str, Any] = {"width": 160, "height": 120, "gop": 0.4, "bitrate": 100_000}


@asynccontextmanager
async def gateway(folder: Path, **settings: Any) -> AsyncIterator[Api]:
    """A gateway of its own, below `folder`."""
    places: dict[str, Any] = {name: folder / name for name in ("media_dir", "data_dir", "cache_dir")}
    made = Settings(http_port=0, jobs_max_prefer_wait_time=30, **places, **settings)
    async with running(made) as api:
        yield api


def camera(*faults: str, clip: dict[str, Any] | None = None, **settings: Any) -> Camera:
    """A small camera that misbehaves so."""
    return Camera(CameraSettings(clip=ClipSettings(**(SMALL | (clip or {}))), faults=faults, **settings))


async def start(api: Api, url: str, name: str = "cam", prefer: str = "wait=30, timeout=30", **fields: Any) -> Answer:
    """`/rtsp/startup`."""
    return await api.post("/rtsp/startup", {"uri": url, "localStreamName": name, **fields}, prefer=prefer)


async def record(api: Api, name: str = "cam") -> dict[str, Any]:
    """The Stream of that name as it is now."""
    found: dict[str, Any] = (await api.post("/rtsp/find", {"localStreamName": name})).body[0]
    return found


async def warnings(api: Api, name: str = "cam") -> set[str]:
    """The codes of a stream's warnings."""
    return {warning["code"] for warning in (await record(api, name))["warnings"]}


async def status_becomes(api: Api, status: str, name: str = "cam", seconds: float = 30.0) -> None:
    """Waits for a status; fails the test when it does not come."""
    stream = api.gateway.catalog.holder(name)
    assert stream is not None
    await until(lambda: stream.status == status, seconds)


async def chunks(api: Api, name: str = "cam") -> list[Chunk]:
    """All that the ring holds."""
    ring = api.gateway.catalog.ring(name)
    assert ring is not None
    first = ring.segments()[0].first if ring.segments() else 0
    found = [await ring.chunk(number) for number in range(first, ring.head)]
    return [chunk for chunk in found if chunk is not None]


async def media(api: Api, seconds: float, name: str = "cam") -> None:
    """Waits until the ring holds so many seconds of media."""
    ring = api.gateway.catalog.ring(name)
    assert ring is not None
    # A segment without chunks stands for a time at which the camera was away.
    await until(lambda: sum(each.seconds for each in ring.segments() if each.count) >= seconds, seconds + 30)


@dataclass(frozen=True)
class Shown:
    """A decoded picture: when it is shown (seconds), the number in it, its width in pixels."""

    time: float
    number: int | None
    width: int


def decoded(run: list[Chunk]) -> list[Shown]:
    """The pictures of chunks below one init, in the order of showing; raises when one does not decode."""
    with _opened(run) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        return [Shown(float(frame.time or 0), _number(frame), frame.width) for frame in container.decode(video)]


def sounds(run: list[Chunk]) -> list[tuple[float, float]]:
    """When (seconds) and how loud (0 to 1) the sound of chunks below one init is, a hundred times a second or so."""
    found: list[tuple[float, float]] = []
    with _opened(run) as container:
        for frame in container.decode(audio=0):
            samples = memoryview(frame.planes[0]).cast("B").cast("f")
            rate = frame.sample_rate
            found += [
                (float(frame.time or 0) + at / rate, max(map(abs, samples[at : at + 256].tolist())))
                for at in range(0, frame.samples - 255, 256)
            ]
    return found


def _opened(run: list[Chunk]) -> InputContainer:
    return av.open(io.BytesIO(run[0].init.data + b"".join(chunk.data for chunk in run)), mode="r", format="mp4")


def _number(frame: av.VideoFrame) -> int | None:
    luma = frame.reformat(format="gray").planes[0]
    return marks.read(memoryview(luma).cast("B"), luma.line_size, frame.width, frame.height)


async def job_error(api: Api, job_id: str) -> dict[str, Any]:
    """The error of a job once it has ended."""
    for _ in range(600):
        body: dict[str, Any] = (await api.post("/jobs/find", {"id": job_id})).body
        if body["state"] not in ("PENDING", "RUNNING"):
            error: dict[str, Any] = body["error"] | {"state": body["state"]}
            return error
        await asyncio.sleep(0.05)
    raise AssertionError("the job has not ended")
