"""What every answer carries for browsers: closed by default, opened to the sites that the settings name."""

from collections.abc import Sequence
from typing import Final

import aiohttp_cors
from aiohttp import hdrs, web

# For answers that are data; pages bring policies of their own.
POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
ASKED: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "Range")
# Contract, section 2.2: no script of another site could read these otherwise.
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


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: adds what is missing, and takes away what tells too much."""
    secured(response)
    if request.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def secured(response: web.StreamResponse) -> None:
    """The same, as far as it does not depend on the request."""
    headers = response.headers
    headers.pop(hdrs.SERVER, None)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    if response.content_type.endswith("json"):
        headers.setdefault("Content-Security-Policy", POLICY)


def open_to(app: web.Application, origins: Sequence[str]) -> None:
    """Lets pages of these sites (`https://portal.example`, or `*`) call and read. Without credentials of the browser's
    own: a page sends its key itself. To be called when all routes are there.
    """
    if not origins:
        return
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=False, allow_headers=ASKED, allow_methods=METHODS, expose_headers=EXPOSED, max_age=600
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for resource in list(app.router.resources()):
        cors.add(resource)
    for route in list(app.router.routes()):
        if route.method not in ("OPTIONS", "HEAD"):
            cors.add(route)
