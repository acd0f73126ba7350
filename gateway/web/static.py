"""The static pages and their assets, from the package, under a strict content security policy."""

from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.jobs.failures import Failure

FOLDER: Final = Path(__file__).parent / "pages"
ASSETS: Final = {
    "base.css": "text/css",
    "logo.svg": "image/svg+xml",
    "player.css": "text/css",
    "playback.js": "text/javascript",
    "player.js": "text/javascript",
    "whep.js": "text/javascript",
}
# Scripts, styles and pictures come from files only; the player hands its MediaSource to <video> as a blob.
POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self' ws: wss:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[web.RouteDef]:
    """`/assets/{file}`."""
    return [web.get("/assets/{file}", _asset), web.get("/favicon.ico", _favicon)]


def page(name: str, status: int = 200) -> web.FileResponse:
    """One of the HTML pages of watching. Anybody may frame them (`?embed=1`)."""
    headers = {
        **HEADERS,
        "Content-Security-Policy": f"{POLICY}; frame-ancestors *",
        "Content-Type": "text/html; charset=utf-8",
    }
    return web.FileResponse(FOLDER / name, status=status, headers=headers)


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in ASSETS:
        raise Failure("not-found", f"There is no asset {name!r}.")
    return _file(name)


async def _favicon(_: web.Request) -> web.StreamResponse:
    return _file("logo.svg")


def _file(name: str) -> web.FileResponse:
    # The type is ours and not the machine's guess: mimetypes reads files of the operating system.
    return web.FileResponse(FOLDER / name, headers={**HEADERS, "Content-Type": f"{ASSETS[name]}; charset=utf-8"})
