"""hls.js in Chromium as a viewer: an independent HLS player, installed by npm into an ignored folder."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, Route

from tests.peers import chromium, npm
from tests.peers.chromium import Viewer

SCRIPT: Final = "hls.js/dist/hls.min.js"
PAGE: Final = """<!doctype html><video muted></video><script src="hls-player.js"></script><script>
const video = document.querySelector("video");
const hls = new Hls(%s);
window.complaints = [];
window.levels = [];
window.played = () => {
  let seconds = 0;
  for (let at = 0; at < video.played.length; at += 1) seconds += video.played.end(at) - video.played.start(at);
  return seconds;
};
window.dry = 0; // seconds played when it last ran dry
hls.on(Hls.Events.ERROR, (_, data) => {
  const when = video.played.length ? `at ${video.currentTime}` : "before the first picture";
  if (data.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) window.dry = window.played();
  else window.complaints.push(`${data.details} ${data.response?.code ?? ""} ${when}`);
});
hls.on(Hls.Events.LEVEL_UPDATED, (_, data) => {
  window.levels.push([data.details.endSN, data.details.partList?.length ?? 0, data.details.partTarget]);
});
hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
hls.loadSource("%s");
hls.attachMedia(video);
window.hls = hls;
</script>"""


async def installed() -> Path:
    """The player's script."""
    return await npm.installed(SCRIPT)


@asynccontextmanager
async def player(playlist: str, **config: Any) -> AsyncIterator[Viewer]:
    """Plays an address of a multivariant playlist; `config` is that of `new Hls`.

    The page is on the gateway's own origin, but the gateway knows nothing of it: the browser is told what it holds.
    """
    script = await installed()
    folder = playlist.rpartition("/")[0]
    page_text = PAGE % (json.dumps(config), playlist)

    async def page_of(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=page_text)

    async def script_of(route: Route) -> None:
        await route.fulfill(content_type="text/javascript", path=script)

    async with chromium.viewer("about:blank") as viewer:
        await viewer.page.route("**/hls-player.html", page_of)
        await viewer.page.route("**/hls-player.js", script_of)
        await viewer.page.goto(f"{folder}/hls-player.html")
        yield viewer


async def plays_steadily(page: Page, seconds: float, limit: float = 60.0) -> None:
    """Waits until that much has been played on end since the player last ran dry.

    It may run dry before that: it starts three parts behind the edge, and learns from it how far this machine has to
    stay away; and what it loads before the first picture counts as running dry too when that takes a quarter of a
    second. A playlist or a part that is late again and again lets it run dry again and again.
    """
    steady = "(seconds) => window.played() - window.dry >= seconds"
    await page.wait_for_function(steady, arg=seconds, timeout=limit * 1000)


async def complaints(page: Page) -> list[str]:
    """What hls.js found wrong so far, but for running dry.

    One thing is no complaint: where it wants to begin lies between two key frames as often as not, and before the first
    picture it goes on to where the next one is.
    """
    found: list[str] = await page.evaluate("window.complaints")
    return [each for each in found if each != "bufferSeekOverHole  before the first picture"]
