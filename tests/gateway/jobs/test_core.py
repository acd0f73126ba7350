"""The core by example: what a job does when it is cancelled, late, refused, or cannot be stopped."""

import itertools
from typing import Any

import pytest

from gateway.jobs.core import Core
from gateway.jobs.failures import Failure
from gateway.jobs.job import Draft, Job, encode, interrupted
from gateway.jobs.state import MOVES, Event, IllegalMove, Phase, Reason, State, target
from tests.support.world import EDGES, LIMITS, Worker, World


@pytest.fixture
def world() -> World:
    return World(Core(LIMITS))


def running(world: World, **asked: Any) -> tuple[Job, Worker]:
    job = world.submit(**asked)
    assert job is not None
    return job, world.workers[job.id]


def pending(world: World, **asked: Any) -> Job:
    job = world.submit(**asked)
    assert job is not None
    assert job.state is State.PENDING
    return job


def test_a_job_that_is_done_has_its_result_and_no_error(world: World) -> None:
    job, worker = running(world, name="lobby")
    world.advance(0.5)
    world.prepare(worker)
    record = job.record(world.now)
    assert (record["state"], record["result"], record["error"]) == ("DONE", {"name": job.id}, None)
    assert (record["httpStatus"], record["elapsedMs"], "zombie" in record) == (200, 500, False)
    assert world.submit(name="lobby") is not None


def test_pending_is_fifo_and_work_conserving(world: World) -> None:
    first = [running(world)[1] for _ in range(2)]
    second, third = pending(world), pending(world)
    assert (second.queue_position, third.queue_position) == (1, 2)
    world.prepare(first[0])
    assert (second.state, third.state, third.queue_position) == (State.RUNNING, State.PENDING, 1)
    world.check()


def test_dead_cameras_do_not_block_vod(world: World) -> None:
    for _ in range(5):
        world.submit(pool="camera")
    assert world.submit(pool="camera") is None
    job, _ = running(world, pool="file")
    assert job.state is State.RUNNING


def test_queue_full_leaves_no_job_and_says_when_to_come_back(world: World) -> None:
    for _ in range(5):
        world.submit()
    with pytest.raises(Failure) as refused:
        world.core.accept(Draft("sleep", "camera", (), 5, 5, {}), world.now, 1e9)
    assert (refused.value.code, refused.value.row.status, refused.value.retry_after) == ("queue-full", 503, 2)
    assert len(world.core.jobs) == 5
    assert world.core.refused["queue-full"] == 1


def test_a_busy_name_is_refused_with_its_holder(world: World) -> None:
    job, _ = running(world, name="lobby")
    with pytest.raises(Failure) as refused:
        world.core.accept(Draft("sleep", "file", ("name:hall", "name:lobby"), 5, 5, {}), world.now, 1e9)
    assert (refused.value.code, refused.value.extra["holder"]) == ("resource-busy", job.id)
    assert "name:hall" not in world.core.names


def test_pending_job_times_out(world: World) -> None:
    for _ in range(2):
        running(world, timeout=30.0)
    job = pending(world, timeout=1.0)
    world.advance(0.999)
    assert job.state is State.PENDING
    world.advance(0.001)
    record = job.record(world.now)
    assert (record["state"], record["cancelReason"], record["startedAt"]) == ("CANCELLED", "timeout", None)
    assert (record["error"]["code"], record["error"]["phase"], record["httpStatus"]) == ("job-timeout", "queued", 504)


def test_a_lagging_loop_does_not_start_a_job_whose_time_is_over(world: World) -> None:
    _, worker = running(world, timeout=30.0)
    running(world, timeout=30.0)
    late, next_one = pending(world, timeout=1.0), pending(world, timeout=9.0)
    world.lag(2.0)
    world.prepare(worker)
    assert (late.state, late.started, next_one.state) == (State.CANCELLED, None, State.RUNNING)
    world.check()


def test_late_success_after_timeout_leaves_no_stream(world: World) -> None:
    job, worker = running(world, timeout=1.0)
    world.lag(1.0)
    world.prepare(worker)
    assert (job.state, world.core.late) == (State.RUNNING, 1)
    world.let_go(worker)
    assert (job.state, job.cancel_reason) == (State.CANCELLED, Reason.TIMEOUT)
    assert not world.seen[job.id].published
    world.check()


def test_cancelled_only_after_worker_gone(world: World) -> None:
    job, worker = running(world)
    world.cancel(job)
    record = job.record(world.now)
    assert (record["state"], record["cancelRequested"], record["cancelReason"]) == ("RUNNING", True, "client")
    world.let_go(worker)
    assert job.record(world.now)["state"] == "CANCELLED"
    assert job.http_status == 409


def test_name_blocked_until_worker_gone(world: World) -> None:
    job, worker = running(world, name="lobby")
    world.cancel(job)
    world.advance(10.0)
    assert (job.state, job.phase) == (State.CANCELLED, Phase.ZOMBIE)
    assert job.record(world.now)["zombie"] is True
    assert world.submit(name="lobby") is None
    world.let_go(worker)
    assert "zombie" not in job.record(world.now)
    assert world.submit(name="lobby") is not None


def test_a_stuck_worker_is_killed_after_the_soft_grace_and_given_up_after_the_hard_one(world: World) -> None:
    job, worker = running(world, timeout=2.0)
    world.advance(2.0 + LIMITS.cancel_grace - 0.001)
    assert (worker.stops, worker.kills) == (1, 0)
    world.advance(0.002)
    assert (worker.kills, job.state) == (1, State.RUNNING)
    world.advance(LIMITS.kill_grace)
    assert (job.phase, job.http_status) == (Phase.ZOMBIE, 504)


def test_cancel_idempotent_first_reason_wins(world: World) -> None:
    job, worker = running(world, timeout=1.0)
    world.cancel(job)
    revision = job.revision
    world.cancel(job)
    world.lag(5.0)
    world.tick()
    world.apply(world.core.drain(world.now, 0.0))
    world.tick()
    assert (job.cancel_reason, job.revision) == (Reason.CLIENT, revision)
    world.let_go(worker)
    world.cancel(job)
    assert job.error is not None
    assert job.error["code"] == "job-cancelled"


def test_a_deadline_that_is_over_comes_before_a_later_cancel(world: World) -> None:
    job, _ = running(world, timeout=1.0)
    world.lag(1.0)
    world.cancel(job)
    assert job.cancel_reason is Reason.TIMEOUT


def test_cancel_done_is_refused_and_stream_stays(world: World) -> None:
    job, worker = running(world)
    world.prepare(worker)
    with pytest.raises(Failure) as refused:
        world.core.cancel(job.id, world.now)
    assert refused.value.row.status == 409
    assert world.handles[job.id] == 1
    with pytest.raises(Failure, match="job-unknown"):
        world.core.cancel("0" * 32, world.now)


@pytest.mark.parametrize("order", list(itertools.permutations(["cancel", "deadline", "prepare", "fail"])), ids="-".join)
def test_cancel_vs_commit_in_every_order(world: World, order: tuple[str, ...]) -> None:
    job, worker = running(world, timeout=1.0)
    for event in order:
        match event:
            case "cancel":
                world.cancel(job)
            case "deadline":
                world.advance(1.0)
            case "prepare" if not worker.returned:
                world.prepare(worker)
            case "fail" if not worker.returned:
                world.fail(worker)
        world.check()
    if job.id in world.workers:
        world.let_go(worker)
    world.check()
    expected = {"prepare": State.DONE, "fail": State.FAILED}.get(order[0], State.CANCELLED)
    assert job.state is expected


def test_a_timeout_names_the_stage_and_the_code_that_fits_it() -> None:
    world = World(Core(LIMITS))
    causes = {"connecting": "source-timeout"}
    draft = Draft("rtsp", "camera", (), 5, 1.0, {}, timeout_cause=causes.get)
    effects = world.core.accept(draft, world.now, 1e9)
    job = world.core.jobs[draft.id]
    world.core.stage(job.id, "connecting", world.now)
    world.core.tick(world.now + 1.0)
    world.core.gone(job.id, world.now + 1.1)
    assert effects
    assert job.error is not None
    assert (job.error["code"], job.error["phase"], job.error["cause"]) == (
        "job-timeout",
        "connecting",
        "source-timeout",
    )


def test_a_failure_after_the_cancel_is_kept_as_its_cause(world: World) -> None:
    job, worker = running(world, timeout=1.0)
    world.advance(1.0)
    world.fail(worker)
    world.let_go(worker)
    assert job.error is not None
    assert (job.error["code"], job.error["cause"]) == ("job-timeout", "source-refused")
    assert "The port is closed." in str(job.error["detail"])


def test_a_crash_is_failed_only_after_all_is_released(world: World) -> None:
    job, worker = running(world, name="lobby")
    world.crash(worker)
    assert (job.state, worker.stops) == (State.RUNNING, 1)
    world.let_go(worker)
    assert (job.state, job.http_status, job.cancel_reason) == (State.FAILED, 500, None)


@pytest.mark.parametrize(
    "result",
    [{"data": "x" * 70_000}, {"age": float("nan")}, {"at": object()}, {"name": "\ud800"}],
    ids=["too long", "no number", "no value of JSON", "no Unicode"],
)
def test_a_result_that_cannot_be_kept_fails_the_job_and_is_taken_back(world: World, result: dict[str, Any]) -> None:
    job, worker = running(world)
    worker.returned = True
    world.apply(world.core.prepared(job.id, world.now, lambda: result))
    assert (job.phase, worker.stops, job.result_json) == (Phase.STOPPING, 1, None)
    world.let_go(worker)
    assert job.error is not None
    assert (job.state, job.error["code"]) == (State.FAILED, "internal")


def test_the_result_is_serialised_once_and_later_changes_do_not_reach_it(world: World) -> None:
    job, _ = running(world)
    result = {"name": "höhe", "sizes": [1, 2]}
    world.core.prepared(job.id, world.now, lambda: result)
    result["sizes"] = []
    assert job.record(world.now)["result"] == {"name": "höhe", "sizes": [1, 2]}
    assert job.result_json == encode(job.record(world.now)["result"])


def test_drain_ends_the_queue_at_once_and_the_rest_after_its_time(world: World) -> None:
    jobs = [running(world, timeout=60.0)[0] for _ in range(2)]
    waiting = pending(world, timeout=60.0)
    world.apply(world.core.drain(world.now, 3.0))
    assert (waiting.state, waiting.cancel_reason, waiting.http_status) == (State.CANCELLED, Reason.SHUTDOWN, 503)
    world.advance(2.9)
    assert all(job.cancel_reason is None for job in jobs)
    world.advance(0.2)
    assert all(job.cancel_reason is Reason.SHUTDOWN for job in jobs)
    assert world.submit() is None


def test_second_signal_kills_now(world: World) -> None:
    job, worker = running(world, timeout=60.0)
    world.apply(world.core.drain(world.now, 10.0))
    world.apply(world.core.kill(world.now))
    assert (worker.stops, worker.kills, job.cancel_reason) == (1, 1, Reason.SHUTDOWN)
    world.advance(LIMITS.kill_grace)
    assert job.phase is Phase.ZOMBIE


def test_clock_jump_harmless() -> None:
    for wall in (0.0, 1e9, 4e9):
        core = Core(LIMITS)
        draft = Draft("sleep", "camera", (), 5, 1.0, {})
        core.accept(draft, 100.0, wall)
        core.tick(101.0)
        core.gone(draft.id, 101.25)
        record = core.jobs[draft.id].record(999.0)
        assert (record["state"], record["elapsedMs"]) == ("CANCELLED", 1250)
    assert record["createdAt"] == "2096-10-02T07:06:40.000Z"
    assert record["finishedAt"] == "2096-10-02T07:06:41.250Z"
    assert record["expiresAt"] == "2096-10-02T07:08:21.250Z"


def test_an_interrupted_job_is_failed_and_may_be_tried_again(world: World) -> None:
    job, _ = running(world)
    record = interrupted(job.record(world.now), 1e9, 60.0, 41)
    assert (record["state"], record["httpStatus"], record["revision"]) == ("FAILED", 503, 41)
    assert (record["error"]["code"], record["error"]["retryable"]) == ("interrupted", True)
    assert (record["finishedAt"], record["expiresAt"]) == ("2001-09-09T01:46:40.000Z", "2001-09-09T01:47:40.000Z")


def test_the_table_has_the_edges_of_the_contract_and_no_others() -> None:
    assert {(move.source, move.target) for move in MOVES} == EDGES - {(None, Phase.QUEUED)}
    assert len({(move.source, move.event) for move in MOVES}) == len(MOVES)
    for phase, event in itertools.product(Phase, Event):
        if not any((move.source, move.event) == (phase, event) for move in MOVES):
            with pytest.raises(IllegalMove):
                target(phase, event)


def test_a_job_that_lives_cannot_be_forgotten(world: World) -> None:
    job, worker = running(world)
    with pytest.raises(ValueError, match="still working"):
        world.core.forget(job.id)
    world.prepare(worker)
    world.forget(job)
    world.check()
    assert world.core.forgotten == {State.DONE: 1}
