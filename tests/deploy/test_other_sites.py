"""Streams on the pages of other sites, by nothing but a play token."""

from urllib.parse import quote

import pytest

from gateway.settings import Settings
from tests.api.test_access import BASE, guard
from tests.deploy.portal import portal
from tests.peers import ffmpeg, hlsjs
from tests.peers.chromium import viewer

pytestmark = [pytest.mark.media, pytest.mark.debian]

CHANNEL = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}


async def test_hls_js_on_another_site_and_ffmpeg_play_with_a_token(settings: Settings) -> None:
    async with portal() as site, guard(settings.model_copy(update={"cors_origins": (site,)})) as guarded:
        assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)).status == 200
        made = await guarded.ask("POST", f"{BASE}/stream/play_token", "play", {"name": "c", "expiresIn": 600})
        playlist = guarded.gateway.url + made.body["playback"]["hls"]
        async with viewer(f"{site}/player?src={quote(playlist, safe='')}") as browser:
            await browser.plays_on(3)
            assert await hlsjs.complaints(browser.page) == []
            levels = await browser.page.evaluate("window.levels")
            assert levels[-1][1] > 0  # with parts: the low-latency way
            assert await browser.page.context.cookies() == []
            assert browser.complaints == []
        assert len((await ffmpeg.packets(playlist, 2))["video"]) > 20
