"""The supervisor in virtual time: waits, deadlines, the ladder of a cancel, races, shutdown, memory."""

import asyncio
import gc
import logging
import weakref
from collections import Counter

import pytest

from gateway.jobs.core import Limits
from gateway.jobs.failures import Failure
from gateway.jobs.job import Job
from gateway.jobs.ports import Query
from gateway.jobs.state import State
from gateway.jobs.storage.ended_jobs import STORE_RETRY
from gateway.jobs.supervisor import Supervisor
from tests.support.archives import MemoryArchive
from tests.support.works import LateSuccess, Sleep, Stubborn, draft

pytestmark = pytest.mark.looptime

LIMITS = Limits(max_running=2, max_pending=4, cancel_grace=0.3, kill_grace=1.0)
CANARY = "hunter2"


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def supervisor(archive: MemoryArchive) -> Supervisor:
    return Supervisor(LIMITS, archive, max_waiters=3, wall=lambda: 1e9)


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


async def ended(supervisor: Supervisor, job: Job) -> State:
    await supervisor.wait(job, 1000.0)
    return job.state


async def test_a_job_done_within_the_wait_is_answered_at_once(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(0.2))
    assert await supervisor.wait(job, 3.0)
    assert (now(), job.state, supervisor.records.of(job)["result"]) == (0.2, State.DONE, {"slept": 0.2})


async def test_a_wait_that_is_over_leaves_the_job_running(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(2.0))
    await supervisor.wait(job, 1.0)
    assert (now(), job.state) == (1.0, State.RUNNING)
    assert await ended(supervisor, job) is State.DONE
    assert now() == 2.0


async def test_wait_zero_returns_before_even_an_instant_job(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(0.0))
    await supervisor.wait(job, 0)
    assert job.state is State.RUNNING
    await ended(supervisor, job)


async def test_wait_and_end_at_the_same_moment_agree(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    await supervisor.wait(job, 1.0)
    record = supervisor.records.of(job)
    assert (record["state"], record["httpStatus"]) in {("RUNNING", None), ("DONE", 200)}
    await ended(supervisor, job)


async def test_disconnect_keeps_job(supervisor: Supervisor) -> None:
    work = Sleep(1.0)
    job = supervisor.submit(draft(), work)
    waiter = asyncio.create_task(supervisor.wait(job, 5.0))
    await asyncio.sleep(0.2)
    assert supervisor.waiting == 1
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert supervisor.waiting == 0
    assert await ended(supervisor, job) is State.DONE
    assert work.calls == ["run", "publish"]


async def test_all_waiters_of_a_job_are_woken_by_its_end(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    assert await asyncio.gather(*(supervisor.wait(job, 5.0) for _ in range(3))) == [True] * 3
    assert (now(), supervisor.waiting) == (1.0, 0)


async def test_one_waiter_too_many_is_not_made_to_wait(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    waiters = [asyncio.create_task(supervisor.wait(job, 5.0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await supervisor.wait(job, 5.0) is False
    assert now() == 0.0
    assert await asyncio.gather(*waiters) == [True] * 3


async def test_timeout_cancels_the_work_and_then_stops_it(supervisor: Supervisor) -> None:
    work = Sleep(60.0, stop_seconds=0.1)
    job = supervisor.submit(draft(timeout=1.0), work)
    assert await ended(supervisor, job) is State.CANCELLED
    record = supervisor.records.of(job)
    assert (now(), record["error"]["code"], record["error"]["phase"]) == (1.1, "job-timeout", "sleeping")
    assert (work.calls, work.held) == (["run", "stop"], False)


async def test_pending_job_times_out(supervisor: Supervisor) -> None:
    for _ in range(2):
        supervisor.submit(draft(timeout=60.0), Sleep(30.0))
    work = Sleep(0.0)
    job = supervisor.submit(draft(timeout=1.0), work)
    assert await ended(supervisor, job) is State.CANCELLED
    assert (now(), job.started, work.calls) == (1.0, None, [])


async def test_pending_is_fifo_and_work_conserving(supervisor: Supervisor) -> None:
    jobs = [supervisor.submit(draft(timeout=60.0), Sleep(1.0)) for _ in range(6)]
    with pytest.raises(Failure, match="queue-full"):
        supervisor.submit(draft(), Sleep())
    for job in jobs:
        await ended(supervisor, job)
    assert [round((job.started or 0.0) - job.created, 3) for job in jobs] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]


async def test_a_failure_is_in_the_record_and_frees_the_slot(supervisor: Supervisor) -> None:
    work = Sleep(0.5, error=Failure("source-refused", "The port is closed.", phase="connecting"))
    job = supervisor.submit(draft(name="lobby"), work)
    assert await ended(supervisor, job) is State.FAILED
    record = supervisor.records.of(job)
    assert (record["httpStatus"], record["error"]["code"], record["error"]["phase"]) == (
        502,
        "source-refused",
        "connecting",
    )
    assert work.calls == ["run"]
    await ended(supervisor, supervisor.submit(draft(name="lobby"), Sleep()))


async def test_stuck_worker_is_killed_within_grace(supervisor: Supervisor) -> None:
    work = Stubborn()
    job = supervisor.submit(draft(timeout=1.0), work)
    await asyncio.sleep(1.1)
    assert supervisor.records.of(job)["cancelRequested"] is True
    assert await ended(supervisor, job) is State.CANCELLED
    assert now() == 1.3
    assert work.calls == ["run", "kill", "stop"]


async def test_a_worker_that_cannot_be_killed_keeps_its_slot_and_name(supervisor: Supervisor) -> None:
    work = Stubborn(unkillable=True)
    job = supervisor.submit(draft(timeout=1.0, name="lobby"), work)
    other = supervisor.submit(draft(timeout=60.0), Sleep(30.0))
    assert await ended(supervisor, job) is State.CANCELLED
    assert (now(), supervisor.records.of(job)["zombie"]) == (2.3, True)
    with pytest.raises(Failure, match="resource-busy"):
        supervisor.submit(draft(name="lobby"), Sleep())
    waiting = supervisor.submit(draft(timeout=60.0), Sleep(1.0))
    assert waiting.state is State.PENDING
    work.end.set()
    await asyncio.sleep(0.01)
    assert (waiting.state, other.state) == (State.RUNNING, State.RUNNING)
    assert (work.calls, work.held) == (["run", "kill", "stop"], False)
    await ended(supervisor, supervisor.submit(draft(name="lobby", timeout=60.0), Sleep()))
    found = await supervisor.records.find(job.id)
    assert found is not None
    assert "zombie" not in found


@pytest.mark.parametrize("late", [0.0, 0.1, 0.9])
async def test_late_success_after_timeout_leaves_no_stream(supervisor: Supervisor, late: float) -> None:
    work = LateSuccess(late)
    job = supervisor.submit(draft(timeout=1.0), work)
    assert await ended(supervisor, job) is State.CANCELLED
    assert "publish" not in work.calls
    assert (work.calls[-1], work.held) == ("stop", False)


async def test_cancelled_only_after_worker_gone(supervisor: Supervisor) -> None:
    work = Sleep(60.0, stop_seconds=0.2)
    job = supervisor.submit(draft(), work)
    await asyncio.sleep(1.0)
    assert supervisor.cancel(job.id) is job
    await asyncio.sleep(0.1)
    assert (supervisor.records.of(job)["state"], supervisor.records.of(job)["cancelReason"]) == ("RUNNING", "client")
    assert await ended(supervisor, job) is State.CANCELLED
    assert (now(), job.http_status) == (1.2, 409)


async def test_a_job_cancelled_before_its_first_step_is_stopped_all_the_same(supervisor: Supervisor) -> None:
    work = Sleep(1.0)
    job = supervisor.submit(draft(name="lobby"), work)
    supervisor.cancel(job.id)
    assert await ended(supervisor, job) is State.CANCELLED
    assert work.calls == ["stop"]


async def test_a_cancelled_pending_job_ends_at_once_and_never_runs(supervisor: Supervisor) -> None:
    for _ in range(2):
        supervisor.submit(draft(), Sleep(1.0))
    work = Sleep()
    job = supervisor.submit(draft(), work)
    assert supervisor.cancel(job.id).state is State.CANCELLED
    assert await supervisor.wait(job, 5.0)
    assert (now(), work.calls) == (0.0, [])


async def test_cancel_vs_commit_thousand_races(archive: MemoryArchive) -> None:
    supervisor = Supervisor(Limits(max_running=1000), archive)
    works, jobs = [Sleep(1.0) for _ in range(1000)], list[Job]()
    refused = 0

    async def cancel(job: Job, hops: int) -> None:
        nonlocal refused
        await asyncio.sleep(1.0)
        for _ in range(hops):
            await asyncio.sleep(0)
        try:
            supervisor.cancel(job.id)
        except Failure as failure:
            assert failure.code in ("job-already-finished", "job-unknown")  # noqa: PT017 - either side may win
            refused += 1

    for work in works:
        jobs.append(supervisor.submit(draft(), work))
    await asyncio.gather(*(cancel(job, number % 4) for number, job in enumerate(jobs)))
    await asyncio.gather(*(ended(supervisor, job) for job in jobs))
    outcomes = Counter(job.state for job in jobs)
    assert outcomes[State.DONE] == refused
    assert outcomes[State.CANCELLED] == 1000 - refused
    assert 0 < refused < 1000
    for job, work in zip(jobs, works, strict=True):
        assert work.calls == (["run", "publish"] if job.state is State.DONE else ["run", "stop"])


@pytest.mark.parametrize("late_by", [-0.001, 0.0, 0.001])
async def test_success_around_the_deadline_is_done_or_rolled_back_never_both(
    supervisor: Supervisor, late_by: float
) -> None:
    work = Sleep(1.0 + late_by)
    job = supervisor.submit(draft(timeout=1.0), work)
    state = await ended(supervisor, job)
    assert state is (State.DONE if late_by < 0 else State.CANCELLED)
    assert ("publish" in work.calls) != ("stop" in work.calls)


async def test_a_defect_is_internal_and_its_text_stays_out_of_record_and_log(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    work = Sleep(0.1, error=ValueError(f"rtsp://admin:{CANARY}@camera"))
    job = supervisor.submit(draft(), work)
    assert await ended(supervisor, job) is State.FAILED
    assert supervisor.records.of(job)["error"]["code"] == "internal"
    assert work.calls == ["run", "stop"]
    assert CANARY not in str(supervisor.records.of(job))
    assert CANARY not in str([record.__dict__ for record in caplog.records])
    defect = next(record.__dict__ for record in caplog.records if record.message == "job-defect")
    assert defect["error"] == "ValueError"
    assert "works.py" in defect["where"][-1]


async def test_a_publish_that_is_refused_has_its_reason_and_is_no_defect(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    class Refused(Sleep):
        def publish(self) -> dict[str, object]:
            super().publish()
            raise Failure("resource-busy", "The channel went away.")

    work = Refused(0.1)
    job = supervisor.submit(draft(), work)
    await supervisor.wait(job, 5)
    assert (work.calls, job.http_status, work.held) == (["run", "publish", "stop"], 409, False)
    assert job.error is not None
    assert job.error["code"] == "resource-busy"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_publish_that_raises_is_taken_back(supervisor: Supervisor) -> None:
    class Unpublishable(Sleep):
        def publish(self) -> dict[str, object]:
            super().publish()
            raise KeyError("name")

    work = Unpublishable(0.1, stop_seconds=0.1)
    job = supervisor.submit(draft(), work)
    await asyncio.sleep(0.15)
    assert job.state is State.RUNNING
    assert await ended(supervisor, job) is State.FAILED
    assert (work.calls, job.http_status, work.held) == (["run", "publish", "stop"], 500, False)


async def test_a_work_that_cancels_itself_is_failed(supervisor: Supervisor) -> None:
    class Suicidal(Sleep):
        async def work(self) -> None:
            raise asyncio.CancelledError

    work = Suicidal()
    job = supervisor.submit(draft(), work)
    assert await ended(supervisor, job) is State.FAILED
    assert work.calls == ["run", "stop"]


async def test_a_work_that_cannot_stop_is_killed_tried_again_and_then_a_zombie(supervisor: Supervisor) -> None:
    class Unstoppable(Sleep):
        async def stop(self) -> None:
            await super().stop()
            self.held = True
            raise OSError("no such process")

    work = Unstoppable(60.0)
    job = supervisor.submit(draft(timeout=1.0), work)
    assert await ended(supervisor, job) is State.CANCELLED
    assert work.calls == ["run", "stop", "kill", "kill", "stop", "kill"]
    assert supervisor.records.of(job)["zombie"] is True
    await supervisor.drain(0.0)


async def test_a_zombie_is_none_any_more_when_its_work_can_be_stopped_at_last(supervisor: Supervisor) -> None:
    class Stubborn(Sleep):
        async def stop(self) -> None:
            await super().stop()
            if self.calls.count("stop") < 5:
                raise OSError(24, "Too many open files")

    work = Stubborn(60.0)
    job = supervisor.submit(draft(timeout=1.0), work)
    assert await ended(supervisor, job) is State.CANCELLED
    assert supervisor.records.of(job)["zombie"] is True
    await asyncio.sleep(10)
    assert work.calls.count("stop") == 5
    assert supervisor.live() == []


async def test_a_work_knows_its_remaining_time_and_tells_its_stage(supervisor: Supervisor) -> None:
    work = Sleep(2.0)
    job = supervisor.submit(draft(timeout=5.0), work)
    await asyncio.sleep(1.0)
    assert work.progress is not None
    assert work.progress.budget() == pytest.approx(4.25)
    before = job.revision
    work.progress.stage("playing")
    assert (supervisor.records.of(job)["stage"], job.revision) == ("playing", before + 1)
    await ended(supervisor, job)
    work.progress.stage("too late")
    assert supervisor.records.of(job)["stage"] == "playing"


async def test_every_transition_is_one_log_line(supervisor: Supervisor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job = supervisor.submit(draft(timeout=1.0), Stubborn())
    await ended(supervisor, job)
    lines = [record.__dict__ for record in caplog.records if record.message == "job-moved"]
    assert [(line["from"], line["to"]) for line in lines] == [
        (None, "queued"),
        ("queued", "working"),
        ("working", "stopping"),
        ("stopping", "killing"),
        ("killing", "gone"),
    ]
    assert {line["job"] for line in lines} == {job.id}
    assert (lines[-1]["reason"], lines[-1]["code"], lines[-1]["elapsed_ms"]) == ("timeout", "job-timeout", 1300)


async def test_drain_bounded_with_stuck_worker(supervisor: Supervisor) -> None:
    stuck, slow = Stubborn(unkillable=True), Sleep(1.0)
    jobs = [supervisor.submit(draft(timeout=60.0), work) for work in (stuck, slow)]
    waiting = supervisor.submit(draft(timeout=60.0), Sleep())
    await supervisor.drain(2.0)
    assert now() <= 2.0 + 0.3 + 1.0 + 1.0
    assert [job.state for job in jobs] == [State.CANCELLED, State.DONE]
    assert (waiting.state, waiting.http_status) == (State.CANCELLED, 503)
    assert supervisor.closed
    with pytest.raises(Failure, match="draining"):
        supervisor.submit(draft(), Sleep())
    assert stuck.calls == ["run", "kill"]
    stuck.end.set()
    await asyncio.sleep(0.1)


async def test_a_drain_with_nothing_to_do_is_over_at_once(supervisor: Supervisor) -> None:
    await supervisor.drain(10.0)
    assert (now(), supervisor.closed) == (0.0, True)


async def test_shutdown_wakes_waiters(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(timeout=60.0), Sleep(3.0))
    waiter = asyncio.create_task(supervisor.wait(job, 50.0))
    await asyncio.sleep(1.0)
    drain = asyncio.create_task(supervisor.drain(10.0))
    assert await waiter
    assert (now(), job.state) == (1.0, State.RUNNING)
    assert (supervisor.draining, supervisor.closed) == (True, False)
    await drain
    assert (now(), job.state) == (3.0, State.DONE)


async def test_second_signal_kills_now(supervisor: Supervisor) -> None:
    work = Stubborn()
    job = supervisor.submit(draft(timeout=60.0), work)
    drain = asyncio.create_task(supervisor.drain(10.0))
    await asyncio.sleep(1.0)
    supervisor.kill()
    await drain
    assert (now(), job.state, job.http_status) == (1.0, State.CANCELLED, 503)


async def test_an_accepted_job_is_saved_before_anyone_can_be_told(
    supervisor: Supervisor, archive: MemoryArchive
) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    await archive.flush()
    record, result, _ = archive.records[job.id]
    assert (record["state"], result) == ("RUNNING", None)
    await ended(supervisor, job)


async def test_an_ended_job_is_answered_from_the_store(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    await ended(supervisor, job)
    last = supervisor.records.of(job)
    await asyncio.sleep(0.1)
    assert supervisor.get(job.id) is None
    assert await supervisor.records.find(job.id) == last
    assert await supervisor.records.result(job.id) == job.result_json == b'{"slept":1.0}'
    assert await supervisor.records.find("0" * 32) is None
    with pytest.raises(Failure, match="job-unknown"):
        supervisor.cancel(job.id)


async def test_lists_join_memory_and_store_newest_first(archive: MemoryArchive) -> None:
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(LIMITS, archive, wall=lambda: 1e9 + loop.time())
    jobs = []
    for number in range(4):
        jobs.append(supervisor.submit(draft(kind="vod" if number % 2 else "rtsp"), Sleep(0.1 if number < 2 else 9.0)))
        await asyncio.sleep(0.5)
    assert [job.state for job in supervisor.active()] == [State.RUNNING] * 2
    newest = [job.id for job in reversed(jobs)]
    assert [record["id"] for record in await supervisor.records.list(10)] == newest
    assert [record["id"] for record in await supervisor.records.list(3)] == newest[:3]
    assert [record["id"] for record in await supervisor.records.list(10, Query(states={"DONE"}))] == newest[2:]
    assert [record["id"] for record in await supervisor.records.list(10, Query(kinds=["vod"]))] == newest[::2]
    await supervisor.drain(0.0)


async def test_retention_never_drops_awaited(supervisor: Supervisor) -> None:
    job = supervisor.submit(draft(), Sleep(1.0))
    waiters = [asyncio.create_task(supervisor.wait(job, 5.0)) for _ in range(2)]
    await asyncio.gather(*waiters)
    assert supervisor.records.of(job)["result"] == {"slept": 1.0}


async def test_an_ended_job_stays_in_memory_until_the_disk_has_it(
    supervisor: Supervisor, archive: MemoryArchive
) -> None:
    first = supervisor.submit(draft(), Sleep(0.1))
    archive.failing = True
    await ended(supervisor, first)
    await asyncio.sleep(10.0)
    assert supervisor.get(first.id) is first
    archive.failing = False
    await asyncio.sleep(STORE_RETRY)
    assert supervisor.get(first.id) is None


async def test_no_job_is_begun_while_nothing_can_be_promised(supervisor: Supervisor, archive: MemoryArchive) -> None:
    archive.failing = True
    with pytest.raises(Failure, match="store-failing") as refused:
        supervisor.submit(draft(), Sleep())
    assert refused.value.retry_after == 5
    assert supervisor.active() == []


async def test_a_store_that_does_not_keep_up_refuses_new_jobs(supervisor: Supervisor, archive: MemoryArchive) -> None:
    archive.keeps_up = False
    with pytest.raises(Failure, match="capacity-exceeded") as refused:
        supervisor.submit(draft(), Sleep())
    assert refused.value.retry_after == 5
    assert supervisor.active() == []


async def test_2000_jobs_leave_nothing_behind(supervisor: Supervisor) -> None:
    before = len(asyncio.all_tasks())
    works: list[weakref.ref[Sleep]] = []
    for number in range(2000):
        work = [Sleep(0.1), Sleep(9.0), Sleep(0.1, error=Failure("source-dns", "There is no such host."))][number % 3]
        works.append(weakref.ref(work))
        job = supervisor.submit(draft(timeout=0.2), work)
        gc.collect(0)
        del work
        await ended(supervisor, job)
    await asyncio.sleep(0.1)
    gc.collect()
    assert len(asyncio.all_tasks()) == before
    assert supervisor.active() == []
    assert supervisor.get(job.id) is None
    assert [work for work in works if work() is not None] == []
