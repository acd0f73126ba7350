"""The API's documentation as a page: Swagger UI from its package, offline, under a strict content security policy."""

from pathlib import Path
from typing import Final

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from gateway.jobs.failures import Failure

FOLDER: Final = Path(__file__).parent / "pages"
PACKAGE: Final = Path(swagger_ui_path)
# All that is served, and nothing else of the package: it also holds source maps and an OAuth page.
ASSETS: Final = {
    "swagger-ui-bundle.js": (PACKAGE, "text/javascript"),
    "swagger-ui.css": (PACKAGE, "text/css"),
    "docs.js": (FOLDER, "text/javascript"),
    "docs.css": (FOLDER, "text/css"),
}
# Swagger UI sets styles from scripts, which needs no permission, and has its icons as data.
POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[web.RouteDef]:
    """`/docs` and what it loads."""
    return [web.get("/docs", _page), web.get("/docs/{file}", _asset)]


async def _page(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(FOLDER / "docs.html", headers={**HEADERS, "Content-Type": "text/html; charset=utf-8"})


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in ASSETS:
        raise Failure("not-found", f"There is no {name!r} here.")
    folder, content_type = ASSETS[name]
    return web.FileResponse(folder / name, headers={**HEADERS, "Content-Type": f"{content_type}; charset=utf-8"})
