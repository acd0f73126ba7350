"""What the handlers work with, and the paths that they speak of."""

from dataclasses import dataclass
from typing import Final

from gateway.jobs.store import Store
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Parts
from gateway.prefer import Limits

BASE: Final = "/rest-api/v3"


@dataclass(frozen=True, slots=True)
class Face:
    """Shared by all handlers: the jobs and their store, the parts of the kinds, and the limits of `Prefer`."""

    supervisor: Supervisor
    store: Store
    parts: Parts
    prefer: Limits


def job_path(job_id: str) -> str:
    """Where a job is read."""
    return f"{BASE}/jobs/{job_id}"
