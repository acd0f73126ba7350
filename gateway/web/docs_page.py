"""The API's documentation as a page: Swagger UI from its package, offline, under a strict content security policy."""

from pathlib import Path
from typing import Final

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from gateway.jobs.failures import Failure
from gateway.web.static import kept

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


def routes() -> list[web.RouteDef]:
    """`/docs` and what it loads."""
    return [web.get("/docs", _page), web.get("/docs/{file}", _asset)]


async def _page(request: web.Request) -> web.StreamResponse:
    return kept(FOLDER / "docs.html", "text/html", POLICY).answer(request)


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in ASSETS:
        raise Failure("not-found", f"There is no {name!r} here.")
    folder, content_type = ASSETS[name]
    return kept(folder / name, content_type, POLICY).answer(request)
