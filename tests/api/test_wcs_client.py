"""The vendor's own client and console page for WCS, unchanged, beside a gateway."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.peers import websdk
from tests.support.api import Api

pytestmark = [pytest.mark.media, pytest.mark.debian]

OK, REJECTED = "resolved", "rejected"


@pytest.fixture
async def site() -> AsyncIterator[str]:
    async with websdk.site() as origin:
        yield origin


@pytest.fixture
async def open_api(settings: Settings, site: str) -> AsyncIterator[Api]:
    """A gateway that lets pages of the vendor's site call, as WCS lets all pages."""
    opened = settings.model_copy(update={"cors_origins": (site,)})
    async with Gateway(opened) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)


async def test_each_call_of_the_vendors_client_gives_what_it_expects(open_api: Api, camera: Camera, site: str) -> None:
    url = open_api.gateway.url
    await open_api.done("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "test", "loop": True})
    test = next(open_api.gateway.catalog.streams()).identity.id
    # The call, its arguments, how it ends, and of its value the type or the number of what is found.
    table: list[tuple[str, tuple[Any, ...], str, Any]] = [
        ("rtsp.findAll", (), REJECTED, None),
        ("rtsp.pull", (camera.url,), OK, None),
        ("rtsp.pull", (camera.url,), REJECTED, None),
        ("rtsp.find", (camera.url,), OK, 1),
        ("rtsp.find", (None, "PLAYING"), OK, 1),
        ("rtsp.find", (None, "FAILED"), REJECTED, None),
        ("rtsp.findAll", (), OK, 1),
        ("stream.findAll", (), OK, 2),
        ("stream.find", ("no-such-id",), REJECTED, None),
        ("stream.find", (test,), OK, 1),
        ("stream.find", (None, "test", True), OK, 1),
        ("stream.find", (None, None, False), REJECTED, None),
        ("stream.find", (None, None, None, True), OK, 2),
        ("stat.poll", (), OK, dict),
        ("pull.findAll", (), OK, 1),
        ("rtsp.terminate", (camera.url, "PLAYING"), OK, None),
        ("rtsp.terminate", (camera.url,), REJECTED, None),
        ("pull.pull", (camera.url, "yard", "there"), OK, None),
        ("pull.terminate", ("yard",), OK, None),
        ("pull.terminate", ("yard",), REJECTED, None),
        ("pull.push", ("ws://192.0.2.1:8080", "a", "b"), REJECTED, None),
        ("push.push", ("test", "rtmp://192.0.2.1/live"), REJECTED, None),
        ("push.find", ("test",), REJECTED, None),
        ("push.findAll", (), REJECTED, None),
        *((f"push.{method}", (test,), REJECTED, None) for method in ("terminate", "mute", "unmute", "soundOn")),
        ("push.soundOff", (test,), "ReferenceError: soundFile is not defined", None),  # the client's own
        ("stream.terminate", (test,), OK, None),
        ("stream.terminate", (test,), REJECTED, None),
        ("stream.findAll", (), REJECTED, None),
    ]
    async with websdk.page(f"{site}/{websdk.EMPTY}") as page:
        statuses = Counter[int]()
        page.on("response", lambda answer: statuses.update([answer.status] if url in answer.url else []))
        for name, args, how, what in table:
            ended, value = await websdk.call(page, url, name, *args)
            counted = len(value) if isinstance(value, list) else type(value) if isinstance(value, dict) else value
            assert (ended, counted) == (how, what), (name, args, value)
            if name == "stat.poll":
                assert set(value) == {"connection", "stream", "system", "core"}
                assert value["stream"]["streams_rtsp_in"] == "1"
    assert set(statuses) == {200, 404, 409}


async def test_the_vendors_console_shows_and_steers_a_gateway(
    open_api: Api, camera: Camera, site: str, tmp_path: Path
) -> None:
    url = open_api.gateway.url
    await open_api.done("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "channel", "loop": True})
    await open_api.done("/rtsp/startup", {"uri": camera.url, "localStreamName": "yard"})
    console = websdk.page(f"{site}/{websdk.CONSOLE}")
    async with console as page, open_api.session.ws_connect(f"{url}/live/yard/mse") as viewer:
        alerts: list[str] = []
        page.on("dialog", lambda dialog: alerts.append(dialog.message))
        await page.fill("#nodeIp", url.removeprefix("http://"))
        await page.click("#addNodeFormSubmit")
        await page.click("#nodes .list-group-item-success")  # it is alive
        await shows(page, {("yard", "RTSP", "IN"), ("channel", "VOD", "IN"), ("yard", "MSE", "OUT")})
        general = await page.locator("#generalInfoTable td").all_inner_texts()
        cpu, *figures, sockets, coming, going = general
        assert (cpu, sockets, coming, going) == ("undefined", "1", "1", "0")  # going: not by WebSocket, to WCS
        assert all(int(figure) > 0 for figure in figures)
        await page.screenshot(path=tmp_path / "streams.png")
        metrics = await measured(page)
        await page.screenshot(path=tmp_path / "metrics.png")
        assert {row[1] for row in metrics} == {"yard", "channel"}
        assert len(metrics) == 3
        assert all(float(figure) >= 0 for row in metrics for figure in row[3:])
        await page.click("#streamMetricsDetailsModal .modal-footer [data-dismiss=modal]")
        await terminate(page, "MSE")
        async for _ in viewer:
            pass  # to its end
        await shows(page, {("yard", "RTSP", "IN"), ("channel", "VOD", "IN")})
        await terminate(page, "VOD")
        await terminate(page, "RTSP")
        await shows(page, set())
        await page.click("#pullRtspStreamModalBtn")
        await page.fill("#pullRtspUrl", camera.url)
        await page.click("#pullRtspStream")
        await page.wait_for_selector("#streamsTableBody tr")
        assert [row[2] for row in await rows(page)] == ["RTSP"]
        assert alerts == []


async def rows(page: Page) -> list[list[str]]:
    """The console's list of streams: id, name, technology, status, direction, codecs."""
    found: list[list[str]] = await page.evaluate(
        "[...document.querySelectorAll('#streamsTableBody tr')].map(r => [...r.children].map(c => c.innerText))"
    )
    return found


async def shows(page: Page, wanted: set[tuple[str, str, str]]) -> None:
    """Waits until the console lists these: name, technology, direction."""
    told = sorted(list(each) for each in wanted)
    script = """(told) => {
      const rows = [...document.querySelectorAll('#streamsTableBody tr')].map(r => [...r.children]);
      const seen = rows.map(r => [1, 2, 4].map(at => r[at].innerText)).sort();
      return JSON.stringify(seen) === JSON.stringify(told);
    }"""
    await page.wait_for_function(script, arg=told)


async def terminate(page: Page, technology: str) -> None:
    """Presses the button beside that stream. The list is made anew every two seconds, so in one go."""
    script = """(technology) => {
      const rows = [...document.querySelectorAll('#streamsTableBody tr')];
      const row = rows.find(r => r.children[2].innerText === technology);
      row?.querySelector('.btn-danger').click();
      return row !== undefined;
    }"""
    await page.wait_for_function(script, arg=technology)


async def measured(page: Page) -> list[list[str]]:
    """The console's table of metrics, of all streams; a file's B-frames are let through."""
    await page.click("#metricsModalBtn")
    await page.select_option("#videoBFramesThresholdFilter", "goe")
    await page.click("#streamMonitoring")
    while True:
        await page.wait_for_selector("#metricsTable tbody td", state="visible")
        found: list[list[str]] = await page.evaluate(
            "[...document.querySelectorAll('#metricsTable tbody tr')].map(r => [...r.children].map(c => c.innerText))"
        )
        if len(found) > 1:  # before there are streams, a row says that there are none
            return found
        await page.click("#refreshMetricsBtn")
