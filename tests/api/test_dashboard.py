"""The dashboard in a real browser against a real gateway: what an operator does in a day."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, Route

from gateway.app import Gateway
from gateway.auth.keys import KeyFile, Scope
from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.peers.black_hole import black_hole
from tests.peers.chromium import chromium
from tests.support.api import Api
from tests.support.operator import DESK, PHONE, operator

pytestmark = [pytest.mark.media, pytest.mark.debian]

LOGO = """([x, y, width]) => {
  const video = document.querySelector("rg-player video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const side = Math.round(width * canvas.width);
  const [left, top] = [Math.round(x * canvas.width), Math.round(y * canvas.height)];
  const pixels = context.getImageData(left, top, side, side).data;
  let orange = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    const [red, green, blue] = pixels.slice(at, at + 3);
    orange += red > 170 && green > 50 && green < 140 && blue < 110;
  }
  return orange / (side * side);
}"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


async def test_a_camera_is_started_seen_to_play_broken_and_seen_to_come_back(
    api: Api, camera: Camera, browser: Browser
) -> None:
    here = await operator(browser, api.gateway.url)
    await here.goes("/")
    await here.sees(".empty", "No streams yet")
    await here.page.click('.empty a[href="/start/camera"]')
    await here.page.fill("input[name=uri]", camera.url)
    await here.page.fill("input[name=name]", "gate")
    assert camera.url in await here.page.inner_text("pre")
    await here.is_patient()
    await here.page.click("button[type=submit]")
    await here.sees("rg-job-life .badge", "Done")
    await here.sees("rg-job-life .steps li", "waiting for a key frame")
    await here.page.click("text=Watch gate")
    await here.sees_it_play()
    await here.sees(".latency", "behind the newest frame")

    camera.answer("DESCRIBE", 500)
    camera.drop()
    await here.sees(".stream-title .badge", "Waiting")
    await here.sees(".message", "Next try")
    await here.sees(".message", "The camera answers 500 to DESCRIBE.")
    await here.sees(".events li", "Asking what it sends")

    camera.heal()
    await here.sees(".stream-title .badge", "Live", limit=60)  # the next try may be half a minute away
    await here.sees(".events li", "Live after")
    assert here.was_quiet()


async def test_a_file_is_sent_in_and_loops_and_its_end_can_be_undone(
    api: Api, browser: Browser, sample_folder: Path
) -> None:
    here = await operator(browser, api.gateway.url)
    await here.goes("/start/file")
    promo: FilePayload = {
        "name": "promo.mp4",
        "mimeType": "video/mp4",
        "buffer": (sample_folder / "short.mp4").read_bytes(),
    }
    await here.page.set_input_files("input[type=file]", files=promo)
    await here.sees(".files label:has(:checked)", "promo.mp4")
    assert await here.page.input_value("input[name=name]") == "promo"
    await here.is_patient()
    await here.page.click("button[type=submit]")
    await here.sees("rg-job-life .badge", "Done")
    await here.goes("/")
    await here.sees("rg-card[data-status=LIVE]", "promo")
    await here.page.wait_for_function("() => document.querySelector('rg-card img').naturalWidth > 0")

    await here.page.click("rg-card a")
    await here.sees_it_play()
    await here.page.click(".actions >> text=End")
    await here.page.click("dialog >> text=End the stream")
    await here.sees(".empty", "No streams yet")
    await here.page.click(".toast >> text=Undo")
    await here.sees("rg-card[data-status=LIVE]", "promo")
    assert here.was_quiet()


async def test_a_list_of_files_that_comes_late_does_not_unchoose_what_was_sent_in_meanwhile(
    api: Api, browser: Browser, sample_folder: Path
) -> None:
    here = await operator(browser, api.gateway.url)
    sent_in, lists = asyncio.Event(), 0

    async def hold(route: Route) -> None:
        nonlocal lists
        lists += 1
        if lists > 1:
            await route.continue_()
            return
        before = await route.fetch()
        await sent_in.wait()
        await route.fulfill(response=before)

    await here.page.route("**/media/find_all", hold)
    await here.goes("/start/file")
    content = (sample_folder / "short.mp4").read_bytes()
    promo: FilePayload = {"name": "promo.mp4", "mimeType": "video/mp4", "buffer": content}
    await here.page.set_input_files("input[type=file]", files=promo)
    await here.sees(".files label:has(:checked)", "promo.mp4")
    async with here.page.expect_response("**/media/find_all") as late:
        sent_in.set()
    await (await late.value).finished()
    await here.page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert await here.page.input_value("input[name=name]") == "promo"
    await here.sees(".files label:has(:checked)", "promo.mp4")
    assert here.was_quiet()


async def test_a_watermark_is_dragged_to_its_place_and_is_there_in_the_pixels(api: Api, browser: Browser) -> None:
    body = {"uri": "vod-live://sample.mp4", "localStreamName": "lobby", "loop": True}
    assert (await api.post("/vod/startup", body)).status == 200
    here = await operator(browser, api.gateway.url)
    await here.goes("/streams/lobby")
    await here.page.click(".actions >> text=Watermark")
    await here.page.wait_for_function("() => document.querySelector('.placer .frame').naturalWidth > 0")
    await here.sees(".placer .handle")
    frame = await here.page.locator(".placer .frame").bounding_box()
    handle = await here.page.locator(".placer .handle").bounding_box()
    assert frame is not None
    assert handle is not None
    await here.page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    await here.page.mouse.down()
    target = (frame["x"] + frame["width"] * 0.3, frame["y"] + frame["height"] * 0.5)
    await here.page.mouse.move(*target, steps=5)
    await here.page.mouse.up()
    await here.page.keyboard.press("ArrowRight")  # as fine as one likes
    await here.is_patient()
    await here.page.click("button[type=submit]")
    await here.sees("rg-job-life .badge", "Done")
    mark = (await api.post("/stream/find", {"name": "lobby-marked"})).body[0]["watermark"]
    assert mark["x"] + mark["width"] / 2 == pytest.approx(0.31, abs=0.02)

    await here.page.click("text=Watch lobby-marked")
    await here.sees_it_play()
    inside = await here.page.evaluate(LOGO, [mark["x"], mark["y"], mark["width"]])
    beside = await here.page.evaluate(LOGO, [0.6, mark["y"], mark["width"]])
    assert inside > 0.3
    assert beside < 0.15  # the film alone has up to 0.07 there, when its ball passes
    assert here.was_quiet()


async def test_a_job_that_is_stuck_is_cancelled_while_its_request_is_still_held(api: Api, browser: Browser) -> None:
    here = await operator(browser, api.gateway.url)
    with black_hole() as port:
        await here.goes("/start/camera")
        await here.page.fill("input[name=uri]", f"rtsp://127.0.0.1:{port}/live")
        await here.page.fill("input[name=name]", "far")
        await here.is_patient()
        await here.page.click("button[type=submit]")
        await here.sees("rg-job-life .steps li[data-now]", "connecting")
        await here.page.click("rg-job-life >> text=Cancel")
        await here.sees("rg-job-life .badge", "Cancelled")
        await here.sees("rg-job-life", "Answered 409")
    await here.page.click("nav >> text=Jobs")
    await here.sees(".jobs-table .line", "Cancelled")
    await here.page.click(".jobs-table .line a")
    await here.sees("rg-job pre", '"job-cancelled"')
    # Chromium says of every answer over 399 that it "failed to load"; this one was asked for.
    assert [said for said in here.complaints if "409" not in said] == []
    assert here.strangers == []


async def test_a_key_that_may_only_read_sees_no_controls_and_no_pictures(
    settings: Settings, browser: Browser, camera: Camera
) -> None:
    _, text = KeyFile(settings.keys_file).make("wall", (Scope.READ,))
    _, control = KeyFile(settings.keys_file).make("desk", (Scope.CONTROL,))
    async with Gateway(settings) as gateway:
        here = await operator(browser, gateway.url)
        await here.goes("/start/camera")
        await here.sees("h1", "Sign in")
        await here.page.fill("input[name=key]", control)
        await here.page.keyboard.press("Enter")
        await here.page.fill("input[name=uri]", camera.url)
        await here.page.fill("input[name=name]", "gate")
        await here.is_patient()
        await here.page.click("button[type=submit]")
        await here.sees("rg-job-life .badge", "Done")
        await here.page.click("nav >> text=Access")
        await here.page.click("text=Sign out")
        await here.page.fill("input[name=key]", text)
        await here.page.keyboard.press("Enter")
        await here.sees("main", "Signed in with the key wall")
        await here.page.reload()
        await here.page.click("nav >> text=Streams")
        await here.sees("rg-card[data-status=LIVE]", "gate")
        assert not await here.page.locator("nav >> text=Start").is_visible()
        await here.page.click("rg-card a")
        await here.sees(".screen", "This key may not see pictures")
        assert await here.page.locator(".actions button, .actions a").count() == 0
        cookies = await here.page.context.cookies()
        assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
        assert here.was_quiet()


FEW = ("/", "/?view=table", "/streams/gate", "/start/watermark", "/jobs/{job}")
MORE = ("/streams/nobody", "/start/camera", "/start/file", "/jobs", "/access")


@pytest.mark.parametrize(("scheme", "pages"), [("light", (*FEW, *MORE)), ("dark", FEW)])
async def test_axe_finds_no_barrier_and_nothing_is_wider_than_the_screen(
    api: Api, camera: Camera, browser: Browser, scheme: str, pages: tuple[str, ...]
) -> None:
    body = {"uri": camera.url, "localStreamName": "gate"}
    assert (await api.post("/rtsp/startup", body)).status == 200
    refused = {"uri": "rtsp://127.0.0.1:9/none", "localStreamName": "none"}
    job = (await api.post("/rtsp/startup", refused)).body["job"]["id"]
    size = DESK if scheme == "light" else PHONE
    here = await operator(browser, api.gateway.url, **size, color_scheme=scheme, reduced_motion="reduce")
    found = {}
    for path in pages:
        await here.goes(path.format(job=job))
        await here.page.wait_for_function("() => !document.querySelector('.wall[aria-hidden]:not([hidden])')")
        found[path] = await here.barriers()
        wide = await here.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["viewport"]["width"], path
    assert {path: barriers for path, barriers in found.items() if barriers} == {}
    assert here.was_quiet()


async def test_the_wall_is_walked_by_keyboard_and_filtered_by_words(api: Api, browser: Browser) -> None:
    for name in ("north", "south"):
        body = {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True}
        assert (await api.post("/vod/startup", body)).status == 200
    here = await operator(browser, api.gateway.url)
    await here.goes("/")
    await here.sees("rg-card", "south")
    await here.page.focus("input[type=search]")
    await here.page.keyboard.type("sou")
    await here.page.wait_for_function("() => document.querySelectorAll('rg-card').length === 1")
    await here.page.reload()
    await here.sees("rg-card", "south")
    assert await here.page.locator("rg-card").count() == 1
    await here.page.focus("rg-card a")
    await here.page.keyboard.press("Enter")
    await here.sees("h1", "south")
    await here.page.go_back()
    await here.sees("rg-card", "south")
    await asyncio.gather(*(api.post("/stream/terminate", {"name": name}) for name in ("north", "south")))
    await here.sees(".empty", "No streams yet")
    assert here.was_quiet()
