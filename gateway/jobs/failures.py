"""The table of failures: each stable code, its HTTP status, and whether trying again may help."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One row: the HTTP status of a synchronous answer, and a short phrase for people (RFC 9457, section 3.1.3)."""

    status: int
    retryable: bool
    title: str


def _row(status: int, retryable: bool, title: str) -> FailureCode:
    return FailureCode(status, retryable, title)


FAILURES: Final[dict[str, FailureCode]] = {
    "bad-request": _row(400, False, "The request is malformed"),
    "unauthorized": _row(401, False, "No valid credentials"),
    "forbidden": _row(403, False, "Not allowed"),
    "source-forbidden": _row(403, False, "The source's address is not allowed"),
    "not-found": _row(404, False, "Not found"),
    "job-unknown": _row(404, False, "No such job"),
    "file-not-found": _row(404, False, "No such file"),
    "image-not-found": _row(404, False, "No such picture"),
    "method-not-allowed": _row(405, False, "Method not allowed"),
    "too-slow": _row(408, True, "The request came too slowly"),
    "resource-busy": _row(409, True, "The name or address is being worked on"),
    "name-in-use": _row(409, False, "The stream name is in use"),
    "uri-in-use": _row(409, False, "The address is in use"),
    "file-in-use": _row(409, False, "The file is in use"),
    "job-already-finished": _row(409, False, "The job has finished"),
    "job-cancelled": _row(409, False, "The job was cancelled"),
    "job-expired": _row(410, False, "The job's record has expired"),
    "precondition-failed": _row(412, False, "It is not the one that the request is about"),
    "too-large": _row(413, False, "The request is too large"),
    "unsupported-media-type": _row(415, False, "The request's media type is not supported"),
    "range-not-satisfiable": _row(416, False, "There are no such bytes"),
    "invalid-field": _row(422, False, "A field is invalid"),
    "idempotency-mismatch": _row(422, False, "The key was used for another request"),
    "unsupported-scheme": _row(422, False, "The address's scheme is not supported"),
    "file-not-regular": _row(422, False, "Not a regular file"),
    "file-not-media": _row(422, False, "Not a media file"),
    "file-encrypted": _row(422, False, "The file is encrypted"),
    "file-empty": _row(422, False, "The file is empty"),
    "file-changed": _row(422, False, "The file changed while it was read"),
    "limits-exceeded": _row(422, False, "Over a limit"),
    "codec-unsupported": _row(422, False, "The codec is not supported"),
    "no-video": _row(422, False, "There is no video"),
    "image-not-supported": _row(422, False, "The picture's format is not supported"),
    "image-too-large": _row(422, False, "The picture is too large"),
    "image-animated": _row(422, False, "The picture is animated"),
    "image-corrupt": _row(422, False, "The picture is damaged"),
    "source-no-parameters": _row(422, False, "The source sends no codec parameters"),
    "source-no-media": _row(422, False, "The source has no media"),
    "rate-limited": _row(429, True, "Too many requests"),
    "source-dns": _row(502, True, "The source's name does not resolve"),
    "source-refused": _row(502, True, "The source refused the connection"),
    "source-unreachable": _row(502, True, "The source cannot be reached"),
    "source-busy": _row(502, True, "The source is busy"),
    "source-protocol-error": _row(502, True, "The source breaks the protocol"),
    "source-not-found": _row(502, True, "The source says that there is no such stream"),
    "source-untrusted": _row(502, False, "The source's certificate is not trusted"),
    "source-auth-or-busy": _row(502, True, "The source refused credentials that have worked"),
    "source-auth-failed": _row(502, False, "The source refused the credentials"),
    "queue-full": _row(503, True, "The queue is full"),
    "draining": _row(503, True, "The gateway is shutting down"),
    "capacity-exceeded": _row(503, True, "Not enough capacity"),
    "store-failing": _row(503, True, "The gateway's store cannot be written or read"),
    "media-failing": _row(503, True, "The media folder does not answer"),
    "interrupted": _row(503, True, "The gateway restarted before the job ended"),
    "worker-unavailable": _row(503, True, "No worker process can be started"),
    "no-keyframe-yet": _row(503, True, "No key frame yet"),
    "job-timeout": _row(504, True, "The job's time ran out"),
    "source-timeout": _row(504, True, "The source did not answer in time"),
    "source-no-keyframe": _row(504, True, "The source sent no decodable key frame in time"),
    "worker-crashed": _row(500, True, "A worker process crashed"),
    "worker-hung": _row(500, True, "A worker process stopped responding"),
    "not-installed": _row(501, False, "Not installed"),
    "internal": _row(500, False, "Internal error"),
}


class Failure(Exception):
    """A job, or the request for one, failed for a reason of the table.

    `detail` says what happened, to what, and what to do; it holds no credentials. `extra` goes into the record beside
    it (`phase`, `cause`, `errors`); `retry_after` is in whole seconds.
    """

    def __init__(self, code: str, detail: str, *, retry_after: int | None = None, **extra: object) -> None:
        super().__init__(f"{code}: {detail}")
        self.row = FAILURES[code]
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra

    def record(self) -> dict[str, object]:
        """The RFC 9457 members that a job's record keeps; the HTTP side adds `type`, `instance` and `requestId`."""
        return {
            "code": self.code,
            "title": self.row.title,
            "status": self.row.status,
            "detail": self.detail,
            "retryable": self.row.retryable,
            **self.extra,
        }
