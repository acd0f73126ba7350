"""What can be called, as a table: each method of each path, what it takes and what it answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from gateway.jobs.failures import FAILURES
from gateway.kinds.kind import Kind
from gateway.web.access.access import TokenParams
from gateway.web.access.session import SessionParams
from gateway.web.calls import streams
from gateway.web.calls.files import FileRecord, ListParams
from gateway.web.calls.jobs import JobPage, OneJob, SomeJobs
from gateway.web.context import BASE
from gateway.web.observe.events import EventsParams
from gateway.web.observe.figures import HistoryParams
from gateway.web.openapi import answer_models

RESULTS: Final[dict[str, type[BaseModel]]] = {
    "stream": answer_models.StreamRecord,
    "picture": answer_models.PictureRecord,
    "other": answer_models.AnyRecord,
}

STATUSES: Final = tuple(sorted({row.status for row in FAILURES.values()}))
JOB_STATUSES: Final = tuple(status for status in STATUSES if status not in (405, 410, 412, 416))


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `path` is the router's.

    `results` maps a status to a model, to `Many` of it, to a media type, or to None for an empty answer. `statuses` are
    those of problems, besides those that all guarded operations have. `job`: it makes a job. `prefer`: it reads all of
    Prefer; `strict`: only `handling`. `etag`: it reads If-None-Match; `resumes`: Last-Event-ID. `paged`: the answer may
    have a Link to the next page.
    """

    method: str
    path: str
    id: str
    summary: str
    tag: str
    results: dict[int, Any]
    body: type[BaseModel] | None = None
    example: dict[str, Any] | None = None
    body_required: bool = False
    query: type[BaseModel] | None = None
    statuses: tuple[int, ...] = ()
    body_bytes: bool = False
    prefer: bool = False
    strict: bool = False
    etag: bool = False
    resumes: bool = False
    job: bool = False
    paged: bool = False


@dataclass(frozen=True, slots=True)
class Many:
    """An array of a model, or (`or_one`) one of them."""

    model: type[BaseModel]
    or_one: bool = False


def operations(kinds: Sequence[Kind]) -> list[Operation]:
    """All operations, in the order of the document."""
    return [*map(_of_kind, kinds), *_of_streams(kinds), *_of_jobs(), *_of_media(), *_of_sessions(), *_of_operating()]


def _of_kind(kind: Kind) -> Operation:
    family = kind.path.split("/")[1]
    return Operation(
        "POST",
        BASE + kind.path,
        _camel(kind.name),
        f"{kind.name} (job)",
        family,
        {200: RESULTS[kind.result], 202: answer_models.JobRecord},
        body=kind.params,
        example=kind.example,
        body_required=True,
        statuses=JOB_STATUSES,
        prefer=True,
        job=True,
    )


def _of_streams(kinds: Sequence[Kind]) -> Iterator[Operation]:
    watch = "A token to watch one stream for a while, to be given to a player"
    yield Operation(
        "POST", f"{BASE}/stream/play_token", "makePlayToken", watch, "stream", {200: answer_models.TokenRecord},
        body=TokenParams, example={"name": "lobby", "expiresIn": 300}, body_required=True, statuses=(400, 413, 422),
    )  # fmt: skip
    samples = "What was measured of a stream in the last ten minutes, every two seconds"
    yield Operation(
        "POST", f"{BASE}/stream/history", "streamHistory", samples, "stream", {200: answer_models.HistoryRecord},
        body=HistoryParams, example={"name": "lobby", "seconds": 60}, body_required=True, statuses=(400, 404, 413, 422),
        strict=True,
    )  # fmt: skip
    families: list[tuple[str, type[BaseModel]]] = [("stream", streams.AnyKindFilter)]
    families += [(kind.stream_kind, streams.Filter) for kind in kinds if kind.stream_kind]
    many = {200: Many(answer_models.StreamRecord)}
    for family, asked in families:
        base, name = f"{BASE}/{family}", family.capitalize()
        more: dict[str, Any] = {"body": asked, "statuses": (400, 404, 413, 422)}
        find, stop = "Those that match; 404 when none does", "Stops those that match; a filter is needed"
        yield Operation("POST", f"{base}/find", f"find{name}", find, family, many, example={}, **more)
        yield from _pages(family, "All of them", streams.StreamPage, many)
        yield Operation(
            "POST", f"{base}/terminate", f"terminate{name}", stop, family, many, example={"status": "FAILED"},
            **(more | {"statuses": (*more["statuses"], 503)}),
        )  # fmt: skip


def _pages(family: str, summary: str, asked: type[BaseModel], many: dict[int, Any], *more: int) -> Iterator[Operation]:
    """The two operations of a `find_all`. `more` are statuses of problems beside those that every list has."""
    path, name, statuses = f"{BASE}/{family}/find_all", family.capitalize(), (400, 408, 413, 422, *more)
    yield Operation("GET", path, f"list{name}", summary, family, many, query=asked, statuses=statuses, paged=True)
    yield Operation(
        "POST", path, f"findAll{name}", summary, family, many,
        body=asked, example={"limit": 10}, statuses=statuses, paged=True,
    )  # fmt: skip


def _of_jobs() -> Iterator[Operation]:
    base, job, unknown = f"{BASE}/jobs", answer_models.JobRecord, (404, 410, 503)
    some = {200: Many(job, or_one=True)}
    found = "One job by its id; or those that match, newest first"
    body: dict[str, Any] = {"body": SomeJobs, "example": {"state": "RUNNING"}, "prefer": True}
    query: dict[str, Any] = {"query": SomeJobs, "prefer": True}
    stop: dict[str, Any] = {"body": OneJob, "body_required": True, "prefer": True}
    bad = (400, 404, 410, 413, 422, 503)
    yield Operation("POST", f"{base}/find", "findJobs", found, "jobs", some, statuses=bad, **body)
    yield Operation("GET", f"{base}/find", "queryJobs", found, "jobs", some, statuses=(*bad, 408), **query)
    yield from _pages("jobs", "The newest jobs", JobPage, {200: Many(job)}, 503)
    for name in ("terminate", "cancel"):
        cancelled = "Cancels a job; 202 while its worker is still being stopped"
        both = {200: job, 202: job}
        yield Operation("POST", f"{base}/{name}", f"{name}Job", cancelled, "jobs", both, statuses=(*bad, 409), **stop)
    one = f"{base}/{{id}}"
    yield Operation(
        "GET", one, "getJob", "One job; a long poll with `Prefer: wait`", "jobs", {200: job, 304: None},
        statuses=unknown, prefer=True, etag=True,
    )  # fmt: skip
    yield Operation(
        "DELETE", one, "deleteJob", "Cancels a job that goes on; forgets one that has ended", "jobs",
        {200: job, 202: job, 204: None}, statuses=(*unknown, 409, 422), prefer=True,
    )  # fmt: skip
    yield Operation(
        "GET", f"{one}/result", "getJobResult", "What the job method would have answered; 202 while the job goes on",
        "jobs", {200: answer_models.AnyRecord, 202: job}, statuses=(*JOB_STATUSES, 410), prefer=True,
    )  # fmt: skip
    yield Operation(
        "GET", f"{BASE}/events", "events", "Changes of jobs and streams as they happen; resumes by Last-Event-ID",
        "jobs", {200: "text/event-stream"}, query=EventsParams, statuses=(422,), resumes=True, strict=True,
    )  # fmt: skip


def _of_media() -> Iterator[Operation]:
    base, many, missing = f"{BASE}/media", {200: Many(FileRecord)}, (404, 422, 503)
    one, sent = f"{base}/{{name}}", {200: FileRecord, 201: FileRecord}
    put = "Takes the body as a file, whole or not at all; 201 when it is new"
    yield from _pages("media", "All files of the media folder", ListParams, many, 503)
    yield Operation(
        "PUT", one, "putMedia", put, "media", sent, body_bytes=True, statuses=(400, 403, 404, 408, 409, 413, 422, 503)
    )
    bytes_ = {200: "*/*", 206: "*/*", 304: None}
    yield Operation(
        "GET", one, "getMedia", "The bytes of a file, or those of a `Range`", "media", bytes_,
        statuses=(*missing, 412, 416),
    )  # fmt: skip
    yield Operation(
        "DELETE",
        one,
        "deleteMedia",
        "Deletes a file that no stream plays",
        "media",
        {204: None},
        statuses=(*missing, 409),
    )


def _of_sessions() -> Iterator[Operation]:
    base, session = f"{BASE}/session", {200: answer_models.SessionRecord}
    start = "Signs a browser in with a key, by a cookie"
    yield Operation("GET", base, "findSession", "Who one is, and what one may do", "session", session, statuses=(429,))
    yield Operation(
        "POST", f"{base}/start", "startSession", start, "session", session,
        body=SessionParams, body_required=True, statuses=(400, 401, 403, 413, 422, 429), strict=True,
    )  # fmt: skip
    yield Operation(
        "POST", f"{base}/end", "endSession", "Signs a browser out", "session", session, statuses=(403, 413, 429)
    )


def _of_operating() -> Iterator[Operation]:
    lives, ready = (
        {200: answer_models.Health, 503: answer_models.Health},
        {200: answer_models.Ready, 503: answer_models.Ready},
    )
    yield Operation("GET", "/livez", "livez", "Whether the gateway lives", "operating", lives)
    yield Operation("GET", "/readyz", "readyz", "Whether it takes jobs, and what is broken", "operating", ready)
    yield Operation("GET", "/metrics", "metrics", "Figures for Prometheus", "operating", {200: "text/plain"})
    yield Operation("GET", "/openapi.json", "openapi", "This document", "operating", {200: answer_models.AnyRecord})


def _camel(name: str) -> str:
    """A name as OpenAPI's operation id: `vodSetWatermark` of `vod.set_watermark`."""
    first, *rest = name.replace("_", ".").split(".")
    return first + "".join(part.capitalize() for part in rest)
