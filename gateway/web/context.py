"""What the handlers work with, and the paths that they speak of."""

from dataclasses import dataclass, field
from typing import Final

from gateway.jobs import job
from gateway.jobs.feed import Feed
from gateway.jobs.ports import Archive
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Services
from gateway.prefer import PreferLimits
from gateway.web.calls.media_use import MediaUse
from gateway.web.observe.metrics import Metrics
from gateway.web.observe.readiness import Readiness

UNVERSIONED: Final = "/rest-api"  # the calls of WCS 5.2, see gateway/web/wcs


BASE: Final = job.BASE


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
