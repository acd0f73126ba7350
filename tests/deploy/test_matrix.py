"""A browser behind each proxy of the guide, on a host of its own and below a path: every way of using the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from playwright.async_api import BrowserContext, Frame, Page

from gateway.settings import Settings
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.api.test_access import BASE, Guarded, guard
from tests.deploy.fronts import FRONTS, Front, Served, served
from tests.deploy.portal import portal
from tests.peers.chromium import chromium
from tests.peers.proxies import HOST

pytestmark = [pytest.mark.media, pytest.mark.debian]

CHANNEL: Final = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}
LIMIT: Final = 40_000  # ms
MOVES: Final = "(v) => v.videoWidth > 0 && v.currentTime > 1"


@dataclass(frozen=True)
class Visit:
    """A browser that finds the front by its name, the portal of another site, and what opens the stream."""

    context: BrowserContext
    front: Served
    site: str
    key: str
    token: str
    cameras: str  # the token of the camera's stream

    async def page(self, url: str) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(LIMIT)
        await page.goto(url)
        return page

    async def stream(self, more: str) -> Page:
        return await self.page(f"{self.front.url}/live/c/?token={self.token}&{more}")


async def moves(page: Page | Frame) -> None:
    await page.wait_for_function(f"() => {{ const v = document.querySelector('video'); return v && ({MOVES})(v); }}")


async def dashboard(visit: Visit) -> None:
    page = await visit.page(f"{visit.front.url}/")
    await page.get_by_label("API key").fill(visit.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("Signed in as admin").first.wait_for()
    await page.get_by_role("link", name="c", exact=True).first.click()
    await page.wait_for_function("() => document.querySelector('rg-player video')?.currentTime > 1")
    assert page.url == f"{visit.front.url}/streams/c"
    await page.reload()
    await page.wait_for_function("() => document.querySelector('rg-player video')?.currentTime > 1")
    await page.goto(f"{visit.front.url}/docs")
    await page.get_by_text("makePlayToken").or_(page.get_by_text("/rest-api/v3/stream/play_token")).first.wait_for()


async def mse(visit: Visit) -> None:
    page = await visit.stream("via=mse")
    await moves(page)
    assert await page.inner_text("#transport") == "MSE over WebSocket"


async def webrtc(visit: Visit) -> None:
    """Of a camera, whose pictures come in the order in which they are shown."""
    page = await visit.page(f"{visit.front.url}/live/cam/?token={visit.cameras}&via=webrtc")
    await moves(page)
    assert await page.inner_text("#transport") == "WebRTC"


async def hls_native(visit: Visit) -> None:
    """By the browser's own player where it has one; what such a player does is done by hand in any case."""
    page = await visit.stream("via=hls")
    if await page.evaluate("document.createElement('video').canPlayType('application/vnd.apple.mpegurl')"):
        await moves(page)
    script = """async (token) => {
        const text = async (url) => (await fetch(url)).text();
        const media = (await text(`index.m3u8?token=${token}`)).match(/^media.*$/m)[0];
        const list = await text(media);
        const pieces = [list.match(/MAP:URI="([^"]+)"/)[1], ...list.match(/^segment.*$/gm)];
        return Promise.all(pieces.map(async (each) => (await fetch(each)).status)); }"""
    statuses = await page.evaluate(script, visit.token)
    assert len(statuses) > 1
    assert set(statuses) == {200}


async def hls_js(visit: Visit) -> None:
    playlist = quote(f"{visit.front.url}/live/c/index.m3u8?token={visit.token}", safe="")
    page = await visit.page(f"{visit.site}/player?src={playlist}")
    await moves(page)
    assert (await page.evaluate("window.levels"))[-1][1] > 0  # parts


async def element(visit: Visit, tag: str, way: str, shown: str) -> None:
    page = await visit.stream("via=mse")
    make = """([tag, src]) => { window.made = document.createElement(tag); made.muted = true; made.src = src;
        document.body.append(made); made.play?.(); }"""
    await page.evaluate(make, [tag, f"{visit.front.url}/live/c.{way}?token={visit.token}"])
    await page.wait_for_function(f"() => ({shown})(window.made)")


async def mp4(visit: Visit) -> None:
    await element(visit, "video", "mp4", MOVES)


async def mjpeg(visit: Visit) -> None:
    await element(visit, "img", "mjpeg", "(i) => i.naturalWidth > 0")


async def events(visit: Visit) -> None:
    """By the session that the dashboard has begun."""
    page = await visit.page(f"{visit.front.url}/access")
    script = """(url) => new Promise((resolve, reject) => {
        const source = new EventSource(url);
        source.addEventListener("figures", (event) => { source.close(); resolve(event.data); });
        setTimeout(() => reject(new Error("no event")), 20000); })"""
    told = await page.evaluate(script, f"{visit.front.url}{BASE}/events?figures=true")
    assert json.loads(told)["streams"]


async def upload(visit: Visit) -> None:
    """50 MB, most of them padding; by the session that the dashboard has begun."""
    page = await visit.page(f"{visit.front.url}/access")
    script = """async (base) => {
        const film = await (await fetch(`${base}/short.mp4`)).arrayBuffer();
        const size = 50_000_000 - film.byteLength, free = new DataView(new ArrayBuffer(8));
        free.setUint32(0, size); free.setUint32(4, 0x66726565);
        const body = new Blob([film, free.buffer, new Uint8Array(size - 8)]);
        return (await fetch(`${base}/large.mp4`, { method: "PUT", body })).status; }"""
    assert await page.evaluate(script, f"{visit.front.url}{BASE}/media") in (200, 201)


async def frame(visit: Visit) -> None:
    address = quote(f"{visit.front.url}/live/c/?embed=1&token={visit.token}", safe="")
    page = await visit.page(f"{visit.site}/frame?src={address}")
    found = await page.wait_for_selector("iframe")
    inner = await found.content_frame() if found is not None else None
    assert inner is not None
    await moves(inner)


WAYS: Final[tuple[Callable[[Visit], Awaitable[None]], ...]] = (
    *(dashboard, mse, hls_native, hls_js, webrtc, mp4, mjpeg, events, upload, frame),
)


async def walk(visit: Visit) -> dict[str, str]:
    """What came of each way, in words."""
    found = {}
    for way in WAYS:
        try:
            async with asyncio.timeout(90):
                await way(visit)
            found[way.__name__] = "works"
        except Exception as error:  # told in the table, whatever it is
            found[way.__name__] = f"{type(error).__name__}: {error}"
        for page in visit.context.pages:
            await page.close()
    return found


@asynccontextmanager
async def visiting(settings: Settings, front: Front, folder: Path) -> AsyncIterator[Visit]:
    async with (
        portal() as site,
        Camera(CameraSettings()) as camera,
        guard(settings.model_copy(update={"cors_origins": (site,)})) as guarded,
    ):
        assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)).status == 200
        body = {"uri": camera.url, "localStreamName": "cam"}
        assert (await guarded.ask("POST", f"{BASE}/rtsp/startup", "control", body)).status == 200
        tokens = [await _token(guarded, name) for name in ("c", "cam")]
        async with served(front, guarded, folder) as reached:
            rules = f"--host-resolver-rules=MAP {HOST} {reached.address}"
            async with chromium(rules, "--autoplay-policy=no-user-gesture-required") as browser:
                context = await browser.new_context(ignore_https_errors=True)
                yield Visit(context, reached, site, guarded.texts["admin"], *tokens)


async def _token(guarded: Guarded, name: str) -> str:
    made: Any = await guarded.ask("POST", f"{BASE}/stream/play_token", "play", {"name": name, "expiresIn": 3600})
    return str(made.body["token"])


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=[] if file == "nginx-path.conf" else [pytest.mark.soak]) for file in FRONTS],
)
@pytest.mark.timeout(600)
async def test_everything_works_in_a_browser_behind_the_guides_proxy(
    settings: Settings, tmp_path: Path, file: str
) -> None:
    async with visiting(settings, FRONTS[file], tmp_path) as visit:
        found = await walk(visit)
        print(f"\n{file}: " + "; ".join(f"{way} {said}" for way, said in found.items()))
        assert {way: said for way, said in found.items() if said != "works"} == {}
