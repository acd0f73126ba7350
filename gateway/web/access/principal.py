"""Who calls, as the handlers see it: a key, or anybody where keys are not used."""

from typing import Final

from aiohttp import hdrs, web

from gateway.auth.keys import Key, Scope
from gateway.jobs.job import Record
from gateway.web.access.outer import outer

PRINCIPAL: Final = web.RequestKey("principal", Key)
VIEWER: Final = web.RequestKey("viewer", str)
SESSION: Final = "reelgate_session"  # the cookie of a browser that is signed in


def owner(request: web.Request) -> str | None:
    """The id of the caller's key; None where keys are not used."""
    key = request.get(PRINCIPAL)
    return None if key is None else key.id


def caller(request: web.Request) -> str:
    """Whom to count a call for: the key, or else the address it comes from."""
    return owner(request) or outer(request).address


def viewer(request: web.Request) -> str:
    """Whom to count what is made for a viewer for: the play token, or else the caller."""
    return request.get(VIEWER) or caller(request)


def cookie(request: web.Request, name: str) -> str | None:
    """The value of a cookie (RFC 6265, section 4.2.1). To have all cookies parsed would take milliseconds for a head
    full of them, before it is known who asks.
    """
    for pair in request.headers.get(hdrs.COOKIE, "").split(";"):
        if pair.strip().startswith(f"{name}="):
            return pair.partition("=")[2].strip().strip('"')
    return None


def sees_all(request: web.Request) -> bool:
    """Whether all jobs are the caller's to see."""
    key = request.get(PRINCIPAL)
    return key is None or key.allows(Scope.ADMIN)


def may_see(request: web.Request, record: Record) -> bool:
    """Whether a job is the caller's to see: its own, all of them for an admin."""
    return sees_all(request) or record["request"].get("key") == owner(request)
