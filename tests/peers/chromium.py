"""Debian's Chromium, headless, as a viewer."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

CHROMIUM: Final = "/usr/bin/chromium"
# Without these it looks for its vendor's hosts at every start.
QUIET: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")


@dataclass
class Viewer:
    """A page that plays, and what it complained about: warnings and errors of the console, uncaught exceptions."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    async def time(self) -> float:
        """The video's `currentTime`, in seconds."""
        value = await self.page.evaluate("document.querySelector('video').currentTime")
        return float(value)

    async def plays_on(self, seconds: float = 2.0, limit: float = 30.0) -> None:
        """Waits until `currentTime` has advanced by `seconds` from a point where a picture was shown."""
        shown = "() => { const v = document.querySelector('video'); return v.videoWidth > 0 && v.currentTime > 0; }"
        await self.page.wait_for_function(shown, timeout=limit * 1000)
        advanced = "(from) => document.querySelector('video').currentTime >= from"
        await self.page.wait_for_function(advanced, arg=await self.time() + seconds, timeout=limit * 1000)


@asynccontextmanager
async def chromium(*more: str) -> AsyncIterator[Browser]:
    """A browser of its own; `more` are arguments of its command."""
    # It makes a socket below TMPDIR, whose path has to fit into 108 bytes.
    environment: dict[str, str | float | bool] = {**os.environ, "TMPDIR": "/tmp"}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*QUIET, *more], env=environment, timeout=90_000
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def viewer(url: str) -> AsyncIterator[Viewer]:
    """Opens an address in a browser of its own."""
    async with chromium() as browser:
        page = await browser.new_page()
        page.set_default_timeout(60_000)
        made = Viewer(page)
        page.on(
            "console",
            lambda message: made.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        await page.goto(url)
        yield made
