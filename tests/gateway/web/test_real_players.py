"""Real players watch a real picture: Chromium the player page, FFmpeg the HLS playlist."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, Page

from media.ring import RingLimits
from tests.peers import gst
from tests.peers.chromium import CHROMIUM, chromium
from tests.support.broadcast import broadcast, recording
from tests.support.hls_checker import PlaylistChecker
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

LIMIT = 40_000  # ms: what comes within a second comes much later where others want the processor too

pytestmark = [
    pytest.mark.media,
    pytest.mark.debian,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists() or not shutil.which("ffmpeg"), reason="needs Debian's chromium and ffmpeg"
    ),
]


@dataclass
class Air:
    """A server with one stream that is on the air for as long as the test lasts."""

    streams: FakeStreams
    server: Server
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, name: str, width: int = 640) -> None:
        """Puts a new broadcast under that name on the air, in the place of an older one."""
        ring = self.streams.add(name, RingLimits())
        what = recording(width=width, height=width * 9 // 16)
        self.tasks.append(asyncio.create_task(broadcast(ring, what, ahead=6), name=f"broadcast {name}"))


@pytest.fixture
async def air() -> AsyncIterator[Air]:
    streams = FakeStreams()
    app = an_app(streams)
    made = Air(streams, Server(app))
    await made.server.start_server()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    streams.rings.clear()  # viewers that are still there leave
    await made.server.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


async def opened(browser: Browser, air: Air, path: str) -> tuple[Page, list[str]]:
    """The page, and what it complained about so far (console warnings and errors, uncaught exceptions)."""
    page = await browser.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(str(air.server.make_url(path)), timeout=LIMIT)
    return page, complaints


async def plays(page: Page, width: int = 640) -> None:
    """Waits until a picture of that width moves on by a second and a half."""
    moving = "(width) => { const v = document.querySelector('video'); return v.videoWidth === width && !v.paused; }"
    await page.wait_for_function(moving, arg=width, timeout=LIMIT)
    at = await page.evaluate("document.querySelector('video').currentTime")
    ahead = "(at) => document.querySelector('video').currentTime > at + 1.5"
    await page.wait_for_function(ahead, arg=at, timeout=LIMIT)


NEAR_THE_EDGE = """() => {
  const { buffered, currentTime } = document.querySelector("video");
  const lag = buffered.end(buffered.length - 1) - currentTime;
  return lag >= 0 && lag < 3;
}"""


async def test_chromium_plays_the_page_at_the_live_edge_without_a_complaint(air: Air, browser: Browser) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    await plays(page)
    # A look may fall into a moment in which a busy machine has not decoded the next picture yet.
    await page.wait_for_selector("#badge:text-is('Live')", timeout=LIMIT)
    assert await page.inner_text("#codec") == "avc1.42c01e, mp4a.40.2"
    await page.wait_for_function(NEAR_THE_EDGE, timeout=LIMIT)
    assert air.streams.watching == {"yard": 1}
    await page.keyboard.press("m")
    assert await page.evaluate("document.querySelector('video').muted") is False
    assert complaints == []


async def test_the_page_plays_on_when_the_stream_is_replaced_by_one_of_another_size(air: Air, browser: Browser) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    await plays(page)
    air.begin("yard", width=320)
    await plays(page, width=320)
    assert complaints == []


LET_GO_EARLY = """async (address) => {
  const { Playback } = await import("/assets/playback.js");
  const video = document.createElement("video");
  const playback = new Playback(video, address);
  await new Promise((resolve) => {
    window.MediaSource = class extends MediaSource {
      constructor() {
        super();
        this.addEventListener("sourceopen", () => { // comes before the player's own
          playback.stop();
          video.removeAttribute("src");
          video.load();
          setTimeout(resolve);
        }, { once: true });
      }
    };
    playback.start();
  });
}"""


async def test_a_player_that_is_taken_away_while_it_opens_has_nothing_to_complain_of(
    air: Air, browser: Browser
) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    await plays(page)
    await page.evaluate(LET_GO_EARLY, str(air.server.make_url("/live/yard/mse")).replace("http", "ws"))
    assert complaints == []


LET_GO_AT_ONCE = """async (address) => {
  const { Playback } = await import("/assets/playback.js");
  const playback = new Playback(document.createElement("video"), address);
  playback.start();
  playback.stop();
}"""


async def test_a_player_that_is_taken_away_while_it_connects_has_nothing_to_complain_of_and_leaves(
    air: Air, browser: Browser
) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    await plays(page)
    await page.evaluate(LET_GO_AT_ONCE, str(air.server.make_url("/live/yard/mse")).replace("http", "ws"))
    await until(lambda: air.streams.came == {"yard": 2}, 40)  # it comes, and is not there to stay
    await page.click("#play")  # the page's own viewer leaves
    await until(lambda: air.streams.watching == {"yard": 0}, 40)
    assert complaints == []


SLOW_DECODER = """async (address) => {
  const { Playback } = await import("/assets/playback.js");
  const video = document.createElement("video");
  const state = { ready: 1, jumps: 0 };
  Object.defineProperty(video, "readyState", { get: () => state.ready });
  Object.defineProperty(video, "currentTime", { get: () => 0.2, set: () => { state.jumps += 1; } });
  video.muted = true;
  const playback = new Playback(video, address);
  playback.start();
  const comes = async (condition) => { while (!condition()) await new Promise((next) => setTimeout(next, 20)); };
  await comes(() => !video.paused && playback.latency() > 2.5); // a second and more over what it would jump at
  await new Promise((next) => setTimeout(next, 600)); // two looks of its own
  const early = state.jumps;
  state.ready = 4;
  await comes(() => state.jumps > early);
  playback.stop();
  return early;
}"""


async def test_nothing_is_jumped_over_before_the_first_picture_is_there(air: Air, browser: Browser) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    address = str(air.server.make_url("/live/yard/mse")).replace("http", "ws")
    assert await page.evaluate(SLOW_DECODER, address) == 0
    assert complaints == []


PLACED = """async (address) => {
  const { Playback } = await import("/assets/playback.js");
  const playback = new Playback(document.createElement("video"), address);
  const said = await new Promise((resolve) => {
    playback.addEventListener("tracks", ({ detail }) => resolve(detail), { once: true });
    playback.start();
  });
  while (!playback.end()) await new Promise((next) => setTimeout(next, 10));
  const placed = playback.buffer.timestampOffset + said.time;
  playback.stop();
  return placed;
}"""


async def test_the_first_picture_is_placed_where_no_rounding_puts_it_before_the_beginning(
    air: Air, browser: Browser
) -> None:
    air.begin("yard")
    page, _ = await opened(browser, air, "/live/yard/")
    placed = await page.evaluate(PLACED, str(air.server.make_url("/live/yard/mse")).replace("http", "ws"))
    assert 0.0005 < placed < 0.005  # a key frame at -1 us is dropped, and all pictures up to the next one with it


async def test_pausing_fetches_nothing_and_playing_returns_to_the_live_edge(air: Air, browser: Browser) -> None:
    air.begin("yard")
    page, complaints = await opened(browser, air, "/live/yard/")
    await plays(page)
    await page.click("#play")
    assert await page.inner_text("#badge") == "Paused"
    await until(lambda: air.streams.watching == {"yard": 0}, 40)
    await page.click("#play")
    await plays(page)
    assert complaints == []


async def test_ffmpeg_reads_every_frame_of_the_hls_playlist_without_a_warning(air: Air) -> None:
    air.begin("yard")
    address = str(air.server.make_url("/live/yard/index.m3u8"))
    seconds = 6
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-nostdin", "-v", "warning", "-i", address, "-t", str(seconds), "-map", "0:v", "-map", "0:a"),
        *("-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-f", "framecrc", "-"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 80)
    # FFmpeg 5.1 reads the init again after each reload of a live playlist, and says so; nothing else is allowed.
    remarks = [
        line for line in errors.decode().splitlines() if "duplicated MOOV" not in line and "repeated" not in line
    ]
    assert remarks == []
    frames = [line.split(",") for line in out.decode().splitlines() if line.startswith("0,")]
    times = [int(frame[2]) for frame in frames]
    # The muxer of the recording stretches the first frame over the audio's priming; all others are 40 ms apart.
    assert len(times) in range(seconds * 25 - 1, seconds * 25 + 2)
    assert {later - earlier for earlier, later in pairwise(times[1:])} == {3_600}


async def test_gstreamer_decodes_every_frame_of_the_hls_playlist_without_an_error(air: Air) -> None:
    air.begin("yard")
    times, errors = await gst.hls_frames(str(air.server.make_url("/live/yard/index.m3u8")), 75)
    assert "ERROR" not in errors
    assert len(times) == 75
    assert {round(later - earlier, 3) for earlier, later in pairwise(times[1:])} == {0.04}


async def test_the_playlist_of_a_real_broadcast_passes_the_checker_to_its_end(air: Air) -> None:
    air.begin("yard")
    checker, address = PlaylistChecker(), air.server.make_url("/live/yard/media.m3u8")
    async with ClientSession() as session:
        for _ in range(8):
            async with session.get(address) as response:
                playlist = checker.load(await response.text())
            await asyncio.sleep(0.5)
        for entry in playlist.entries:
            async with session.get(address.join(type(address)(entry.uri))) as response:
                assert (await response.read())[4:8] == b"moof"
    assert len(checker.seen) >= 2
    assert {float(entry.seconds) for entry in checker.seen.values()} == {2.0}
