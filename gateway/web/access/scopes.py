"""Who may do what: the scope that each route needs, as a table."""

from typing import Final

from gateway.auth.keys import Scope
from gateway.web.context import BASE
from gateway.web.dashboard_page import ASSET, PAGES

# What anybody may see, also with keys on: whether the gateway lives, and the static page that asks for a key.
_SESSION: Final = frozenset(f"{BASE}/session{method}" for method in ("", "/start", "/end"))
PUBLIC: Final = frozenset({"/livez", "/readyz", "/assets/{file}", "/favicon.ico", ASSET, *PAGES, *_SESSION})

# Beginning of a route -> scope; the first that fits counts.
_PREFIXES: Final = (
    ("/live/", Scope.PLAY),
    (f"{BASE}/stream/play_token", Scope.PLAY),
)
# Methods that change nothing, also by POST; `{absent}` stands for those of WCS that are not here.
_READS: Final = frozenset({"find", "find_all", "history", "{absent}"})
STAT: Final = "/?action=stat"  # no path of its own: the address of the dashboard, which is public, with a query


def scope_of(method: str, route: str) -> Scope | None:
    """The scope that a route (`/rest-api/v3/jobs/{id}`) needs, by the method; None: it is for everybody.

    What no rule knows needs `control`, so that a new method is guarded before anybody thinks of it.
    """
    if route in PUBLIC:
        return None
    for beginning, scope in _PREFIXES:
        if route.startswith(beginning):
            return scope
    if method in ("GET", "HEAD", "OPTIONS") or route.rpartition("/")[2] in _READS:
        return Scope.READ
    return Scope.CONTROL
