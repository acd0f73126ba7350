"""What goes wrong because of a proxy is said in words, on the page where it goes wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

from gateway.settings import Settings
from tests.api.test_access import BASE, Guarded, guard
from tests.api.test_proxies import OTHERS
from tests.peers.chromium import chromium
from tests.peers.proxies import HOST, Place, guided_nginx, nginx

pytestmark = [pytest.mark.media, pytest.mark.debian]

CHANNEL: Final = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}
TLS, PLAIN = 8443, 8090


@asynccontextmanager
async def page_at(url: str, address: str) -> AsyncIterator[Page]:
    async with chromium(f"--host-resolver-rules=MAP {HOST} {address}") as browser:
        page = await (await browser.new_context(ignore_https_errors=True)).new_page()
        page.set_default_timeout(40_000)
        await page.goto(url)
        yield page


async def test_an_upload_that_the_proxy_refuses_is_told_as_its_refusal_with_what_to_raise(
    settings: Settings, tmp_path: Path
) -> None:
    async with guard(settings) as guarded:
        place, gateway = Place.new(tmp_path / "nginx"), guarded.gateway.url.removeprefix("http://")
        async with (
            guided_nginx(place, gateway, TLS, more={"client_max_body_size 4g": "client_max_body_size 1m"}),
            page_at(f"https://{HOST}:{TLS}/", place.address) as page,
        ):
            script = """async () => {
                const { upload } = await import("/assets/dashboard/api.js");
                const file = new File([new Uint8Array(3_000_000)], "a.mp4");
                return upload("a.mp4", file, () => {}).then(() => "taken", (error) => error.message); }"""
            said = await page.evaluate(script)
            assert "proxy" in said
            assert "client_max_body_size" in said


def common(place: Place, gateway: str) -> str:
    """The commonest block there is: it passes on the host without its port."""
    return f"""server {{
        listen {place.address}:{PLAIN};
        location / {{
            proxy_pass http://{gateway};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}"""


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_page_behind_a_proxy_that_leaves_out_the_port_plays_or_says_what_is_wrong(
    settings: Settings, tmp_path: Path, trusted: bool
) -> None:
    """Without TLS a browser does not say by itself whose page it is."""
    settings = settings.model_copy(update={"trusted_proxies": None if trusted else OTHERS})
    async with guard(settings) as guarded:
        token = await _on_the_air(guarded)
        place, gateway = Place.new(tmp_path / "nginx"), guarded.gateway.url.removeprefix("http://")
        async with (
            nginx(place, common(place, gateway), PLAIN),
            page_at(f"http://{HOST}:{PLAIN}/live/c/?via=mse&token={token}", place.address) as page,
        ):
            if trusted:
                await page.wait_for_function("() => document.querySelector('video').currentTime > 1")
                return
            await page.get_by_text("The gateway refuses this page").wait_for()
            said = await page.inner_text("#detail")
            assert f"http://{HOST}:{PLAIN}, and what it asks for came here as {HOST}." in said
            assert "proxy_set_header Host $http_host" in said
            await page.goto(f"http://{HOST}:{PLAIN}/")
            await page.get_by_label("API key").fill(guarded.texts["read"])
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_text("proxy_set_header Host $http_host").wait_for()


async def _on_the_air(guarded: Guarded) -> Any:
    assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)).status == 200
    return (await guarded.ask("POST", f"{BASE}/stream/play_token", "play", {"name": "c"})).body["token"]
