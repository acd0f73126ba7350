"""A real gateway on a free port, real media in its folder, and a client that speaks to it."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera import sample
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read whole."""

    status: int
    headers: Any
    body: Any


class Api:
    """Calls below `/rest-api/v3`; `gateway` is what answers."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def post(self, path: str, body: Any = None, prefer: str | None = None, data: bytes | None = None) -> Answer:
        """POST with a JSON body (or raw `data`)."""
        headers = {"Prefer": prefer} if prefer is not None else {}
        content = {"data": data} if data is not None else {"json": body}
        url = f"{self.gateway.url}/rest-api/v3{path}"
        async with self.session.post(url, headers=headers, **content) as response:
            return Answer(response.status, response.headers, await response.json(content_type=None))

    async def done(self, path: str, body: Any) -> Answer:
        """As `post`, when the job is done, however long a slow machine takes for it."""
        answer = await self.post(path, body)
        if answer.status == 202:
            job = await self.ended(answer.body["id"])
            assert job["state"] == "DONE", job
            return Answer(200, answer.headers, job["result"])
        assert answer.status == 200, answer.body
        return answer

    async def ended(self, job_id: str) -> Any:
        """The record of a job, once it has come to its end."""
        url = f"{self.gateway.url}/rest-api/v3/jobs/{job_id}"
        while True:
            async with self.session.get(url, headers={"Prefer": "wait=5"}) as response:
                job = await response.json()
            if job["state"] in ("DONE", "FAILED", "CANCELLED"):
                return job

    async def get(self, path: str) -> Answer:
        """GET of any path; the body as JSON if it is JSON, else bytes."""
        async with self.session.get(self.gateway.url + path) as response:
            json_like = "json" in response.content_type
            content = await (response.json() if json_like else response.read())
            return Answer(response.status, response.headers, content)


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sample.mp4` (12 s, H.264 with B-frames, AAC), `short.mp4` (4 s) and `logo.png`, made once."""
    folder = tmp_path_factory.mktemp("sample-media")
    sample.main(str(folder))
    sample.write_video(folder / "short.mp4", seconds=4)
    return folder


@pytest.fixture
def settings(tmp_path: Path, sample_folder: Path) -> Settings:
    """A gateway's settings with folders of its own and sample media."""
    media_dir = tmp_path / "media"
    shutil.copytree(sample_folder, media_dir)
    places: dict[str, Any] = {"media_dir": media_dir, "data_dir": tmp_path / "data", "cache_dir": tmp_path / "cache"}
    return Settings(http_port=0, jobs_max_prefer_wait_time=30, **places)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings()) as camera:
        yield camera


@pytest.fixture
async def second_camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings()) as camera:
        yield camera
