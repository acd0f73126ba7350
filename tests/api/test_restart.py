"""A restart of the gateway is a pause to those who watch: no stream ends by it, and its numbers go on."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.peers import hlsjs
from tests.peers.chromium import CHROMIUM, viewer
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A socket that listens whether a gateway is there or not."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as made:
        yield made


@asynccontextmanager
async def on_air(settings: Settings, door: socket.socket, camera: Camera | None = None) -> AsyncIterator[Any]:
    """A gateway process with the channel `film` and, if there is a camera, the stream `yard`."""
    async with gateway_process(settings, door) as (process, url):
        body = {"uri": "vod-live://short.mp4", "localStreamName": "film", "loop": True}
        assert (await call(url, "/vod/startup", body, "wait=30"))["status"] == "LIVE"
        if camera is not None:
            body = {"uri": camera.url, "localStreamName": "yard"}
            assert (await call(url, "/rtsp/startup", body, "wait=30"))["status"] == "LIVE"
        yield process, url


async def ended(process: Any, how: signal.Signals) -> None:
    process.send_signal(how)
    await asyncio.wait_for(process.wait(), 60)


async def playlist(url: str, name: str, query: str = "") -> tuple[int, str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/live/{name}/media.m3u8{query}") as answer:
        return answer.status, await answer.text(), answer.headers


def numbers(text: str) -> tuple[int, int]:
    """The media sequence number of the last whole segment, and the discontinuity sequence of the playlist."""
    first = int(re.findall(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[0])
    return first + text.count("#EXTINF") - 1, int(re.findall(r"#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)", text)[0])


async def played(page: Page) -> float:
    """Seconds that hls.js has played."""
    return float(await page.evaluate("window.played()"))


async def test_a_reload_that_is_held_at_the_shutdown_hears_of_a_restart_and_of_no_end(
    settings: Settings, door: socket.socket
) -> None:
    async with on_air(settings, door) as (process, url):
        newest = numbers((await playlist(url, "film"))[1])[0]
        held = [asyncio.create_task(playlist(url, "film", f"?_HLS_msn={newest + 2}")) for _ in range(3)]
        page = aiohttp.ClientSession()
        async with page, page.ws_connect(f"{url}/live/film/mse") as watching:
            said = [await watching.receive() for _ in range(3)]
            process.send_signal(signal.SIGTERM)
            while not (said[-1].type is aiohttp.WSMsgType.TEXT and said[-1].json()["type"] == "end"):
                said.append(await watching.receive(timeout=10))
            assert said[-1].json()["reason"] == "restarting"
            await watching.receive()
            assert watching.close_code == 1012
        await asyncio.wait_for(process.wait(), 60)
        for status, text, headers in await asyncio.gather(*held):
            assert (status, headers["Retry-After"]) == (503, "1")
            assert '"draining"' in text


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_numbers_of_a_camera_go_on_after_a_restart_behind_a_discontinuity(
    settings: Settings, door: socket.socket, camera: Camera, how: signal.Signals
) -> None:
    async with on_air(settings, door, camera) as (process, url):
        before = numbers((await playlist(url, "yard"))[1])
        await ended(process, how)
    async with gateway_process(settings, door) as (_, again):
        assert again == url
        status, text, _ = await playlist(url, "yard")  # held until there is one
        while status == 503:
            status, text, _ = await playlist(url, "yard")
        first = int(re.findall(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[0])
        assert first > before[0]
        assert numbers(text)[1] > before[1]
        assert text.index("#EXT-X-DISCONTINUITY\n") < text.index("#EXTINF")


@pytest.mark.debian
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Debian's chromium")
@pytest.mark.parametrize(
    ("how", "name"),
    [
        (signal.SIGTERM, "yard"),
        pytest.param(signal.SIGTERM, "film", marks=pytest.mark.soak),
        pytest.param(signal.SIGKILL, "yard", marks=pytest.mark.soak),
        pytest.param(signal.SIGKILL, "film", marks=pytest.mark.soak),
    ],
)
async def test_hls_js_as_it_comes_and_the_page_play_over_a_restart_of_three_seconds(
    settings: Settings, door: socket.socket, camera: Camera, how: signal.Signals, name: str
) -> None:
    async with on_air(settings, door, camera) as (process, url):
        page = viewer(f"{url}/live/{name}/")
        player = hlsjs.player(f"{url}/live/{name}/index.m3u8")
        async with page as ours, player as theirs:
            await asyncio.gather(ours.plays_on(), hlsjs.plays_steadily(theirs.page, 2))
            at = await ours.time()
            await ended(process, how)
            said = "restarting" if how is signal.SIGTERM else "cannot be reached|restarting"
            await ours.page.locator("#headline", has_text=re.compile(said)).wait_for(timeout=30_000)
            async with gateway_process(settings, door):
                on = "(from) => window.played() > from + 6"
                await theirs.page.wait_for_function(on, arg=await played(theirs.page), timeout=60_000)
                await ours.page.locator("#notice").wait_for(state="hidden", timeout=60_000)
                await ours.plays_on(2)
                assert await ours.time() > at
