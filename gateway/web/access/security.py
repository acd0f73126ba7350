"""What every answer carries for browsers: closed by default."""

from typing import Final

from aiohttp import hdrs, web

from gateway.web.access.outer import outer

HSTS: Final = web.AppKey("hsts", int)  # seconds
# For answers that are data; pages bring policies of their own.
POLICY: Final = "default-src 'none'; frame-ancestors 'none'"


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: adds what is missing, and takes away what tells too much."""
    secured(response)
    for name, value in lines(request):
        response.headers.setdefault(name, value)


def lines(request: web.Request) -> tuple[tuple[str, str], ...]:
    """The headers that depend on the request.

    Strict-Transport-Security (RFC 6797) binds everything on the host, so only an operator who asks for it gets it.
    """
    seconds = request.app.get(HSTS, 0)
    if not seconds or outer(request).scheme != "https":
        return ()
    return (("Strict-Transport-Security", f"max-age={seconds}"),)


def secured(response: web.StreamResponse) -> None:
    """Adds the headers that do not depend on the request, and takes away what tells too much."""
    headers = response.headers
    headers.pop(hdrs.SERVER, None)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    if response.content_type.endswith("json"):
        headers.setdefault("Content-Security-Policy", POLICY)
