"""The static pages and their assets, from memory, under a strict content security policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web.transport.sending import Pieces

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

PIECE: Final = 64 * 1024  # bytes of a file that wait for its client at the most
GRACE: Final = 15.0  # seconds that a client has for a file, and its bytes at RATE beside
RATE: Final = 16 * 1024  # bytes a second


@dataclass(frozen=True, slots=True)
class KeptAsset:
    """A file of the package as it goes out. It was read once: no answer opens it, and all share its bytes."""

    pieces: tuple[bytes, ...]
    content_type: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, path: Path, content_type: str, headers: Mapping[str, str], root: str) -> Self:
        """Reads a file. Its type is from our own table, since `mimetypes` reads files of the operating system."""
        data = path.read_bytes()
        if content_type == "text/html":
            data = data.replace(b'="/', f'="{root}'.encode())
        pieces = tuple(data[at : at + PIECE] for at in range(0, len(data), PIECE))
        return cls(pieces, content_type, {**headers, hdrs.ETAG: f'"{sha256(data).hexdigest()[:16]}"'})

    def answer(self, request: web.Request, status: int = 200) -> web.Response:
        """The whole file, or 304 for a client that has it already."""
        if status == 200 and self.headers[hdrs.ETAG] in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=self.headers)
        seconds = GRACE + sum(map(len, self.pieces)) / RATE
        headers = {**self.headers, hdrs.CONTENT_TYPE: f"{self.content_type}; charset=utf-8"}
        return web.Response(body=Pieces(request, self.pieces, seconds), status=status, headers=headers)


@cache
def kept(path: Path, content_type: str, policy: str = POLICY, root: str = "./") -> KeptAsset:
    """A file of the package, read when it is first asked for. The addresses in a page begin at `root`."""
    return KeptAsset.of(path, content_type, {**HEADERS, "Content-Security-Policy": policy}, root)


def root_of(request: web.Request) -> str:
    """The relative way from a page to the root of the gateway, which is right below the path prefix of any proxy.

    It depends on the number of levels of the route, not on anything that a caller chooses.
    """
    resource = request.match_info.route.resource
    return "../" * (resource.canonical.count("/") - 1 if resource else 0) or "./"


def routes() -> list[web.RouteDef]:
    """`/assets/{file}`."""
    return [web.get("/assets/{file}", _asset), web.get("/favicon.ico", _favicon)]


def page(request: web.Request, name: str, status: int = 200) -> web.Response:
    """One of the HTML pages of watching. Anybody may frame them (`?embed=1`)."""
    return kept(FOLDER / name, "text/html", f"{POLICY}; frame-ancestors *", root_of(request)).answer(request, status)


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in ASSETS:
        raise Failure("not-found", f"There is no asset {name!r}.")
    return kept(FOLDER / name, ASSETS[name]).answer(request)


async def _favicon(request: web.Request) -> web.StreamResponse:
    return kept(FOLDER / "logo.svg", ASSETS["logo.svg"]).answer(request)
