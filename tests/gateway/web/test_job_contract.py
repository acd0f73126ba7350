"""The contract of a job over HTTP, in virtual time: how long a request is held, and what it is then told."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.prefer import parse
from tests.gateway.test_prefer import HEADERS, VECTORS
from tests.support.fakes import BASE, CANARY, LIMITS, PREFER, Answer, HttpWorld, serving

pytestmark = pytest.mark.looptime


@pytest.fixture
async def world() -> AsyncIterator[HttpWorld]:
    async with serving(HttpWorld()) as world:
        yield world


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


def check_job_headers(answer: Answer, job_id: str) -> None:
    """What every answer about a job carries."""
    assert answer.headers["Job-Id"] == job_id
    assert answer.headers["Link"] == f'<{BASE}/jobs/{job_id}>; rel="monitor"'
    assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Prefer", "no-store")
    located = "Location" in answer.headers
    assert located == (answer.status == 202)
    assert ("Content-Location" in answer.headers) == (answer.status == 200)
    if answer.status in (202, 503):
        assert re.fullmatch("[1-9][0-9]*", answer.headers["Retry-After"])


async def test_no_header_waits_five_then_202(world: HttpWorld) -> None:
    answer = await world.start(seconds=8)
    assert (answer.status, now(), answer.body["state"]) == (202, 5.0, "RUNNING")
    assert "Preference-Applied" not in answer.headers
    assert answer.headers["Location"] == f"{BASE}/jobs/{answer.body['id']}"
    check_job_headers(answer, answer.body["id"])


@pytest.mark.parametrize("prefer", ["wait=3", "respond-async, wait=3", "respond-async"])
async def test_done_within_wait_is_200_with_bare_result(world: HttpWorld, prefer: str) -> None:
    answer = await world.start(prefer, seconds=0.2, name="lobby")
    assert (answer.status, now()) == (200, 0.2)
    assert answer.body == {"name": "lobby", "slept": 0.2, "text": "höhe"}
    check_job_headers(answer, answer.headers["Job-Id"])


@pytest.mark.parametrize(
    ("prefer", "applied"), [("wait=1", "wait=1"), ("respond-async, wait=1", "respond-async, wait=1")]
)
async def test_wait_without_respond_async_is_the_same_but_for_the_echo(
    world: HttpWorld, prefer: str, applied: str
) -> None:
    answer = await world.start(prefer, seconds=8)
    assert (answer.status, now(), answer.headers["Preference-Applied"]) == (202, 1.0, applied)


async def test_respond_async_alone_waits_five(world: HttpWorld) -> None:
    answer = await world.start("respond-async", seconds=8)
    assert (answer.status, now(), answer.headers["Preference-Applied"]) == (202, 5.0, "respond-async")


async def test_wait_zero_is_always_202(world: HttpWorld) -> None:
    answer = await world.start("wait=0", seconds=0)
    assert (answer.status, now(), answer.body["state"]) == (202, 0.0, "RUNNING")


async def test_result_equals_job_result_and_content_location(world: HttpWorld) -> None:
    answer = await world.start(seconds=0.1, name="lobby")
    job = await world.job(answer.headers["Job-Id"])
    replay = await world.get(answer.headers["Content-Location"])
    assert job["result"] == answer.body
    assert (replay.status, replay.content) == (200, answer.content)
    check_job_headers(replay, job["id"])


async def test_wait_over_limit_is_clamped_and_echoed(world: HttpWorld) -> None:
    answer = await world.start("wait=600, timeout=6000", seconds=8)
    assert (answer.status, now()) == (202, 5.0)
    assert answer.headers["Preference-Applied"] == "wait=5, timeout=60"
    assert (answer.body["wait"], answer.body["timeout"]) == (5, 60)
    assert await world.metric('gateway_prefer_clamped_total{preference="wait"}') == 1


@pytest.mark.parametrize(("lines", "wait", "timeout", "with_200", "with_202"), VECTORS)
async def test_every_vector_of_2_6(
    world: HttpWorld, lines: list[str], wait: int, timeout: int, with_200: str, with_202: str
) -> None:
    slow = await world.start(lines, seconds=100, name="slow")
    cut_short = timeout < wait
    assert (slow.status, now()) == ((504, timeout + 0.1) if cut_short else (202, float(wait)))
    assert slow.headers.get("Preference-Applied", "") == (with_200 if cut_short else with_202)
    job = slow.body["job"] if cut_short else slow.body
    assert (job["wait"], job["timeout"]) == (wait, timeout)
    quick = await world.start(lines, name="quick")
    assert quick.headers.get("Preference-Applied", "") == (with_202 if wait == 0 else with_200)
    assert quick.status == (202 if wait == 0 else 200)


async def test_several_prefer_lines_equal_one(world: HttpWorld) -> None:
    one = await world.start("respond-async, wait=1, timeout=9", seconds=20)
    many = await world.start(["respond-async", "wait=1", "timeout=9"], seconds=20)
    assert one.headers["Preference-Applied"] == many.headers["Preference-Applied"]
    assert (one.body["timeout"], many.body["timeout"]) == (9, 9)


def test_prefer_fuzz_never_errors() -> None:
    """Any header that HTTP lets through: the same answer as the parser's word, and never an error."""

    async def ask(lines: list[str]) -> None:
        async with serving(HttpWorld()) as world:
            expected = parse(lines, PREFER)
            answer = await world.start(lines)
            assert answer.status == (202 if expected.wait == 0 else 200)
            assert answer.headers.get("Preference-Applied", "") == expected.applied(expected.wait == 0)

    legal = HEADERS.filter(lambda text: text.isascii() and text.isprintable()).map(str.strip)

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(legal, max_size=3))
    def fuzz(lines: list[str]) -> None:
        import looptime

        loop = looptime.new_event_loop()
        try:
            loop.run_until_complete(ask(lines))
        finally:
            loop.close()

    fuzz()


@pytest.mark.parametrize("cancels", [False, True], ids=["handler-lives", "handler-is-cancelled"])
async def test_disconnect_keeps_job(cancels: bool) -> None:
    async with serving(HttpWorld(), handler_cancellation=cancels) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        content = json.dumps({"seconds": 1.0, "name": "lobby"}).encode()
        head = f"POST {BASE}/fake/startup HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await asyncio.sleep(0.2)
        assert world.supervisor.waiting == 1
        (job,) = world.supervisor.active()
        writer.transport.abort()
        await asyncio.sleep(0.1)
        assert world.supervisor.waiting == (0 if cancels else 1)
        await asyncio.sleep(1.0)
        assert (await world.job(job.id))["state"] == "DONE"
        assert (world.published, world.supervisor.waiting) == (["lobby"], 0)
        assert await world.metric("gateway_job_waiters") == 0
        del reader


async def test_timeout_inside_wait_is_504_cancelled(world: HttpWorld) -> None:
    answer = await world.start("wait=4, timeout=1", seconds=30)
    assert (answer.status, now(), answer.body["code"]) == (504, 1.1, "job-timeout")
    assert (answer.body["job"]["state"], answer.body["job"]["cancelReason"]) == ("CANCELLED", "timeout")
    assert answer.body["instance"] == f"{BASE}/jobs/{answer.headers['Job-Id']}"
    check_job_headers(answer, answer.body["job"]["id"])


async def test_timeout_after_202_is_cancelled_in_find(world: HttpWorld) -> None:
    answer = await world.start("wait=1, timeout=2", seconds=30)
    await asyncio.sleep(1.2)
    job = await world.job(answer.body["id"])
    assert (job["state"], job["error"]["code"], job["httpStatus"]) == ("CANCELLED", "job-timeout", 504)
    assert (await world.get(job["links"]["result"])).status == 504


async def test_a_job_that_is_still_being_stopped_is_202_with_its_flag(world: HttpWorld) -> None:
    answer = await world.start("wait=2, timeout=2", way="late", seconds=0.5)
    assert (answer.status, now()) == (202, 2.0)
    await asyncio.sleep(0.1)
    job = await world.job(answer.body["id"])
    assert (job["state"], job["cancelRequested"], job["cancelReason"]) == ("RUNNING", True, "timeout")


async def test_pending_job_times_out(world: HttpWorld) -> None:
    for _ in range(2):
        await world.start("wait=0", seconds=30)
    answer = await world.start("wait=4, timeout=1")
    assert (answer.status, now(), answer.body["job"]["startedAt"]) == (504, 1.0, None)
    assert (answer.body["phase"], world.works[-1].held) == ("queued", False)


async def test_a_pending_job_tells_its_place_in_the_queue(world: HttpWorld) -> None:
    for _ in range(3):
        await world.start("wait=0", seconds=3)
    answer = await world.start("wait=1", seconds=3)
    assert (answer.status, answer.body["state"], answer.body["queuePosition"]) == (202, "PENDING", 2)
    assert answer.headers["Retry-After"] == "1"


async def test_failure_inside_wait_is_mapped_problem_with_job(world: HttpWorld) -> None:
    answer = await world.start(way="fail", seconds=0.3)
    assert (answer.status, now(), answer.body["code"], answer.body["phase"]) == (
        502,
        0.3,
        "source-refused",
        "connecting",
    )
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert (answer.body["retryable"], answer.body["job"]["state"]) == (True, "FAILED")
    check_job_headers(answer, answer.body["job"]["id"])
    replay = await world.get(f"{BASE}/jobs/{answer.headers['Job-Id']}/result")
    assert (replay.status, replay.body | {"requestId": ""}) == (502, answer.body | {"requestId": ""})


async def test_late_success_after_timeout_leaves_no_stream(world: HttpWorld) -> None:
    answer = await world.start("timeout=1", way="late", seconds=0.1)
    assert (answer.status, world.published, world.works[0].held) == (504, [], False)


async def test_cancel_waits_until_the_worker_is_gone(world: HttpWorld) -> None:
    started = await world.start("wait=0", seconds=30, name="lobby")
    cancelled = await world.post("/jobs/terminate", {"id": started.body["id"]}, "wait=2")
    assert (cancelled.status, now(), cancelled.body["state"]) == (200, 0.1, "CANCELLED")
    assert cancelled.headers["Preference-Applied"] == "wait=2"
    again = await world.post("/jobs/cancel", {"id": started.body["id"]})
    assert (again.status, again.body) == (200, cancelled.body)


async def test_cancelled_only_after_worker_gone(world: HttpWorld) -> None:
    started = await world.start("wait=0", way="late", seconds=0.2)
    cancelled = await world.post("/jobs/terminate", {"id": started.body["id"]}, "wait=0")
    assert (cancelled.status, cancelled.body["state"], cancelled.body["cancelReason"]) == (202, "RUNNING", "client")
    assert cancelled.headers["Location"] == f"{BASE}/jobs/{started.body['id']}"
    assert world.works[0].held
    await asyncio.sleep(0.25)
    assert ((await world.job(started.body["id"]))["state"], world.works[0].held) == ("CANCELLED", False)


async def test_a_job_cancelled_by_someone_else_is_409_for_its_caller(world: HttpWorld) -> None:
    waiting = asyncio.create_task(world.start(seconds=30))
    await asyncio.sleep(1.0)
    (job,) = world.supervisor.active()
    await world.request("DELETE", f"{BASE}/jobs/{job.id}")
    answer = await waiting
    assert (answer.status, answer.body["code"], now()) == (409, "job-cancelled", 1.1)


async def test_cancel_done_is_409_and_stream_stays(world: HttpWorld) -> None:
    done = await world.start(name="lobby")
    answer = await world.post("/jobs/terminate", {"id": done.headers["Job-Id"]})
    assert (answer.status, answer.body["code"], answer.body["job"]["state"]) == (409, "job-already-finished", "DONE")
    assert (world.published, world.works[0].held) == (["lobby"], True)


async def test_zombie_is_told_and_keeps_slot_and_name(world: HttpWorld) -> None:
    answer = await world.start("timeout=1", way="unkillable", name="lobby")
    assert (answer.status, now(), answer.body["job"]["zombie"]) == (504, 2.3, True)
    assert await world.metric('gateway_jobs{kind="fake.startup",phase="zombie"}') == 1
    assert await world.metric('gateway_job_worker_kills_total{kind="fake.startup"}') == 1
    busy = await world.start(name="lobby")
    job_id = answer.headers["Job-Id"]
    assert (busy.status, busy.body["code"], busy.body["holder"]) == (409, "resource-busy", job_id)
    assert busy.headers["Link"] == f'<{BASE}/jobs/{job_id}>; rel="monitor"'
    assert (await world.request("DELETE", f"{BASE}/jobs/{job_id}")).status == 409
    await world.start("wait=0", seconds=3)
    pending = await world.start("wait=0")
    assert pending.body["state"] == "PENDING"
    world.works[0].end.set()
    await asyncio.sleep(0.01)
    assert (await world.start("wait=4", name="lobby")).status == 200
    assert await world.metric('gateway_jobs{kind="fake.startup",phase="zombie"}') == 0
    assert "zombie" not in await world.job(job_id)


async def test_name_blocked_until_worker_gone(world: HttpWorld) -> None:
    started = await world.start("wait=0", way="late", seconds=0.2, name="lobby")
    await world.post("/jobs/terminate", {"id": started.body["id"]}, "wait=0")
    busy = await world.start(name="lobby")
    assert (busy.status, busy.body["code"], "Job-Id" in busy.headers) == (409, "resource-busy", False)
    assert int(busy.headers["Retry-After"]) >= 1
    await asyncio.sleep(0.3)
    assert (await world.start(name="lobby")).status == 200


async def test_of_two_starts_of_one_name_one_is_accepted(world: HttpWorld) -> None:
    answers = await asyncio.gather(*(world.start(seconds=1, name="lobby") for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]


async def test_queue_full_is_503_without_job(world: HttpWorld) -> None:
    for _ in range(5):
        assert (await world.start("wait=0", seconds=9)).status == 202
    answer = await world.start()
    assert (answer.status, answer.body["code"], answer.headers["Vary"]) == (503, "queue-full", "Prefer")
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert "Job-Id" not in answer.headers
    assert len((await world.get(f"{BASE}/jobs/find_all")).body) == 5
    assert await world.metric('gateway_jobs_refused_total{kind="fake.startup",reason="queue-full"}') == 1
    other = await world.post("/other/startup", {})
    assert other.status == 200


async def test_a_refusal_varies_by_prefer_too(world: HttpWorld) -> None:
    bodies: list[dict[str, Any]] = [{"name": "nobody"}, {"seconds": "x"}]
    for body in bodies:
        answer = await world.start(**body)
        assert (answer.status in (404, 422), answer.headers["Vary"]) == (True, "Prefer")
        assert "Job-Id" not in answer.headers


async def test_the_last_waiter_but_one_is_held_and_one_more_is_not() -> None:
    async with serving(HttpWorld(max_waiters=1)) as world:
        held = asyncio.create_task(world.start("wait=3", seconds=9))
        await asyncio.sleep(0.1)
        at_once = await world.start("wait=3, timeout=9", seconds=9)
        assert (at_once.status, now(), at_once.headers["Preference-Applied"]) == (202, 0.1, "timeout=9")
        refused = await world.request("POST", "/rest-api/fake/startup", {})
        assert (refused.status, refused.body["code"]) == (503, "capacity-exceeded")
        assert (await held).status == 202


async def test_the_upload_of_the_body_does_not_eat_the_wait(world: HttpWorld) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    content = json.dumps({"seconds": 30}).encode()
    head = f"POST {BASE}/fake/startup HTTP/1.1\r\nHost: x\r\nPrefer: wait=2\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content[:3])
    await asyncio.sleep(3.0)
    writer.write(content[3:])
    line = await reader.readline()
    assert (line.split()[1], now()) == (b"202", 5.0)
    writer.close()


# Callers who know no jobs.


async def test_who_knows_no_jobs_is_never_answered_202(world: HttpWorld) -> None:
    slow = await world.request("POST", "/rest-api/fake/startup", {"seconds": 20, "name": "a"}, "wait=0, timeout=30")
    assert (slow.status, now()) == (200, 20.0)
    timed_out = await world.request("POST", "/rest-api/fake/startup", {"seconds": 90}, "respond-async, wait=0")
    assert (timed_out.status, now()) == (504, 80.1)


async def test_who_knows_no_jobs_is_answered_503_when_a_shutdown_comes_first(world: HttpWorld) -> None:
    held = asyncio.create_task(world.request("POST", "/rest-api/fake/startup", {"seconds": 3}))
    await asyncio.sleep(1.0)
    drain = asyncio.create_task(world.supervisor.drain(10.0))
    answer = await held
    assert (answer.status, answer.body["code"], now()) == (503, "draining", 1.0)
    await drain


# Reading.


async def test_long_poll_returns_on_finish(world: HttpWorld) -> None:
    started = await world.start("wait=0", seconds=2, name="lobby")
    path = f"{BASE}/jobs/{started.body['id']}"
    polled = await world.get(path, "wait=5")
    assert (polled.status, now(), polled.body["state"], polled.headers["Preference-Applied"]) == (
        200,
        2.0,
        "DONE",
        "wait=5",
    )
    assert "Retry-After" not in polled.headers
    again = await world.start("wait=0", seconds=30)
    polled = await world.post("/jobs/find", {"id": again.body["id"]}, "wait=3, respond-async")
    assert (polled.status, now(), polled.body["state"], polled.headers["Retry-After"]) == (200, 5.0, "RUNNING", "1")
    assert polled.headers["Preference-Applied"] == "wait=3"


async def test_long_poll_without_header_is_immediate(world: HttpWorld) -> None:
    started = await world.start("wait=0", seconds=2)
    polled = await world.get(f"{BASE}/jobs/{started.body['id']}")
    assert (polled.status, now(), "Preference-Applied" in polled.headers) == (200, 0.0, False)
    assert polled.headers["ETag"] == f'"{polled.body["revision"]}"'


async def test_a_poll_for_any_change_is_woken_by_one_and_is_304_without(world: HttpWorld) -> None:
    started = await world.start("wait=0", seconds=4, stages=2)
    path = f"{BASE}/jobs/{started.body['id']}"
    tag = (await world.get(path)).headers["ETag"]
    unchanged = await world.get(path, "wait=1", If_None_Match=tag)
    assert (unchanged.status, now(), unchanged.headers["ETag"], unchanged.content) == (304, 1.0, tag, b"")
    changed = await world.get(path, "wait=5", If_None_Match=f'"7777", W/{tag}')
    assert (changed.status, now(), changed.body["stage"]) == (200, 2.0, "stage-1")
    done = await world.get(path, "wait=5", If_None_Match=changed.headers["ETag"])
    assert (done.status, now(), done.body["state"]) == (200, 4.0, "DONE")
    last = await world.get(path, "wait=5", If_None_Match=done.headers["ETag"])
    assert (last.status, now()) == (304, 4.0)


async def test_find_by_filters_is_an_array_and_by_id_one_job(world: HttpWorld) -> None:
    first = await world.start(name="a")
    await asyncio.sleep(10)
    second = await world.start(way="fail", name="b")
    third = await world.post("/other/startup", {"seconds": 30}, "wait=0")
    ids = [first.headers["Job-Id"], second.headers["Job-Id"], third.body["id"]]

    async def find(**query: Any) -> list[str]:
        answer = await world.post("/jobs/find", query)
        assert answer.status == 200
        return [job["id"] for job in answer.body]

    assert await find() == ids[::-1]
    assert await find(limit=1) == ids[2:]
    assert await find(state="FAILED") == [ids[1]]
    assert await find(state="CANCELLED") == []
    assert await find(kind="fake.startup") == ids[1::-1]
    assert await find(ids=[ids[0], "0" * 32, "x"]) == [ids[0]]
    assert await find(since=third.body["createdAt"]) == ids[:0:-1]
    assert await find(since="2001-09-09T03:46:45+02:00") == ids[:0:-1]
    assert await find(since="0001-01-01T00:00:00+14:00") == ids[::-1]
    one = await world.get(f"{BASE}/jobs/find?id={ids[0]}")
    assert one.body["id"] == ids[0]
    for bad in ({"since": "yesterday"}, {"since": "2001-09-09T03:46:45"}, {"state": "GONE"}, {"limit": 0}):
        assert (await world.post("/jobs/find", bad)).status == 422
    for handling in (None, "handling=lenient", "handling=strict"):
        assert (await world.post("/jobs/find", {"jib": 1}, handling)).status == 422


async def test_jobs_are_listed_in_pages_also_those_of_one_millisecond(world: HttpWorld) -> None:
    for _ in range(3):
        await asyncio.gather(*(world.start() for _ in range(4)))  # at one time
        await asyncio.sleep(1)
    await world.start("wait=0", seconds=60)  # one is in memory still
    whole = [job["id"] for job in (await world.get(f"{BASE}/jobs/find_all")).body]
    assert len(whole) == 13
    for limit in (1, 2, 3, 5, 13):
        target, seen = f"{BASE}/jobs/find_all?limit={limit}", []
        while target:
            page = await world.get(target)
            assert len(page.body) <= limit
            seen += [job["id"] for job in page.body]
            target = page.headers.get("Link", "").partition(">")[0].removeprefix("<")
        assert seen == whole
    first = await world.get(f"{BASE}/jobs/find_all?limit=7")
    gone = first.body[-1]["id"]
    assert (await world.request("DELETE", f"{BASE}/jobs/{gone}")).status == 204
    rest = await world.get(first.headers["Link"].partition(">")[0].removeprefix("<"))
    assert [job["id"] for job in rest.body] == whole[7:]


async def test_forgotten_and_expired_are_410_and_unknown_404(world: HttpWorld) -> None:
    done = (await world.start(name="a")).headers["Job-Id"]
    path = f"{BASE}/jobs/{done}"
    assert (await world.request("DELETE", path)).status == 204
    for method, where in (("GET", path), ("GET", f"{path}/result"), ("DELETE", path)):
        gone = await world.request(method, where)
        assert (gone.status, gone.body["code"]) == (410, "job-expired")
    assert (await world.post("/jobs/terminate", {"id": done})).status == 410
    for unknown in ("0" * 32, "x", "A" * 32, "0" * 33):
        answer = await world.get(f"{BASE}/jobs/{unknown}")
        assert (answer.status, answer.body["code"]) == (404, "job-unknown")
    aged = (await world.start(name="b")).headers["Job-Id"]
    await asyncio.sleep(999)
    await world.retention.run_once()
    assert (await world.job(aged))["state"] == "DONE"
    await asyncio.sleep(2)
    await world.retention.run_once()
    assert (await world.get(f"{BASE}/jobs/{aged}")).status == 410
    assert await world.metric('gateway_jobs_evicted_total{why="age"}') == 1


async def test_delete_of_a_job_that_goes_on_is_its_cancel(world: HttpWorld) -> None:
    started = await world.start("wait=0", seconds=30)
    answer = await world.request("DELETE", f"{BASE}/jobs/{started.body['id']}")
    assert (answer.status, answer.body["state"]) == (200, "CANCELLED")


# The same request again.

KEY = {"Idempotency_Key": '"8e03978e-40d5"'}


async def test_idempotency_twenty_parallel_one_job(world: HttpWorld) -> None:
    posts = (world.start(f"wait={number % 6}", KEY, seconds=2.5, name="a") for number in range(20))
    answers = await asyncio.gather(*posts)
    assert len({answer.headers["Job-Id"] for answer in answers}) == 1
    assert (len(world.works), world.published) == (1, ["a"])
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 19
    for number, answer in enumerate(answers):
        assert answer.status == (200 if number % 6 >= 3 else 202)
    assert await world.metric("gateway_idempotent_replays_total") == 19


async def test_a_finished_job_is_replayed_byte_for_byte(world: HttpWorld) -> None:
    first = await world.start(None, KEY, name="a")
    again = await world.start("wait=0, timeout=7", KEY, name="a")
    assert (again.status, again.content) == (200, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Preference-Applied"] == "wait=0"
    failed = await world.start(None, {"Idempotency_Key": '"f"'}, way="fail")
    again = await world.start(None, {"Idempotency_Key": '"f"'}, way="fail")
    assert (again.status, again.body | {"requestId": ""}) == (502, failed.body | {"requestId": ""})


async def test_idempotency_mismatch_422(world: HttpWorld) -> None:
    first = await world.start(None, KEY, name="a")
    for path, body in (("/fake/startup", {"name": "b"}), ("/other/startup", {"name": "a"})):
        answer = await world.post(path, body, None, **KEY)
        assert (answer.status, answer.body["code"]) == (422, "idempotency-mismatch")
    assert len(world.works) == 1
    reordered = await world.post("/fake/startup", {"seconds": None, "name": "a"}, None, **KEY)
    assert reordered.headers["Job-Id"] == first.headers["Job-Id"]


async def test_a_refused_request_does_not_use_up_its_key(world: HttpWorld) -> None:
    blocker = await world.start("wait=0", seconds=1, name="a")
    assert (await world.start(None, KEY, name="a")).status == 409
    await world.get(f"{BASE}/jobs/{blocker.body['id']}", "wait=5")
    assert (await world.start(None, KEY, name="a")).status == 200
    assert "Idempotency-Replayed" not in (await world.start(None, {"Idempotency_Key": '"n"'}, name="b")).headers


async def test_a_key_lives_as_long_as_its_job(world: HttpWorld) -> None:
    first = (await world.start(None, KEY, name="a")).headers["Job-Id"]
    await world.request("DELETE", f"{BASE}/jobs/{first}")
    second = await world.start(None, KEY, name="a")
    assert (second.status, second.headers["Job-Id"] == first) == (200, False)


@pytest.mark.parametrize("key", ["8e03978e", '""', '"a', 'a"', '"a" "b"', '"é"', '"a\\b"', f'"{"x" * 256}"'])
async def test_a_bad_key_is_400(world: HttpWorld, key: str) -> None:
    answer = await world.start(None, {"Idempotency_Key": key})
    assert (answer.status, answer.body["code"], world.works) == (400, "bad-request", [])


@pytest.mark.parametrize("key", ['"x"', '"a \\" \\\\ b"', f'"{"x" * 255}"', ' "blank" '])
async def test_a_good_key_is_any_string(world: HttpWorld, key: str) -> None:
    assert (await world.start(None, {"Idempotency_Key": key})).status == 200


# The end.


async def test_shutdown_wakes_waiters(world: HttpWorld) -> None:
    held = [asyncio.create_task(world.start(seconds=3)) for _ in range(3)]
    await asyncio.sleep(1.0)
    drain = asyncio.create_task(world.supervisor.drain(10.0))
    answers = [await each for each in held]
    assert now() == 1.0
    assert sorted(answer.status for answer in answers) == [202, 202, 503]
    assert (await world.get("/readyz")).status == 503
    assert (await world.get("/livez")).status == 200
    refused = await world.start()
    assert (refused.status, refused.body["code"]) == (503, "draining")
    assert (refused.headers["Connection"], 1 <= int(refused.headers["Retry-After"]) <= 10) == ("close", True)
    await drain
    assert now() == 3.0


async def test_retention_never_drops_awaited() -> None:
    from gateway.jobs.ports import Keep

    async with serving(HttpWorld(keep=Keep(count=0))) as world:
        held = asyncio.create_task(world.start(seconds=1, name="a"))
        for _ in range(12):
            await asyncio.sleep(0.1)
            await world.retention.run_once()
        answer = await held
        assert (answer.status, answer.body["name"]) == (200, "a")
        assert (await world.get(f"{BASE}/jobs/{answer.headers['Job-Id']}")).status == 410


async def test_no_password_anywhere(world: HttpWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    seen = []
    for way in ("sleep", "fail", "crash"):
        answer = await world.start(way=way, password=CANARY)
        seen += [answer.content.decode(), str(answer.headers)]
    seen += [(await world.get(path)).content.decode() for path in (f"{BASE}/jobs/find_all", "/metrics")]
    seen += [json.dumps(record, default=str) for record in world.archive.records.values()]
    seen += [str(record.__dict__) for record in caplog.records]
    assert not any(CANARY in text for text in seen)


async def test_a_work_runs_under_the_trace_of_its_own_request_also_after_a_queue(world: HttpWorld) -> None:
    traces = {name: f"{number:032x}" for number, name in enumerate("abcd", start=1)}
    for name, trace in traces.items():
        await world.start("wait=0", {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}, name=name, seconds=1.0)
    await asyncio.sleep(3.0)
    assert world.traces == traces


async def test_each_line_of_a_job_carries_the_request(world: HttpWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await world.start(None, {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}, name="a")
    lines = [record.__dict__ for record in caplog.records if record.message == "job-moved"]
    assert [(line["to"], line["state"]) for line in lines] == [
        ("queued", "PENDING"),
        ("working", "RUNNING"),
        ("gone", "DONE"),
    ]
    assert {line["job"] for line in lines} == {answer.headers["Job-Id"]}
    assert {line["trace"] for line in lines} == {trace}
    assert len({line["request_id"] for line in lines}) == 1
    assert [line["rev"] for line in lines] == sorted({line["rev"] for line in lines})


async def test_figures_follow_what_happens(world: HttpWorld) -> None:
    await world.start("wait=1", seconds=0.2)
    await world.start("wait=1, timeout=2", seconds=9)
    await asyncio.sleep(2)
    await world.start("wait=1", way="fail")
    await world.start("timeout=1", way="late", seconds=0.1)
    kind = 'kind="fake.startup"'
    expected = {
        f"gateway_jobs_accepted_total{{{kind}}}": 4,
        f'gateway_jobs_finished_total{{{kind},outcome="DONE",reason=""}}': 1,
        f'gateway_jobs_finished_total{{{kind},outcome="CANCELLED",reason="job-timeout"}}': 2,
        f'gateway_jobs_finished_total{{{kind},outcome="FAILED",reason="source-refused"}}': 1,
        f'gateway_job_responses_total{{{kind},status="200"}}': 1,
        f'gateway_job_responses_total{{{kind},status="202"}}': 1,
        f"gateway_job_late_results_total{{{kind}}}": 1,
        f"gateway_job_queue_seconds_count{{{kind}}}": 4,
        f'gateway_job_run_seconds_count{{{kind},outcome="DONE"}}': 1,
        f'gateway_job_cancel_seconds_count{{{kind},reason="timeout"}}': 2,
        f"gateway_job_deadline_overrun_seconds_count{{{kind}}}": 2,
    }
    for line, value in expected.items():
        assert await world.metric(line) == value, line


def test_limits_of_the_fakes_are_small() -> None:
    assert (LIMITS.max_running, LIMITS.max_pending) == (2, 3)
