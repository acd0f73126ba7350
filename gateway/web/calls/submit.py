"""Job methods over HTTP: admit, hold for `wait`, answer as the job then stands (job-contract.md, "Answers")."""

import asyncio
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway import prefer
from gateway.jobs.failures import Failure
from gateway.jobs.job import Claim, Draft, Job, Record
from gateway.jobs.state import State
from gateway.jobs.supervisor import Supervisor
from gateway.kinds.kind import Ask, Kind, Plan
from gateway.prefer import Preferences
from gateway.web import body
from gateway.web.access.principal import owner
from gateway.web.calls.durable import GRACE, on_disk
from gateway.web.calls.durable import RETRY_AFTER as STORE_RETRY_AFTER
from gateway.web.context import BASE, Context, job_path
from gateway.web.problems import reads_prefer, render, request_id
from media.catalog import Catalog
from media.process.workers import TRACE

RETRY_AFTER: Final = "1"  # seconds, on every answer about a job that goes on
FOREVER: Final = 1e6  # seconds; a job ends long before

UNSAVED: Final = "The job was accepted, but its record is not on disk yet: what it did is lost if the gateway ends now."
KEY_HEADER: Final = "Idempotency-Key"
LONGEST_KEY: Final = 255
# RFC 8941 3.3.3: a string is printable ASCII between quotes, in which \" and \\ stand for " and \.
KEY: Final = re.compile(r'[ \t]*"((?:[ !#-\[\]-~]|\\["\\])*)"[ \t]*')
# W3C Trace Context: version, trace id, parent id, flags.
TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def handler(kind: Kind, context: Context) -> Handler:
    """The handler of one job method."""
    return _Method(kind, context).answer


async def carried_out(request: web.Request, kind: Kind, context: Context, content: dict[str, Any]) -> "Outcome":
    """A job for a caller who knows no jobs: how it has ended. Raises `Failure` when there is none, or no end of it."""
    return await _Method(kind, context).to_the_end(request, content)


class _Method:
    """One job method."""

    def __init__(self, kind: Kind, context: Context) -> None:
        self._kind = kind
        self._context = context

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Admits a job, or finds the one of an earlier request with the same key, and answers as it then stands."""
        reads_prefer(request)
        preferences = prefer.parse(request.headers.getall("Prefer", []), self._context.prefer)
        self._context.metrics.asked(preferences)
        try:
            content = await body.read_object(request)
            claim = _claim(request, content)
            if claim is None:
                job = await self._admit(request, content, preferences, None)
                return await self._hold(request, job, preferences)
            async with self._context.supervisor.claiming(claim) as earlier:
                if earlier is None:
                    job = await self._admit(request, content, preferences, claim)
        except Failure as failure:
            self._context.metrics.refused(self._kind.name, failure.code)
            raise
        if earlier is None:
            return await self._hold(request, job, preferences)
        return await self._replay(request, earlier, preferences)

    async def to_the_end(self, request: web.Request, content: dict[str, Any]) -> "Outcome":
        """Admits a job and waits until it has ended, as long as that may take. Raises `Failure`, also `draining`."""
        reads_prefer(request)
        preferences = prefer.parse(request.headers.getall("Prefer", []), self._context.prefer)
        self._context.metrics.asked(preferences)
        try:
            if not self._context.supervisor.can_wait:
                raise Failure("capacity-exceeded", "Too many callers wait already; try again later.", retry_after=1)
            job = await self._admit(request, content, preferences, None)
        except Failure as failure:
            self._context.metrics.refused(self._kind.name, failure.code)
            raise
        await self._context.supervisor.wait(job, FOREVER)
        outcome = Outcome.of(self._context.supervisor, job)
        if outcome.goes_on:  # only a shutdown wakes it before
            raise Failure("draining", "The gateway is shutting down before the job has ended.")
        if not await on_disk(self._context.store, job.id, GRACE):
            raise Failure("store-failing", UNSAVED, retry_after=STORE_RETRY_AFTER)
        self._context.metrics.answered(
            self._kind.name, 200 if outcome.result else int(outcome.record["error"]["status"])
        )
        return outcome

    async def _admit(
        self, request: web.Request, content: dict[str, Any], preferences: Preferences, claim: Claim | None
    ) -> Job:
        kind, context = self._kind, self._context
        params, ignored = body.parse(kind.params, content, strict=preferences.handling == "strict")
        job_id = secrets.token_hex(16)
        plan = await kind.plan(params, Ask(job_id, ignored), context.parts)
        check_free(context.parts.catalog, plan.names)
        if context.media_use is not None:
            context.media_use.check_still(plan.files)
        draft = _draft(request, kind, plan, (job_id, preferences, claim))
        TRACE.set(draft.trace)
        return context.supervisor.submit(draft, plan.work)

    async def _hold(
        self, request: web.Request, job: Job, preferences: Preferences, *, replayed: bool = False
    ) -> web.StreamResponse:
        """Waits for the job as long as the caller wants to, and says how it stands."""
        context = self._context
        until = asyncio.get_running_loop().time() + preferences.wait
        if not await context.supervisor.wait(job, preferences.wait):
            preferences = replace(preferences, wait_sent=False)  # too many wait already: not honoured, not echoed
        # Read once, with no await in between: 200 says DONE and 202 says not ended, whatever happens next.
        outcome = Outcome.of(context.supervisor, job)
        left = max(0.0, until - asyncio.get_running_loop().time()) + GRACE
        # That the job goes on is true after a restart too, if any version of it is on disk.
        if (outcome.goes_on and context.store.accepted(job.id)) or await on_disk(context.store, job.id, left):
            response = outcome.response(request)
        else:
            response = outcome.unsaved(request, context.supervisor.records.of(job))
        return self._told(request, response, preferences, replayed=replayed)

    async def _replay(self, request: web.Request, job_id: str, preferences: Preferences) -> web.StreamResponse:
        """The answer of a job that an earlier request has made (job-contract.md, "Idempotency")."""
        self._context.metrics.replayed()
        supervisor = self._context.supervisor
        job = supervisor.get(job_id)
        if job is not None:
            preferences = _with_timeout_of(preferences, job.draft.timeout)
            return await self._hold(request, job, preferences, replayed=True)
        record = await supervisor.records.find(job_id)
        if record is None:
            raise Failure("job-expired", "The job of this Idempotency-Key has just expired; send the request again.")
        outcome = await Outcome.kept(supervisor, record)
        preferences = _with_timeout_of(preferences, record["timeout"])
        return self._told(request, outcome.response(request), preferences, replayed=True)

    def _told(
        self, request: web.Request, response: web.Response, preferences: Preferences, *, replayed: bool
    ) -> web.Response:
        """Adds what is said of the request to the answer, and counts it."""
        if applied := preferences.applied(response.status == 202):
            response.headers["Preference-Applied"] = applied
        if replayed:
            response.headers["Idempotency-Replayed"] = "true"
        self._context.metrics.answered(self._kind.name, response.status)
        return response


def check_free(catalog: Catalog, names: tuple[str, ...]) -> None:
    """Raises `Failure` when a stream that lives holds one of the names."""
    for reserved in names:
        sort, _, value = reserved.partition(":")
        holder = catalog.holder(value) if sort == "name" else catalog.holder_of_uri(value)
        if holder is not None:
            what = f"name {value!r}" if sort == "name" else "address"
            detail = f"The {what} belongs to the stream {holder.identity.name!r}; terminate it first."
            raise Failure("name-in-use" if sort == "name" else "uri-in-use", detail, streamId=holder.identity.id)


def _draft(request: web.Request, kind: Kind, plan: Plan, terms: tuple[str, Preferences, Claim | None]) -> Draft:
    job_id, preferences, claim = terms
    trace = TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    asked = {"method": "POST", "path": BASE + kind.path, "body": plan.echo}
    return Draft(
        kind=kind.name,
        pool=kind.pool,
        names=plan.names,
        files=plan.files,
        wait=preferences.wait,
        timeout=preferences.timeout,
        request={**asked, "key": key} if (key := owner(request)) else asked,
        id=job_id,
        timeout_cause=kind.timeout_cause,
        result_limit=kind.result_limit,
        claim=claim,
        request_id=request_id(request),
        trace=trace[1] if trace else "",
    )


def _claim(request: web.Request, content: dict[str, Any]) -> Claim | None:
    """The caller's key, and a hash of what its request comes down to: without `Prefer`, the order of members, and
    blanks.
    """
    lines = request.headers.getall(KEY_HEADER, [])
    if not lines:
        return None
    match = KEY.fullmatch(lines[0]) if len(lines) == 1 else None
    if match is None or not 1 <= len(match[1]) <= LONGEST_KEY:
        detail = f'The {KEY_HEADER} must be one string in quotes, of 1 to {LONGEST_KEY} characters: "8e03-…".'
        raise Failure("bad-request", detail)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    asked = f"{request.method} {request.path} {canonical}"
    # Two keys may choose the same words; each is a scope of its own.
    scope = f"{key}:" if (key := owner(request)) else ""
    return Claim(scope + match[1], hashlib.sha256(asked.encode()).hexdigest())


def _with_timeout_of(preferences: Preferences, timeout: float) -> Preferences:
    """The preferences of a replay. It changes nothing of its job, so another timeout than the job's is not honoured."""
    return replace(preferences, timeout_sent=preferences.timeout_sent and preferences.timeout == timeout)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job stands, as an HTTP answer (job-contract.md, "Answers"): also what `/jobs/{id}/result` says.

    Where there is a `result`, that is the answer, and nobody asks for the record.
    """

    job_id: str
    result: bytes | None
    record: Record = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether the job had not ended."""
        return self.result is None and self.record["error"] is None

    @classmethod
    def of(cls, supervisor: Supervisor, job: Job) -> "Outcome":
        """How a job in memory stands now."""
        return cls(job.id, job.result_json, supervisor.records.of(job) if job.result_json is None else {})

    @classmethod
    async def kept(cls, supervisor: Supervisor, record: Record) -> "Outcome":
        """How a job ended that has left memory. Raises `Failure` `job-expired` when it is dropped just now."""
        result = await supervisor.records.result(record["id"]) if record["state"] == State.DONE else None
        if record["state"] == State.DONE and result is None:
            raise Failure("job-expired", f"The job {record['id']} has ended, and its result is not kept any more.")
        return cls(record["id"], result, record)

    def response(self, request: web.Request) -> web.Response:
        """200 with the bare result, 202 with the job, or the failure's status with a problem that holds the job."""
        if self.result is not None:
            response = web.Response(body=self.result, content_type="application/json")
            response.headers[hdrs.CONTENT_LOCATION] = f"{job_path(self.job_id)}/result"
        elif self.record["error"] is not None:
            response = render(request, self.record["error"], instance=job_path(self.job_id), job=self.record)
        else:
            response = web.json_response(self.record, status=202)
            response.headers[hdrs.LOCATION] = job_path(self.job_id)
            response.headers[hdrs.RETRY_AFTER] = RETRY_AFTER
        return self._about(response)

    def unsaved(self, request: web.Request, record: Record) -> web.Response:
        """The answer when the job's record could not be written: nothing that a restart could take back is promised."""
        error = Failure("store-failing", UNSAVED).record()
        response = self._about(render(request, error, instance=job_path(self.job_id), job=record))
        response.headers[hdrs.RETRY_AFTER] = str(STORE_RETRY_AFTER)
        return response

    def _about(self, response: web.Response) -> web.Response:
        response.headers["Job-Id"] = self.job_id
        response.headers[hdrs.LINK] = f'<{job_path(self.job_id)}>; rel="monitor"'
        return response
