"""Somebody at the dashboard: a real browser that notes what the console says and whom it asks for anything."""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page

SERIOUS: Final = ("serious", "critical")
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}


@dataclass
class Operator:
    """A page of the dashboard. `complaints`: what the console and exceptions said; `strangers`: other hosts asked."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    async def goes(self, path: str) -> None:
        """Opens an address of the dashboard, and waits for its heading."""
        await self.page.goto(self.url + path)
        await self.page.wait_for_selector("main h1")

    async def sees(self, selector: str, text: str | None = None, limit: float = 30.0) -> None:
        """Waits for an element, with that text in it if one is given."""
        found = self.page.locator(selector, has_text=text) if text is not None else self.page.locator(selector)
        await found.first.wait_for(state="visible", timeout=limit * 1000)

    async def sees_it_play(self, limit: float = 30.0) -> None:
        """Waits until the picture of a stream's page has moved on by a second."""
        moving = (
            "() => { const v = document.querySelector('rg-player video'); return v?.videoWidth > 0 && v.currentTime; }"
        )
        at = await (await self.page.wait_for_function(moving, timeout=limit * 1000)).json_value()
        on = "(at) => document.querySelector('rg-player video').currentTime > at + 1"
        await self.page.wait_for_function(on, arg=at, timeout=limit * 1000)

    async def is_patient(self) -> None:
        """Has a form's request held for half a minute and its job tried for a whole one: so slow a machine may be."""
        wait = self.page.get_by_label("Wait for the answer")
        await wait.evaluate("(slider) => { slider.max = 30; }")  # the gateway of the tests allows it
        await wait.fill("30")
        await self.page.get_by_label("Try for at most").fill("60")

    async def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out: rule and place."""
        found = await Axe().run(self.page, options={"resultTypes": ["violations"], "iframes": False})
        return [
            f"{each['id']}: {node['target']}: {node['failureSummary']}"
            for each in found.response["violations"]
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]

    def was_quiet(self) -> bool:
        """Whether the console had nothing to say, and no other host was asked; fails with what there was."""
        assert self.complaints == []
        assert self.strangers == []
        return True


async def operator(browser: Browser, url: str, **context: Any) -> Operator:
    """A new page of that browser, with cookies and storage of its own."""
    page = await (await browser.new_context(**(context or DESK))).new_page()
    page.set_default_timeout(60_000)
    made = Operator(page, url)
    page.on(
        "console",
        lambda said: made.complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on("request", lambda asked: _note(made, asked.url))
    return made


def _note(made: Operator, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(made.url).netloc:
        made.strangers.append(url)
