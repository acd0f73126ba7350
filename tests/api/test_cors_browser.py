"""A real browser on a page of another origin reads what a caller of the API needs."""

from typing import Any

import pytest
from aiohttp import web

from gateway.app import Gateway
from gateway.settings import Settings
from tests.peers.black_hole import black_hole
from tests.peers.chromium import viewer

pytestmark = [pytest.mark.media, pytest.mark.debian]

CALL = """async ([url, body]) => {
  const answer = await fetch(url + '/rest-api/v3/rtsp/startup', {
    method: 'POST', body: JSON.stringify(body),
    headers: {'Content-Type': 'application/json', 'Prefer': 'respond-async, wait=0, timeout=2'},
  });
  const names = ['Job-Id', 'Location', 'Retry-After', 'Preference-Applied'];
  const headers = Object.fromEntries(names.map((name) => [name, answer.headers.get(name)]));
  return [answer.status, headers, await answer.json()];
}"""


async def page(_: web.Request) -> web.Response:
    icon = '<link rel="icon" href="data:,">'
    return web.Response(text=f"<!doctype html><title>A portal</title>{icon}<video></video>", content_type="text/html")


async def test_a_real_browser_reads_the_job_headers_across_origins(settings: Settings) -> None:
    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        with black_hole() as port:
            async with (
                Gateway(settings.model_copy(update={"cors_origins": (origin,)})) as gateway,
                viewer(f"{origin}/") as browser,
            ):
                body: dict[str, Any] = {"uri": f"rtsp://127.0.0.1:{port}/live", "localStreamName": "far"}
                status, headers, job = await browser.page.evaluate(CALL, [gateway.url, body])
                assert status == 202
                assert headers == {
                    "Job-Id": job["id"],
                    "Location": f"/rest-api/v3/jobs/{job['id']}",
                    "Retry-After": "1",
                    "Preference-Applied": "respond-async, wait=0, timeout=2",
                }
                assert browser.complaints == []
    finally:
        await runner.cleanup()
