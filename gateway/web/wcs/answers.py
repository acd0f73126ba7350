"""Failures in WCS's statuses: those that it has for a call, and 500 for all others."""

from typing import Any, Final

from aiohttp import web

from gateway.jobs.failures import Failure
from gateway.web.problems import render
from gateway.web.wcs.calls import Call

ELSE: Final = 500
BAD: Final = (400, 422)  # one thing to WCS


def status_of(call: Call, status: int) -> int:
    """What WCS answers where we would answer `status`."""
    wanted = BAD[0] if status in BAD else status
    return wanted if wanted in call.errors else ELSE


def failed(request: web.Request, call: Call, failure: Failure) -> web.Response:
    """The answer to a call that failed: a problem document (RFC 9457) with a status of WCS, and our code and detail."""
    return job_failed(request, call, failure.record(), failure.retry_after)


def job_failed(
    request: web.Request, call: Call, record: dict[str, Any], retry_after: int | None = None
) -> web.Response:
    """The answer to a call whose job has ended with this error: a problem document (RFC 9457) with a status of WCS."""
    return render(request, record | {"status": status_of(call, int(record["status"]))}, retry_after)
