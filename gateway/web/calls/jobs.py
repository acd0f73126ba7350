"""Reading, awaiting, cancelling and forgetting jobs over HTTP (job-contract.md, "Cancel" and "Reading")."""

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import AwareDatetime, BeforeValidator, Field

from gateway import prefer
from gateway.jobs.failures import Failure
from gateway.jobs.feed import portable
from gateway.jobs.job import Job, Record, time_of_day
from gateway.jobs.ports import Query
from gateway.jobs.state import State
from gateway.jobs.storage.database import StoreError
from gateway.kinds.kind import Exact
from gateway.prefer import Preferences
from gateway.web import body
from gateway.web.access.principal import may_see, owner, sees_all
from gateway.web.calls.durable import GRACE, on_disk
from gateway.web.calls.durable import RETRY_AFTER as STORE_RETRY_AFTER
from gateway.web.calls.paging import PageParams, cursor, linked, no_cursor, position
from gateway.web.calls.selection import refuse_query, selection
from gateway.web.calls.submit import RETRY_AFTER, Outcome
from gateway.web.context import BASE, Context, job_path
from gateway.web.problems import reads_prefer

MAX_LIMIT: Final = 1000
USUAL_LIMIT: Final = 100
MOST_ALIKE: Final = 1000  # jobs of one millisecond
ID: Final = re.compile(r"[0-9a-f]{32}")
DATE: Final = re.compile(r"[0-9]{4}-")
ONE: Final = "{id:(?!(?:find|find_all|terminate|cancel)$)[^/]+}"  # these are paths of methods, not ids
ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')


class OneJob(Exact):
    """A job by its id."""

    id: str


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not DATE.match(value):
        raise ValueError("a time begins with a date")  # not a number, which pydantic would take for seconds
    return value


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]


class SomeJobs(Exact):
    """`id` asks for one job, and stands alone. `ids`, alone too, or the filters ask for an array, newest first. `since`
    and `until` (of the creation, both included) have a zone."""

    id: str | None = None
    ids: list[str] | None = Field(default=None, max_length=MAX_LIMIT)
    state: State | None = Field(default=None, strict=False)
    kind: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: int = Field(default=USUAL_LIMIT, ge=1, le=MAX_LIMIT)

    def check_alone(self) -> None:
        """Raises `Failure` when something is said beside `id` or `ids`, which would not narrow down what they name."""
        first = next((name for name in ("id", "ids") if getattr(self, name) is not None), None)
        if first and (more := self.model_fields_set - {first}):
            raise body.wrong(dict.fromkeys(sorted(more), f"It cannot be said beside {first}, which stands alone."))

    def query(self) -> Query:
        """The filters, as the store knows them."""
        return Query(
            None if self.state is None else [self.state],
            None if self.kind is None else [self.kind],
            None if self.since is None else _time(self.since),
            None if self.until is None else _time(self.until),
        )


def _time(at: datetime) -> str:
    try:
        return time_of_day(at.astimezone(UTC).timestamp())
    except (OverflowError, ValueError):  # the first and the last day that there are, in another zone
        return at.isoformat()


class JobPage(PageParams):
    """The newest jobs, or a page of them: `limit` (100) is how many at the most, `cursor` is from the `Link` with
    `rel="next"` of the answer before."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = USUAL_LIMIT

    def place(self) -> tuple[str | None, int, str]:
        """Where the list goes on: the time of creation, how many jobs of that time were given already, and the last."""
        if self.cursor is None:
            return None, 0, ""
        created, given, last = position(self.cursor, (str, int, str))
        if not 0 <= given <= MOST_ALIKE:
            raise no_cursor()
        return created, given, last


def routes(context: Context) -> list[web.RouteDef]:
    """All routes below `/jobs`."""
    jobs = _Jobs(context)
    return [
        web.post(f"{BASE}/jobs/find", jobs.find),
        web.get(f"{BASE}/jobs/find", jobs.find, allow_head=False),
        web.post(f"{BASE}/jobs/find_all", jobs.find_all),
        web.get(f"{BASE}/jobs/find_all", jobs.find_all, allow_head=False),
        web.post(f"{BASE}/jobs/terminate", jobs.terminate),
        web.post(f"{BASE}/jobs/cancel", jobs.terminate),
        web.get(f"{BASE}/jobs/{ONE}", jobs.get, allow_head=False),
        web.delete(f"{BASE}/jobs/{ONE}", jobs.delete),
        web.get(f"{BASE}/jobs/{ONE}/result", jobs.result, allow_head=False),
    ]


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The handlers."""

    context: Context

    async def find(self, request: web.Request) -> web.StreamResponse:
        """One job by `id`; an array by `ids` or filters, which may be empty."""
        preferences = self._preferences(request)
        wanted = await selection(request, SomeJobs)
        wanted.check_alone()
        if wanted.id is not None:
            return await self._one(request, wanted.id, preferences)
        if wanted.ids is not None:
            known = [each for each in wanted.ids if ID.fullmatch(each)]
            found = [await self.context.supervisor.records.find(each) for each in known]
            return web.json_response([portable(each) for each in found if each is not None and may_see(request, each)])
        return web.json_response(await self._list(request, wanted.limit, wanted.query()))

    async def find_all(self, request: web.Request) -> web.StreamResponse:
        """The newest jobs, or a page of them. Where the machine's clock was set back, a page may miss some."""
        asked = await selection(request, JobPage)
        created, given, last = asked.place()
        found = await self._list(request, given + asked.limit + 1, Query(until=created))
        ids = [job["id"] for job in found]
        start = ids.index(last) + 1 if last in ids else max(0, given - 1)  # it may be forgotten by now
        end = start + asked.limit
        response = web.json_response(found[start:end])
        if end < len(found):
            job = found[end - 1]
            alike = sum(each["createdAt"] == job["createdAt"] for each in found[:end])
            linked(request, response, cursor((job["createdAt"], alike, job["id"])), limit=asked.limit)
        return response

    async def get(self, request: web.Request) -> web.StreamResponse:
        """One job; 200 whatever its state."""
        return await self._one(request, request.match_info["id"], self._preferences(request))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """What the synchronous answer would have said; 202 while the job goes on."""
        reads_prefer(request)
        job_id = request.match_info["id"]
        record = await self._known(request, job_id)
        job = self.context.supervisor.get(job_id)
        if job is not None:
            await self._promised(job, 0.0)
            return Outcome.of(self.context.supervisor, job).response(request)
        record = await self._known(request, job_id)  # it has left memory meanwhile, so it has ended and is saved
        return (await Outcome.kept(self.context.supervisor, record)).response(request)

    async def terminate(self, request: web.Request) -> web.StreamResponse:
        """Asks for a job's end and holds until it has ended, as long as `Prefer: wait` says."""
        preferences = self._preferences(request)
        wanted = await selection(request, OneJob)
        record = await self._known(request, wanted.id)
        job = self.context.supervisor.get(wanted.id)
        if job is None or job.state.terminal:
            if job is not None:
                await self._promised(job, preferences.wait)
            return _cancelled(record)
        return await self._cancel(job, preferences)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Cancels a job that goes on; forgets one that has ended (204, and 410 from then on)."""
        refuse_query(request)
        preferences = self._preferences(request)
        job_id = request.match_info["id"]
        await self._known(request, job_id)
        job = self.context.supervisor.get(job_id)
        if job is not None and not job.state.terminal:
            return await self._cancel(job, preferences)
        try:
            async with asyncio.timeout(preferences.wait + GRACE):
                await self.context.supervisor.delete(job_id)
        except (StoreError, TimeoutError):
            detail = f"The job {job_id} is to be forgotten, but that is not on disk yet."
            raise Failure("store-failing", detail, retry_after=STORE_RETRY_AFTER) from None
        return web.Response(status=204)

    async def _cancel(self, job: Job, preferences: Preferences) -> web.StreamResponse:
        supervisor = self.context.supervisor
        supervisor.cancel(job.id)
        until = asyncio.get_running_loop().time() + preferences.wait
        held = await supervisor.wait(job, preferences.wait)
        response = _cancelled(supervisor.records.of(job))
        await self._promised(job, until - asyncio.get_running_loop().time())
        return _applied(response, preferences if held else None)

    async def _one(self, request: web.Request, job_id: str, preferences: Preferences) -> web.StreamResponse:
        """One job, now or after a long poll: until its end, or with If-None-Match until any change."""
        record = await self._known(request, job_id)
        job = self.context.supervisor.get(job_id)
        seen = _seen(request)
        waits = preferences.wait_sent
        if waits and job is not None:
            waits = await self._poll(job, preferences.wait, seen)
        if job is not None:
            record = self.context.supervisor.records.of(job)
            await self._promised(job, 0.0)
        if seen is not None and str(record["revision"]) in seen:
            response = web.Response(status=304, headers={hdrs.ETAG: _etag(record)})
        else:
            response = _shown(record)
        return _applied(response, preferences if waits else None)

    async def _promised(self, job: Job, seconds: float) -> None:
        """Waits until this version of a job is on disk: who is told of an end must find it after a restart, too.

        Of a job that goes on, any version will do. Waits for so many seconds and the grace. Raises `Failure`
        `store-failing`.
        """
        if not job.state.terminal and self.context.store.accepted(job.id):
            return
        if not await on_disk(self.context.store, job.id, max(0.0, seconds) + GRACE):
            detail = f"How the job {job.id} stands is not on disk yet; it is lost if the gateway ends now."
            raise Failure("store-failing", detail, retry_after=STORE_RETRY_AFTER)

    async def _poll(self, job: Job, seconds: float, seen: set[str] | None) -> bool:
        supervisor = self.context.supervisor
        if seen is None:
            return await supervisor.wait(job, seconds)
        if str(job.revision) in seen:
            return await supervisor.wait_change(job, job.revision, seconds)
        return True

    async def _list(self, request: web.Request, limit: int, query: Query) -> list[Record]:
        """The newest jobs that the caller may see."""
        mine = query if sees_all(request) else replace(query, owner=owner(request))
        return await self.context.supervisor.records.list(limit, mine)

    async def _known(self, request: web.Request, job_id: str) -> Record:
        if ID.fullmatch(job_id):
            record = await self.context.supervisor.records.find(job_id)
            if record is not None and may_see(request, record):
                return record
            if record is None and await self.context.supervisor.records.expired(job_id):
                raise Failure("job-expired", f"The job {job_id} has ended, and its record is not kept any more.")
        raise Failure("job-unknown", f"There is no job {job_id[:64]!r}.")

    def _preferences(self, request: web.Request) -> Preferences:
        reads_prefer(request)
        return prefer.parse(request.headers.getall("Prefer", []), self.context.prefer)


def _shown(record: Record) -> web.Response:
    response = web.json_response(record, headers={hdrs.ETAG: _etag(record)})
    if record["httpStatus"] is None:
        response.headers[hdrs.RETRY_AFTER] = RETRY_AFTER
    return response


def _cancelled(record: Record) -> web.Response:
    """200 when the job has ended as CANCELLED, 202 while it is still being stopped (job-contract.md, "Cancel")."""
    if record["state"] in (State.DONE, State.FAILED):
        detail = f"The job is {record['state']}; a stream that it made is ended by its own terminate."
        raise Failure("job-already-finished", detail, job=record)
    response = _shown(record)
    if record["httpStatus"] is None:
        response.set_status(202)
        response.headers[hdrs.LOCATION] = job_path(record["id"])
    return response


def _applied(response: web.Response, preferences: Preferences | None) -> web.Response:
    """Says that the wait was honoured, if there was one."""
    if preferences is not None and preferences.wait_sent:
        response.headers["Preference-Applied"] = f"wait={preferences.wait}"
    return response


def _etag(record: Record) -> str:
    return f'"{record["revision"]}"'


def _seen(request: web.Request) -> set[str] | None:
    """The revisions that the caller has; only a GET may ask by them (RFC 9110, 13.1.2)."""
    lines = request.headers.getall(hdrs.IF_NONE_MATCH, [])
    return set(ETAG.findall(", ".join(lines))) if lines and request.method == hdrs.METH_GET else None
