"""What the handlers work with, and the paths that they speak of."""

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway.jobs.feed import Feed
from gateway.jobs.ports import Archive
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Services
from gateway.prefer import PreferLimits
from gateway.web.media_use import MediaUse
from gateway.web.observe.metrics import Metrics
from gateway.web.observe.readiness import Readiness

BASE: Final = "/rest-api/v3"
ALIAS: Final = "/rest-api"  # for old clients: the same methods, and never 202


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all handlers: jobs and their store, the parts of the kinds, `Prefer`'s limits, news, figures, what
    is broken, and the use of the media folder if there is one.
    """

    supervisor: Supervisor
    store: Archive
    parts: Services
    prefer: PreferLimits
    feed: Feed
    metrics: Metrics
    readiness: Readiness = field(default_factory=Readiness)
    media_use: MediaUse | None = None


def job_path(job_id: str) -> str:
    """The path at which a job is read."""
    return f"{BASE}/jobs/{job_id}"


def with_alias(routes: list[web.RouteDef]) -> list[web.RouteDef]:
    """The routes; those below BASE are there a second time without the version."""
    more = [
        web.RouteDef(route.method, ALIAS + route.path.removeprefix(BASE), route.handler, route.kwargs)
        for route in routes
        if route.path.startswith(f"{BASE}/")
    ]
    return [*routes, *more]


def by_alias(request: web.Request) -> bool:
    """Whether the caller left out the version, and so must not be answered 202."""
    return not request.path.startswith(f"{BASE}/")


def versioned(path: str) -> str:
    """The path with the version, whether it had one or not: both are the same method."""
    return path if path.startswith(f"{BASE}/") else BASE + path.removeprefix(ALIAS)
