"""Latency from glass to glass, as a table: `python -m benchmarks.latency`. Needs Debian's chromium, and npm for hls.js.

A sample camera burns the frame number into each picture; Chromium plays the camera's stream in three ways, and the
number is read back from the video. Then, while somebody watches, others open the player page one after the other: from
the moment that the loaded page opens its socket until the browser has put the first picture on the screen.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.clip import clip
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.peers import chromium, hlsjs
from tests.peers.chromium import Viewer
from tests.peers.glass import Glass, latencies, middle

ROUND: Final = 24  # seconds of the camera's clip: numbers begin again after it
SETTLE: Final = 8.0  # seconds that a player gets to find its place
READINGS: Final = 30
VISITS: Final = 10
# Before the page's own scripts, so that no picture comes too early for it.
NOTE: Final = """addEventListener("DOMContentLoaded", () => {
  const video = document.querySelector("video");
  video?.requestVideoFrameCallback((now) => { window.pictureAt = now; });
});"""
SHOWN: Final = "() => window.pictureAt"
OPENED: Final = "performance.getEntriesByName('socket')[0].startTime"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-first", action="store_true", help="only the first pictures")
    given = parser.parse_args()
    clip.MIN_SECONDS = ROUND  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = Settings(http_port=0, media_dir=root / "media", data_dir=root / "data", cache_dir=root / "cache")
        async with Camera(CameraSettings()) as camera, Gateway(settings) as gateway, ClientSession() as session:
            body = {"uri": camera.url, "localStreamName": "camera"}
            async with session.post(f"{gateway.url}/rest-api/v3/rtsp/startup", json=body) as response:
                response.raise_for_status()
            base = f"{gateway.url}/live/camera/"
            if given.only_first:
                await measure_first(base)
            else:
                await measure(camera, base)


async def measure(camera: Camera, base: str) -> None:
    """Prints the table."""
    ways: dict[str, tuple[float, AbstractAsyncContextManager[Viewer]]] = {
        "MSE over WebSocket (the player page)": (0.8, chromium.viewer(base)),
        "WebRTC (the player page)": (0.8, chromium.viewer(f"{base}?via=webrtc")),
        "low-latency HLS (hls.js as it comes)": (2.0, hlsjs.player(f"{base}index.m3u8", lowLatencyMode=True)),
        "low-latency HLS (hls.js, 1.5x to catch up)": (
            2.0,
            hlsjs.player(f"{base}index.m3u8", lowLatencyMode=True, maxLiveSyncPlaybackRate=1.5),
        ),
        "plain HLS (hls.js)": (8.0, hlsjs.player(f"{base}index.m3u8", lowLatencyMode=False)),
    }
    print(f"{'way':42} {'median':>8} {'worst':>8} {'aim':>6}   seconds, {READINGS} readings")
    for name, (aim, way) in ways.items():
        async with way as viewer:
            await viewer.plays_on(SETTLE, limit=40)
            found = await latencies(Glass(camera, ROUND), viewer.page, READINGS)
            print(f"{name:42} {middle(found):8.2f} {found[-1]:8.2f} {aim:6.1f}", flush=True)
    await measure_first(base)


@asynccontextmanager
async def watching(base: str) -> AsyncIterator[None]:
    """Somebody who takes the stream and shows it to nobody, which would cost processor time."""

    async def take() -> None:
        async with ClientSession() as session, session.ws_connect(f"{base}mse", max_msg_size=0) as socket:
            async for _ in socket:
                pass

    task = asyncio.create_task(take())
    yield
    task.cancel()
    await asyncio.wait({task})


async def measure_first(base: str) -> None:
    """Prints how soon one more viewer has a picture."""
    async with watching(base), chromium.viewer("about:blank") as viewer:
        await viewer.page.context.add_init_script(NOTE)
        found = []
        for _ in range(1 + VISITS):
            await viewer.page.goto(base, wait_until="commit")
            shown = await (await viewer.page.wait_for_function(SHOWN)).json_value()
            found.append((shown - await viewer.page.evaluate(OPENED)) / 1000)
            await viewer.page.goto("about:blank")
        cold, others = found[0], sorted(found[1:])
        print(f"{'first picture, in a browser just started':42} {cold:8.2f}")
        print(
            f"{'first picture, as one more viewer':42} {middle(others):8.2f} {others[-1]:8.2f} {0.3:6.1f}", flush=True
        )


if __name__ == "__main__":
    asyncio.run(main())
