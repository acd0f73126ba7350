"""Every error answer as an RFC 9457 problem document, from one table."""

import json
import logging
import uuid
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.jobs.failures import FAILURES, Failure
from gateway.jobs.job import LINKS
from gateway.jobs.storage.database import StoreError

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:reelgate:problem:"
REQUEST_ID: Final = web.RequestKey("request_id", str)
READS_PREFER: Final = web.RequestKey("reads_prefer", bool)

UNREADABLE: Final = "The body cannot be read: it is not encoded as the headers say."

# aiohttp's own refusals, by status.
_CODES: Final = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}


def request_id(request: web.Request) -> str:
    """What stands for a request in answers and logs; made when it is first asked for, as few are."""
    if REQUEST_ID not in request:
        request[REQUEST_ID] = uuid.uuid4().hex
    return request[REQUEST_ID]


def reads_prefer(request: web.Request) -> None:
    """Marks an answer as depending on Prefer, and as nobody's to keep (RFC 7240, section 2: Vary regardless)."""
    request[READS_PREFER] = True


def problem(request: web.Request, failure: Failure, **more: Any) -> web.Response:
    """The answer for a failure. `more` goes into the document; `instance` is the request's path unless given."""
    return render(request, failure.record(), failure.retry_after, **more)


def document(record: dict[str, Any], *, instance: str, request_id: str) -> dict[str, Any]:
    """The problem document of a failure's record."""
    return {"type": TYPE_PREFIX + str(record["code"]), **record, "instance": instance, "requestId": request_id}


def render(request: web.Request, record: dict[str, Any], retry_after: int | None = None, **more: Any) -> web.Response:
    """The answer for a failure's record (a fresh one, or one kept with a job)."""
    content = document(record, instance=request.path, request_id=request_id(request)) | more
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    status = int(record["status"])
    if retry_after is None and status in (429, 503):
        retry_after = 1
    if retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(max(1, retry_after))
    if "holder" in record:
        headers[hdrs.LINK] = f'<{LINKS}{record["holder"]}>; rel="monitor"'
    body = json.dumps(content, ensure_ascii=False).encode()
    response = web.Response(body=body, status=status, headers=headers, content_type=CONTENT_TYPE)
    if record["code"] == "draining":
        response.force_close()  # whoever balances the load should look elsewhere
    return response


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever a handler raises into a problem document, and says what an answer varies by."""
    response = await _answer(request, handler)
    if request.get(READS_PREFER) and not response.prepared:
        response.headers.add(hdrs.VARY, "Prefer")
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Failure as failure:
        return problem(request, failure)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _of_http(request, error)
    except StoreError as error:
        log.error("store-failed", extra={"request_id": request_id(request), "error": str(error)})
        return problem(request, Failure("store-failing", "The gateway's store does not answer.", retry_after=5))
    except web.RequestPayloadError:
        return problem(request, Failure("bad-request", UNREADABLE))
    except ConnectionError:
        raise  # the client is gone: there is nobody to tell
    except Exception:
        log.exception("request-failed", extra={"request_id": request_id(request), "path": request.path})
        return problem(request, Failure("internal", "The gateway failed to answer; its log has the request's id."))


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    code = _CODES.get(error.status, "bad-request" if error.status < 500 else "internal")
    detail = {
        "not-found": f"There is nothing at {request.path}.",
        "method-not-allowed": f"{request.method} is not possible here.",
        "too-large": "The request's body is too large.",
    }.get(code, FAILURES[code].title + ".")
    response = problem(request, Failure(code, detail))
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    return response
