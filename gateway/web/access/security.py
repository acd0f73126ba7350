"""What every answer carries for browsers: closed by default."""

from typing import Final

from aiohttp import hdrs, web

# For answers that are data; pages bring policies of their own.
POLICY: Final = "default-src 'none'; frame-ancestors 'none'"


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
