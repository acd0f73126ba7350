"""Readers made of FFmpeg over each change of init: by the numbers in the pictures none is lost, and each has its size.

They skip every init but the first (findings/hls-second-init-is-skipped.sh). PyAV reads in every run, ffmpeg and OpenCV
in the soak. OpenCV is larger than all else that the tests need, so it gets an environment of its own there.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

import pytest

from media.faultcamera import sample
from media.faultcamera.clip.clip import make_tracks
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings, Codec
from tests.conftest import SOAK
from tests.peers import reader
from tests.support.api import Api

pytestmark = [pytest.mark.media, pytest.mark.debian]

JOINS = 10 if SOAK else 3
LARGE, SMALL = (640, 360), (320, 180)
LIMIT = 60.0  # seconds; a stream that gives no more pictures says nothing
OPENCV = "opencv-python-headless==5.0.0.93"
LIBRARIES = [
    pytest.param(name, marks=[pytest.mark.soak] if SOAK or name != "av" else []) for name in ("av", "ffmpeg", "cv2")
]


class Seen(NamedTuple):
    """A picture as a reader has it; `number` None: its marks cannot be read."""

    width: int
    height: int
    number: int | None

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


Enough = Callable[[list[Seen]], bool]
Until = Callable[[Enough], Awaitable[list[Seen]]]


@pytest.fixture(scope="session")
def opencv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment that has OpenCV."""
    folder = tmp_path_factory.mktemp("opencv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", OPENCV], check=True)
    return python


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A Python, and the library in it that reads."""
    name: str = request.param
    return (request.getfixturevalue("opencv") if name == "cv2" else sys.executable), name


@asynccontextmanager
async def reading(library: tuple[str, str], api: Api) -> AsyncIterator[Until]:
    """A reader of the stream `c`; what it gives reads on until there is enough, and has all that was read so far."""
    python, by = library
    sizes = [f"{width}x{height}" for width, height in (LARGE, SMALL)]
    command = [python, reader.__file__, by, f"{api.gateway.url}/live/c/index.m3u8", *sizes]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    seen: list[Seen] = []

    async def until(enough: Enough) -> list[Seen]:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT):
            while not enough(seen):
                line = (await process.stdout.readline()).decode().split()
                assert line, "the reader has ended"
                seen.append(Seen(int(line[0]), int(line[1]), None if line[2] == "-" else int(line[2])))
        return seen

    try:
        yield until
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
        await process.communicate()


def changes(seen: list[Seen]) -> int:
    """How often the size has changed."""
    return sum(a.size != b.size for a, b in pairwise(seen))


def none_is_lost(seen: list[Seen], ends: set[int]) -> None:
    """Each number follows the one before, or is 0 behind one of the `ends`."""
    numbers = [one.number for one in seen]
    assert None not in numbers
    for before, after in pairwise(numbers):
        assert before is not None
        assert after == before + 1 or (after == 0 and before in ends), (before, after)


async def test_a_list_of_two_sizes_and_clocks_is_read_right_over_its_joins(api: Api, library: tuple[str, str]) -> None:
    root = api.gateway.settings.media_dir
    second = ClipSettings(*SMALL, fps=Fraction(30000, 1001), b_frames=2)
    sample.write_video(root / "large.mp4", seconds=1)
    sample.write_video(root / "small.mp4", seconds=1, settings=second)
    both = ["vod-live://large.mp4", "vod-live://small.mp4"]
    await api.done("/vod/startup", {"uri": both, "localStreamName": "c", "loop": True})
    async with reading(library, api) as until:
        seen = await until(lambda seen: changes(seen) > JOINS)
    none_is_lost(seen, {24, 29})
    for one, after in pairwise(seen):
        assert (one.size != after.size) is (after.number == 0), (one, after)
    assert {one.size for one in seen} == {LARGE, SMALL}


@pytest.mark.parametrize("codec", ["h264", pytest.param("h265", marks=pytest.mark.soak)])
async def test_a_camera_that_changes_its_size_is_read_right(api: Api, library: tuple[str, str], codec: Codec) -> None:
    wanted = ClipSettings(codec=codec)
    clip_end = len(make_tracks(wanted)[0].units) - 1
    async with Camera(CameraSettings(clip=wanted)) as camera:
        await api.done("/rtsp/startup", {"uri": camera.url, "localStreamName": "c"})
        async with reading(library, api) as until:
            await until(bool)
            camera.change_size()
            await until(lambda seen: changes(seen) == 1)
            camera.change_size()
            seen = await until(lambda seen: changes(seen) == 2 and len(seen) > 100)
    none_is_lost(seen, {clip_end})
    assert [size for size, _ in groupby(one.size for one in seen)] == [LARGE, SMALL, LARGE]


async def test_a_watermark_that_is_put_on_and_taken_off_loses_no_reader(api: Api, library: tuple[str, str]) -> None:
    root = api.gateway.settings.media_dir
    sample.write_video(root / "large.mp4", seconds=1)
    sample.write_logo(root / "logo.png")
    await api.done("/vod/startup", {"uri": "vod-live://large.mp4", "localStreamName": "c", "loop": True})
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    async with reading(library, api) as until:
        await until(lambda seen: len(seen) >= 25)
        inits = {segment.init.id for segment in ring.segments()}
        for mark in ({"file": "logo.png"}, None):
            await api.done("/vod/set_watermark", {"localStreamName": "c", "watermark": mark})
            far = len(await until(bool)) + 150
            seen = await until(lambda seen, far=far: len(seen) >= far)  # type: ignore[misc]
            inits |= {segment.init.id for segment in ring.segments()}
    assert len(inits) == 2
    none_is_lost(seen, {24})
    assert {one.size for one in seen} == {LARGE}
