"""A watermark from REST to the pixels of players that we did not write: ffmpeg by HLS, Chromium by its canvas."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.api.test_main_job import check_video
from tests.peers import ffmpeg
from tests.peers.chromium import Viewer, viewer
from tests.support import torture_pictures
from tests.support.api import Api
from tests.support.pictures import Pixel, png
from tests.support.torture_pictures import GREY, change, put, start

pytestmark = [pytest.mark.media, pytest.mark.debian]

RED: Pixel = (255, 0, 0, 255)
FADED = (192, 64, 64)  # half red on grey
# What the page shows of its video at these places, as [red, green, blue] each.
READ = """(places) => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(video, 0, 0);
  return places.map(([x, y]) => Array.from(context.getImageData(x, y, 1, 1).data.slice(0, 3)));
}"""


def logo() -> bytes:
    """80x40: the left half opaque red, the right half half red; a border of 8 px that is not there."""
    flat: list[Pixel] = [
        (0, 0, 0, 0) if x < 8 or x >= 72 or y < 8 or y >= 32 else (255, 0, 0, 255 if x < 40 else 128)
        for y in range(40)
        for x in range(80)
    ]
    return png(flat, 80)


# In the frame, with the picture at (100, 50): inside each half, in its see-through border, and far away.
PLACES = {(124, 70): RED[:3], (156, 70): FADED, (103, 53): GREY[:3], (176, 86): GREY[:3], (400, 300): GREY[:3]}


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[Api]:
    """A gateway with what these tests need on it."""
    async with torture_pictures.gateway(folder) as api:
        put(api, "logo.png", logo())
        answer = await start(api, {"file": "logo.png", "x": 100, "y": 50})
        assert answer.status == 200, answer.body
        yield api


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return prepared(tmp_path)


async def test_ffmpeg_sees_the_watermark_by_hls_and_every_frame(api: Api, tmp_path: Path) -> None:
    url = f"{api.gateway.url}/live/marked/index.m3u8"
    found = await ffmpeg.packets(url, 5)
    check_video(found["video"], 4.0)
    out = tmp_path / "frame.rgb"
    one = ("-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", str(out))
    status, _, said = await ffmpeg.run("ffmpeg", "-nostdin", "-v", "error", "-i", url, *one)
    assert status == 0, said
    data = await asyncio.to_thread(out.read_bytes)
    for (x, y), colour in PLACES.items():
        at = 3 * (y * torture_pictures.WIDTH + x)
        assert close(data[at : at + 3], colour), ((x, y), tuple(data[at : at + 3]), colour)


async def test_chromium_shows_the_watermark_and_plays_on_while_it_is_changed(api: Api, tmp_path: Path) -> None:
    async with viewer(f"{api.gateway.url}/live/marked/") as watching:
        await watching.plays_on(1.5)
        for (place, colour), seen in zip(PLACES.items(), await read(watching), strict=True):
            assert close(seen, colour), (place, seen, colour)
        await watching.page.screenshot(path=tmp_path / "watermarked.png")
        assert (await change(api, watermark=None)).status == 200
        async with asyncio.timeout(60):  # until it has played what it had
            while not all(close(seen, GREY) for seen in await read(watching)):
                await watching.plays_on(0.5)
        await watching.plays_on(1.5)
        for seen in await read(watching):
            assert close(seen, GREY)
        assert watching.complaints == []


async def test_chromium_shows_a_burnt_in_watermark_over_the_joins_and_its_successor(api: Api) -> None:
    mark = {"file": "logo.png", "x": 100, "y": 50}
    body = {"uri": "vod-live://grey.mp4", "localStreamName": "burnt", "loop": True, "watermark": mark}
    assert (await api.post("/vod/startup", body, prefer="wait=30, timeout=30")).status == 200
    async with viewer(f"{api.gateway.url}/live/burnt/") as watching:
        await watching.plays_on(2.5)  # a round is two seconds
        for (place, colour), seen in zip(PLACES.items(), await read(watching), strict=True):
            assert close(seen, colour), (place, seen, colour)
        moved = await api.post(
            "/vod/set_watermark", {"localStreamName": "burnt", "x": 300}, prefer="wait=30, timeout=30"
        )
        assert moved.status == 200, moved.body
        async with asyncio.timeout(60):
            while not close((await read(watching))[0], GREY):
                await watching.plays_on(0.5)
        assert watching.complaints == []


async def read(watching: Viewer) -> list[list[int]]:
    """What the page shows at PLACES."""
    found: list[list[int]] = await watching.page.evaluate(READ, [list(place) for place in PLACES])
    return found


def close(seen: bytes | list[int], colour: tuple[int, ...]) -> bool:
    """But for two conversions of colour and an encoder."""
    return all(abs(a - b) <= 8 for a, b in zip(seen, colour, strict=False))
