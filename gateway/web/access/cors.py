"""Pages of other sites: what each answer tells their browsers, and the answer to a preflight (Fetch, CORS protocol)."""

from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

ORIGINS: Final = web.AppKey("cors_origins", tuple[str, ...])
ASKED: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "Range")
# No script of another site could read these otherwise.
EXPOSED: Final = (
    "Content-Location",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Job-Id",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
KEPT: Final = 600  # seconds for which a browser remembers the answer to a preflight

Lines = tuple[tuple[str, str], ...]


def lines(request: web.Request) -> Lines:
    """The headers that an answer has because of `cors_origins`; none where that is empty.

    They do not name a site that is not let in. Where sites are let in by name, every answer varies by `Origin`, also
    one to a request without it: a cache hands it on to others.
    """
    origins = request.app.get(ORIGINS, ())
    if not origins:
        return ()
    exposed = (hdrs.ACCESS_CONTROL_EXPOSE_HEADERS, ",".join(EXPOSED))
    if "*" in origins:
        return ((hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, "*"), exposed)
    origin = request.headers.get(hdrs.ORIGIN)
    vary = (hdrs.VARY, hdrs.ORIGIN)
    return (vary, (hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, origin), exposed) if origin in origins and origin else (vary,)


async def say(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: adds these headers to every answer. Without credentials of the browser's own: a page sends its key."""
    for name, value in lines(request):
        response.headers.add(name, value)


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks if a page of another site may call; it sends no credentials with that."""
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def open_to(app: web.Application, origins: Sequence[str]) -> list[Middleware]:
    """Lets pages of these sites (`https://portal.example`, or `*`) call and read.

    Gives the middleware that answers preflights; it comes before the one that asks for keys.
    """
    if not origins:
        return []
    app[ORIGINS] = tuple(origins)
    app.on_response_prepare.append(say)
    return [_preflights]


@web.middleware
async def _preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_preflight(request):
        return await handler(request)
    origins, headers = request.app[ORIGINS], {}
    if "*" in origins or request.headers.get(hdrs.ORIGIN) in origins:
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(METHODS),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(ASKED),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(KEPT),
        }
    return web.Response(headers=headers)
