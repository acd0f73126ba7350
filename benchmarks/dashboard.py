"""Measures the dashboard with 500 streams and 10,000 jobs in Debian's Chromium: `python -m benchmarks.dashboard`.

A scripted face stands in front of the page: it serves the gateway's own pages and answers the few calls that they make,
so that what is measured is the page. First render: from the navigation to the first stream (or job) in its place. An
update: the script of one frame in which figures of all streams and some changes of status and of jobs have come.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from playwright.async_api import Browser, CDPSession, TimeoutError

from gateway.jobs.job import time_of_day
from gateway.web import dashboard_page, static
from media.stream import playback
from tests.peers.chromium import chromium

API: Final = "/rest-api/v3"
START: Final = 1_760_000_000.0
NEW: Final = 500  # the newest jobs, of which some go on
MOST_PAGES: Final = 30  # of jobs, to be scrolled through
BOUNDS: Final = {"first render": 1000.0, "update": 16.0, "update, CPU": 16.0}  # ms


@dataclass
class Load:
    """How much there is, and how long it is looked at (seconds)."""

    streams: int
    jobs: int
    seconds: float


class Face:
    """Streams and jobs that were made up, in the form of the gateway's records."""

    def __init__(self, load: Load) -> None:
        self.dice = random.Random(7)
        self.streams = [self._stream(number) for number in range(load.streams)]
        self.jobs = [self._job(number) for number in range(load.jobs)]
        self.revision = load.jobs

    def routes(self) -> list[web.RouteDef]:
        """What the pages ask for."""
        return [
            *static.routes(),
            *dashboard_page.routes(),
            web.get(f"{API}/session", self._session),
            web.get(f"{API}/stream/find_all", self._streams),
            web.get(f"{API}/jobs/find_all", self._jobs),
            web.post(f"{API}/jobs/find", self._older),
            web.get(f"{API}/events", self._events),
            web.get("/live/{name}.jpg", self._nothing),
        ]

    async def _session(self, _: web.Request) -> web.Response:
        return web.json_response({"keysNeeded": False, "name": None, "scopes": ["read", "play", "control", "admin"]})

    async def _streams(self, _: web.Request) -> web.Response:
        return web.json_response(self.streams)

    async def _jobs(self, request: web.Request) -> web.Response:
        return web.json_response(self.jobs[: int(request.query.get("limit", "100"))])

    async def _older(self, request: web.Request) -> web.Response:
        asked = await request.json()
        older = [job for job in self.jobs if job["createdAt"] <= asked["until"]]
        return web.json_response(older[: asked["limit"]])

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await asyncio.sleep(0.5)
            for event, record in self._news():
                await response.write(f"event: {event}\ndata: {json.dumps(record)}\n\n".encode())

    def _news(self) -> list[tuple[str, dict[str, Any]]]:
        """What half a second brings: figures of all, five streams that change, ten jobs that go on."""
        for stream in self.streams:
            stream |= {"bitrate": self.dice.randrange(400_000, 8_000_000), "viewers": self.dice.randrange(9)}
        keys = ("id", "viewers", "bitrate", "lastFrameAge")
        figures = {"streams": [{key: stream[key] for key in keys} for stream in self.streams]}
        changed = self.dice.sample(self.streams, min(5, len(self.streams)))
        for stream in changed:
            stream["status"] = self.dice.choice(["LIVE", "LIVE", "WAITING"])
        jobs = []
        for job in self.dice.sample(self.jobs[:NEW], min(10, len(self.jobs))):
            self.revision += 1
            job["revision"] = self.revision
            jobs.append(job)
        return [("figures", figures), *(("stream", stream) for stream in changed), *(("job", job) for job in jobs)]

    def _stream(self, number: int) -> dict[str, Any]:
        name, waiting = f"camera-{number:03}", number % 25 == 0
        error = {"code": "source-refused", "detail": "192.0.2.7 port 554 refuses connections", "at": time_of_day(START)}
        return {
            "id": f"{number:032x}", "name": name, "localStreamName": name, "kind": "rtsp",
            "uri": f"rtsp://192.0.2.7/{number}", "hasCredentials": False, "status": "WAITING" if waiting else "LIVE",
            "createdAt": time_of_day(START + number), "liveSince": None if waiting else time_of_day(START),
            "viewers": 0,
            "bitrate": None, "lastFrameAge": 0.2, "restarts": number % 4, "lastError": error if waiting else None,
            "nextRetryAt": time_of_day(START + 10**9) if waiting else None, "warnings": [], "playback": playback(name),
            "video": {"codec": "h264", "width": 1920, "height": 1080, "fps": 25.0, "mode": "copy"}, "attempts": [],
            "jobId": None,
        }  # fmt: skip

    def _job(self, number: int) -> dict[str, Any]:
        failed = number % 7 == 0
        error = {"code": "source-timeout", "title": "No answer", "detail": "The camera does not answer.", "status": 504}
        stages = [("queued", 3), ("starting", 12), ("connecting", 40), ("describing", 80), ("waiting-keyframe", 600)]
        return {
            "id": f"{number:032x}", "kind": "rtsp.startup", "state": "FAILED" if failed else "DONE",
            "cancelRequested": False, "stage": "live", "queuePosition": None, "wait": 5, "timeout": 60,
            "stages": [{"stage": stage, "ms": ms} for stage, ms in stages], "elapsedMs": 735,
            "createdAt": time_of_day(START - number), "finishedAt": time_of_day(START - number + 1),
            "request": {"path": f"{API}/rtsp/startup", "body": {"localStreamName": f"camera-{number}"}},
            "result": None, "error": error if failed else None, "httpStatus": 504 if failed else 200,
            "revision": number + 1, "links": {},
        }  # fmt: skip


@asynccontextmanager
async def serving(face: Face) -> AsyncIterator[str]:
    """The face on a free port of loopback; gives its address."""
    app = web.Application()
    app.add_routes(face.routes())
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def look(browser: Browser, url: str, first: str, load: Load) -> dict[str, list[float]]:
    """Opens a page and looks at it; ms of the first render, and of each update."""
    page = await (await browser.new_context(viewport={"width": 1440, "height": 900})).new_page()
    watch = f"""new MutationObserver((_, observer) => {{
      if (!document.querySelector({json.dumps(first)})) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => performance.mark("there"))); // painted
    }}).observe(document, {{ childList: true, subtree: true }});"""
    await page.add_init_script(watch)
    await page.goto(url)
    await page.wait_for_function("() => performance.getEntriesByName('there').length", timeout=30_000)
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    began = await _script(cdp)
    render = await page.evaluate("performance.getEntriesByName('there')[0].startTime")
    await page.wait_for_timeout(load.seconds * 1000)
    updates = await page.evaluate("performance.getEntriesByName('update').map(({ duration }) => duration)")
    cpu = 1000 * (await _script(cdp) - began) / max(1, len(updates) - 1)
    await page.context.close()
    # The first update is the render itself.
    return {"first render": [render], "update": updates[1:], "update, CPU": [cpu]}


async def _script(cdp: CDPSession) -> float:
    """Seconds of CPU that the page's scripts have used so far; on a busy machine less than what the clock says."""
    metrics = (await cdp.send("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "ScriptDuration"))


async def scrolled(browser: Browser, url: str) -> int:
    """How many jobs the list has once it was scrolled to its end, page after page."""
    page = await (await browser.new_context(viewport={"width": 1440, "height": 900})).new_page()
    await page.goto(f"{url}/jobs")
    await page.wait_for_selector(".jobs-table .line")
    count = 0
    for _ in range(MOST_PAGES):
        before = count
        await page.evaluate("scrollTo(0, document.body.scrollHeight)")
        with contextlib.suppress(TimeoutError):
            longer = "(before) => document.querySelector('.jobs-table').ariaRowCount - 1 > before"
            await page.wait_for_function(longer, arg=before, timeout=5_000)
        count = int((await page.get_attribute(".jobs-table", "aria-rowcount")) or "1") - 1
        if count == before:
            break
    rows = await page.locator(".jobs-table .line").count()
    assert rows < 200, f"{rows} rows are in the document"
    await page.context.close()
    return count


async def measure(load: Load) -> bool:
    """Prints the table; whether all is within its bound."""
    good = True
    pages = {
        "wall": ("/", "rg-card h3"),
        "table": ("/?view=table", ".streams-table .line"),
        "jobs": ("/jobs", ".jobs-table .line"),
    }
    print(f"{load.streams} streams, {load.jobs} jobs, {load.seconds:g} s each")
    print(f"{'page':8}{'what':16}{'median ms':>12}{'p95 ms':>12}{'worst ms':>12}{'bound ms':>12}")
    async with serving(Face(load)) as url, chromium() as browser:
        for name, (path, first) in pages.items():
            found = await look(browser, url + path, first, load)
            for what, values in found.items():
                values.sort()
                p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
                good = good and p95 < BOUNDS[what]
                middle = statistics.median(values)
                print(f"{name:8}{what:16}{middle:12.1f}{p95:12.1f}{values[-1]:12.1f}{BOUNDS[what]:12.0f}")
        print(f"jobs reached by scrolling: {await scrolled(browser, url)}")
    return good


def main() -> int:
    """Returns 1 when something is over its bound."""
    parser = argparse.ArgumentParser(description="Measures the dashboard in a browser.")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each page is looked at")
    asked = parser.parse_args()
    return 0 if asyncio.run(measure(Load(asked.streams, asked.jobs, asked.seconds))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
