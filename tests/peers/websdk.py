"""The vendor's own client of WCS and its console page, as npm has them, in Chromium and on a site of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page

from tests.peers import chromium, npm

PACKAGE: Final = "@flashphoner/websdk"
CLIENT: Final = "flashphoner-rest-api.js"
EMPTY: Final = "empty.html"
CONSOLE: Final = "examples/demo/streaming/console/console.html"
CALL: Final = """async ([url, object, method, args]) => {
  try {
    const value = await FlashphonerRestApi.instance(url, url)[object][method](...args);
    return ["resolved", value === undefined ? null : value];
  } catch (error) {
    return [error instanceof Error ? String(error) : "rejected", null];
  }
}"""


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """A site with all files of the package, and an empty page that has the client; its origin."""
    root = (await npm.installed(f"{PACKAGE}/{CLIENT}")).parent

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text=f'<!doctype html><script src="/{CLIENT}"></script>', content_type="text/html")

    app = web.Application()
    app.router.add_get(f"/{EMPTY}", empty)
    app.router.add_static("/", root)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def page(url: str) -> AsyncIterator[Page]:
    """A page of that site."""
    async with chromium.chromium() as browser:
        made = await browser.new_page(viewport={"width": 1500, "height": 900})
        made.set_default_timeout(30_000)
        await made.goto(url)
        yield made


async def call(page: Page, url: str, name: str, *args: Any) -> tuple[str, Any]:
    """Calls such as `stream.find`: whether the client resolved its promise or rejected it, and the value."""
    how, value = await page.evaluate(CALL, [url, *name.split("."), args])
    return str(how), value
