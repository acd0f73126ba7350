"""Reading and cancelling jobs over HTTP."""

from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from gateway import prefer
from gateway.jobs.failures import Failure
from gateway.jobs.job import Record
from gateway.jobs.state import State
from gateway.kinds.kind import Params
from gateway.web import body
from gateway.web.face import BASE, Face, job_path
from gateway.web.submit import ALWAYS, RETRY_AFTER, Outcome

MAX_LIMIT: Final = 1000


class OneJob(Params):
    """A job by its id."""

    id: str


class SomeJobs(Params):
    """`id` alone asks for one job; else the filters, newest first, for an array."""

    id: str | None = None
    ids: list[str] | None = Field(default=None, max_length=MAX_LIMIT)
    state: State | None = Field(default=None, strict=False)
    kind: str | None = None
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)


def routes(face: Face) -> list[web.RouteDef]:
    """All routes below `/jobs`."""
    jobs = _Jobs(face)
    return [
        web.post(f"{BASE}/jobs/find", jobs.find),
        web.get(f"{BASE}/jobs/find", jobs.find),
        web.post(f"{BASE}/jobs/find_all", jobs.find_all),
        web.get(f"{BASE}/jobs/find_all", jobs.find_all),
        web.post(f"{BASE}/jobs/terminate", jobs.terminate),
        web.post(f"{BASE}/jobs/cancel", jobs.terminate),
        web.get(f"{BASE}/jobs/{{id}}", jobs.get),
        web.get(f"{BASE}/jobs/{{id}}/result", jobs.result),
    ]


class _Jobs:
    """The handlers."""

    def __init__(self, face: Face) -> None:
        self._supervisor = face.supervisor
        self._store = face.store
        self._limits = face.prefer

    async def find(self, request: web.Request) -> web.StreamResponse:
        """One job by `id`; an array by `ids` or filters, which may be empty."""
        content = _query(request) if request.method == "GET" else await body.read_object(request, optional=True)
        wanted, _ = body.parse(SomeJobs, content)
        if wanted.id is not None:
            return _one(await self._known(wanted.id))
        if wanted.ids is not None:
            found = [await self._supervisor.find(each) for each in wanted.ids]
            return web.json_response([record for record in found if record is not None], headers=ALWAYS)
        return web.json_response(await self._list(wanted), headers=ALWAYS)

    async def find_all(self, request: web.Request) -> web.StreamResponse:
        """The newest jobs."""
        content = _query(request) if request.method == "GET" else await body.read_object(request, optional=True)
        wanted, _ = body.parse(SomeJobs, {key: content[key] for key in content if key == "limit"})
        return web.json_response(await self._list(wanted), headers=ALWAYS)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """One job; 200 whatever its state."""
        return _one(await self._known(request.match_info["id"]))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """What the synchronous answer would have said; 202 while the job goes on."""
        record = await self._known(request.match_info["id"])
        return Outcome(record, await self._supervisor.result(record["id"])).response(request)

    async def terminate(self, request: web.Request) -> web.StreamResponse:
        """Asks for a job's end and holds until it has ended, as long as `Prefer: wait` says."""
        preferences = prefer.parse(request.headers.getall("Prefer", []), self._limits)
        wanted, _ = body.parse(OneJob, await body.read_object(request))
        record = await self._known(wanted.id)
        job = self._supervisor.get(wanted.id)
        if job is None or job.state.terminal:
            return _cancelled(record)
        self._supervisor.cancel(wanted.id)
        await self._supervisor.wait(job, preferences.wait)
        response = _cancelled(self._supervisor.record(job))
        await self._store.flush()
        return response

    async def _known(self, job_id: str) -> Record:
        record = await self._supervisor.find(job_id)
        if record is None:
            raise Failure("job-unknown", f"There is no job {job_id[:64]!r}.")
        return record

    async def _list(self, wanted: SomeJobs) -> list[Record]:
        states = None if wanted.state is None else [wanted.state]
        kinds = None if wanted.kind is None else [wanted.kind]
        return await self._supervisor.list(wanted.limit, states, kinds)


def _one(record: Record) -> web.Response:
    response = web.json_response(record, headers=ALWAYS)
    response.headers[hdrs.ETAG] = f'"{record["revision"]}"'
    if record["httpStatus"] is None:
        response.headers[hdrs.RETRY_AFTER] = RETRY_AFTER
    return response


def _cancelled(record: Record) -> web.Response:
    """200 when the job has ended as CANCELLED, 202 while its worker is still being stopped (contract, D51 and D53)."""
    if record["state"] in (State.DONE, State.FAILED):
        detail = f"The job is {record['state']}; a stream that it made is ended by its own terminate."
        raise Failure("job-already-finished", detail, job=record)
    response = _one(record)
    if record["httpStatus"] is None:
        response.set_status(202)
        response.headers[hdrs.LOCATION] = job_path(record["id"])
    return response


def _query(request: web.Request) -> dict[str, Any]:
    """A query string as if it had been a body: whole numbers are numbers."""
    return {key: int(value) if value.isascii() and value.isdigit() else value for key, value in request.query.items()}
