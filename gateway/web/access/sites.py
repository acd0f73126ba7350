"""Pages of other sites: what they may not do in the name of whoever looks at them, since browsers send logins along."""

import logging
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web.access.outer import HOST, outer

log = logging.getLogger(__name__)

LOOKS: Final = ("GET", "HEAD", "OPTIONS")  # methods that change nothing; an upgrade to a WebSocket does not count
ANOTHER: Final = "Pages of other sites may not call this gateway; cors_origins can allow it."
MISTAKEN: Final = (
    "The page that asks is at {origin}, and what it asks for came here as {host}. If they are one site, a proxy "
    "between them does not pass on the name: let it (in nginx `proxy_set_header Host $http_host`, which has the port), "
    "or name the proxy in trusted_proxies and let it send X-Forwarded-Host, or set public_url. If the page is another "
    "site's, cors_origins can allow it."
)


def acts_from_elsewhere(request: web.Request, origins: Sequence[str]) -> bool:
    """Whether a page of another site acts, and one that is let in. Raises `Failure` `forbidden` for others."""
    if request.method in LOOKS and hdrs.UPGRADE not in request.headers:
        return False
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or _is_own(request, origin):
        return False
    if origin in origins or "*" in origins:
        return True
    raise Failure("forbidden", _refusal(request, origin))


def _is_own(request: web.Request, origin: str) -> bool:
    """Whether a page of that origin is this gateway's. Where the browser says so itself it knows best."""
    site = request.headers.get("Sec-Fetch-Site")
    if site:
        return site == "same-origin"
    page, seen = urlsplit(origin).netloc, outer(request)
    hosts = {seen.host.lower(), request.headers.get(hdrs.HOST, "").lower()}
    if page in hosts:
        return True
    # A trusted proxy may pass on the host without its port (nginx: $host): then the port cannot be compared.
    return seen.proxied and page != _without_port(page) and _without_port(page) in hosts


def _without_port(netloc: str) -> str:
    host, colon, port = netloc.rpartition(":")
    return host if colon and port.isdigit() else netloc


def _refusal(request: web.Request, origin: str) -> str:
    """The refusal in words. Its commonest reason is a proxy that does not pass on what the browser asked for."""
    page, host = urlsplit(origin), outer(request).host
    cross = request.headers.get("Sec-Fetch-Site") is not None
    if cross or page.scheme not in ("http", "https") or not HOST.fullmatch(page.netloc) or not HOST.fullmatch(host):
        return ANOTHER
    log.info("page-of-another-site", extra={"origin": origin, "host": host, "path": request.path})
    return MISTAKEN.format(origin=origin, host=host)
