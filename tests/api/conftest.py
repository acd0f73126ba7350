"""Sample media in the folder of the gateway that the fixture `api` speaks to, and cameras beside it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings
from media.faultcamera import sample
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.support.api import Api, running


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
def gateway_here(settings: Settings) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`: sample media are in its folder."""
    return running(settings)


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings()) as camera:
        yield camera


@pytest.fixture
async def second_camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings()) as camera:
        yield camera
