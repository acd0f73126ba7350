"""The dashboard: one page under several addresses, and the modules and styles that it loads."""

from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.jobs.failures import Failure
from gateway.web.static import POLICY, kept, root_of

FOLDER: Final = Path(__file__).parent / "dashboard"
TYPES: Final = {".css": "text/css", ".js": "text/javascript"}
ASSETS: Final = {path.name: TYPES[path.suffix] for path in FOLDER.iterdir() if path.suffix in TYPES}
# What is shown under which address is the page's own affair; the gateway's is that a reload finds it.
PAGES: Final[tuple[str, ...]] = (
    "/",
    "/streams/{name}",
    "/start",
    "/start/{name}",
    "/jobs",
    "/jobs/{id}",
    "/access",
    "/api",
)
ASSET: Final = "/assets/dashboard/{file}"


def routes() -> list[web.RouteDef]:
    """The pages, and `/assets/dashboard/{file}`."""
    return [*(web.get(path, _page) for path in PAGES), web.get(ASSET, _asset)]


async def _page(request: web.Request) -> web.StreamResponse:
    page = kept(FOLDER / "index.html", "text/html", f"{POLICY}; frame-ancestors 'none'", root_of(request))
    return page.answer(request)


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in ASSETS:
        raise Failure("not-found", f"The dashboard has no {name!r}.")
    return kept(FOLDER / name, ASSETS[name]).answer(request)
