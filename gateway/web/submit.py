"""Job methods over HTTP: admit, hold for `wait`, answer as the job then stands (contract, sections 2 and 3)."""

import secrets
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway import prefer
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Record
from gateway.kinds.kind import Ask, Kind, Plan
from gateway.web import body
from gateway.web.face import BASE, Face, job_path
from gateway.web.problems import render
from media.catalog import Catalog

RETRY_AFTER: Final = "1"  # seconds, on every answer about a job that goes on

# A job's own answers say what they depend on and are nobody's to keep (RFC 7240, section 2: Vary regardless).
ALWAYS: Final = {hdrs.VARY: "Prefer", hdrs.CACHE_CONTROL: "no-store"}


def handler(kind: Kind, face: Face) -> Handler:
    """The handler of one job method."""

    async def submit(request: web.Request) -> web.StreamResponse:
        preferences = prefer.parse(request.headers.getall("Prefer", []), face.prefer)
        content = await body.read_object(request)
        params, ignored = body.parse(kind.params, content, strict=preferences.handling == "strict")
        job_id = secrets.token_hex(16)
        plan = await kind.plan(params, Ask(job_id, ignored), face.parts)
        check_free(face.parts.catalog, plan.names)
        job = face.supervisor.submit(_draft(kind, plan, job_id, preferences), plan.work)
        if not await face.supervisor.wait(job, preferences.wait):
            preferences = replace(preferences, wait_sent=False)  # too many wait already: not honoured, not echoed
        # Read once, with no await in between: 200 says DONE and 202 says not ended, whatever happens next (D4, D6).
        answer = Outcome(face.supervisor.record(job), job.result_json)
        await face.store.flush()
        response = answer.response(request)
        if applied := preferences.applied(response.status == 202):
            response.headers["Preference-Applied"] = applied
        return response

    return submit


def check_free(catalog: Catalog, names: tuple[str, ...]) -> None:
    """Raises `Failure` when a stream that lives holds one of the names."""
    for reserved in names:
        sort, _, value = reserved.partition(":")
        holder = catalog.holder(value) if sort == "name" else catalog.holder_of_uri(value)
        if holder is not None:
            what = f"name {value!r}" if sort == "name" else "address"
            detail = f"The {what} belongs to the stream {holder.identity.name!r}; terminate it first."
            raise Failure(f"{sort}-in-use", detail, streamId=holder.identity.id)


def _draft(kind: Kind, plan: Plan, job_id: str, preferences: prefer.Preferences) -> Draft:
    return Draft(
        kind=kind.name,
        pool=kind.pool,
        names=plan.names,
        wait=preferences.wait,
        timeout=preferences.timeout,
        request={"method": "POST", "path": BASE + kind.path, "body": plan.echo},
        id=job_id,
        timeout_cause=kind.timeout_cause,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job stands, as an HTTP answer (contract, section 2.5): also what `/jobs/{id}/result` says."""

    record: Record
    result: bytes | None

    def response(self, request: web.Request) -> web.Response:
        """200 with the bare result, 202 with the job, or the failure's status with a problem that holds the job."""
        job_id = self.record["id"]
        if self.result is not None:
            response = web.Response(body=self.result, content_type="application/json")
            response.headers[hdrs.CONTENT_LOCATION] = f"{job_path(job_id)}/result"
        elif self.record["error"] is not None:
            response = render(request, self.record["error"], instance=job_path(job_id), job=self.record)
        else:
            response = web.json_response(self.record, status=202)
            response.headers[hdrs.LOCATION] = job_path(job_id)
            response.headers[hdrs.RETRY_AFTER] = RETRY_AFTER
        response.headers.update(ALWAYS)
        response.headers["Job-Id"] = job_id
        response.headers[hdrs.LINK] = f'<{job_path(job_id)}>; rel="monitor"'
        return response
