"""Latency from glass to glass, as a table: `python -m benchmarks.latency`. Needs Debian's chromium, and npm for hls.js.

A sample camera burns the frame number into each picture; Chromium plays the camera's stream in three ways, and the
number is read back from the video. Then a second viewer comes, and the time to its first picture is measured.
"""

import asyncio
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from gateway.app import Gateway
from gateway.settings import Settings
from media.camera import clip
from media.camera.server import Camera
from media.camera.settings import CameraSettings
from tests.peers import chromium, hlsjs
from tests.peers.chromium import Viewer
from tests.peers.glass import Glass, latencies, middle

ROUND: Final = 24  # seconds of the camera's clip: numbers begin again after it
SETTLE: Final = 8.0  # seconds that a player gets to find its place
READINGS: Final = 30
FIRST: Final = """new Promise((done) => {
  const video = document.querySelector("video");
  video.requestVideoFrameCallback((now) => done([now, performance.getEntriesByName("socket")[0].startTime]));
})"""


async def main() -> None:
    clip.MIN_SECONDS = ROUND  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = Settings(http_port=0, media_dir=root / "media", data_dir=root / "data", cache_dir=root / "cache")
        async with Camera(CameraSettings()) as camera, Gateway(settings) as gateway, ClientSession() as session:
            body = {"uri": camera.url, "localStreamName": "camera"}
            async with session.post(f"{gateway.url}/rest-api/v3/rtsp/startup", json=body) as response:
                response.raise_for_status()
            await measure(camera, f"{gateway.url}/live/camera/")


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
    async with chromium.viewer("about:blank") as viewer:
        for turn in ("first", "second"):
            await viewer.page.goto(base, wait_until="commit")
            shown, opened = await viewer.page.evaluate(FIRST)
            print(f"{f'first picture, {turn} visit, from the page':42} {shown / 1000:8.2f}")
            print(f"{f'first picture, {turn} visit, from the socket':42} {(shown - opened) / 1000:8.2f}", flush=True)
            await viewer.page.goto("about:blank")


if __name__ == "__main__":
    asyncio.run(main())
