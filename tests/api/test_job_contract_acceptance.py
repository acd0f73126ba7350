"""The last of the contract's acceptance list with real workers, and that no name of the list is missing."""

import asyncio
import gc
import os
import signal
import threading
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.conftest import SOAK
from tests.support.api import Api
from tests.support.processes import open_files, until

pytestmark = pytest.mark.media

# Section 10 of the contract. Each is the name of at least one test.
LIST = (
    "no_header_waits_five_then_202",
    "done_within_wait_is_200_with_bare_result",
    "wait_zero_is_always_202",
    "result_equals_job_result_and_content_location",
    "wait_over_limit_is_clamped_and_echoed",
    "every_vector_of_2_6",
    "prefer_fuzz_never_errors",
    "several_prefer_lines_equal_one",
    "disconnect_keeps_job",
    "timeout_inside_wait_is_504_cancelled",
    "timeout_after_202_is_cancelled_in_find",
    "pending_job_times_out",
    "failure_inside_wait_is_mapped_problem_with_job",
    "late_success_after_timeout_leaves_no_stream",
    "cancel_vs_commit_thousand_races",
    "cancel_idempotent_first_reason_wins",
    "cancel_done_is_409_and_stream_stays",
    "cancelled_only_after_worker_gone",
    "name_blocked_until_worker_gone",
    "stuck_worker_is_killed_within_grace",
    "worker_segfault_is_failed_job_others_untouched",
    "queue_full_is_503_without_job",
    "pending_is_fifo_and_work_conserving",
    "dead_cameras_do_not_block_vod",
    "idempotency_twenty_parallel_one_job",
    "idempotency_mismatch_422",
    "long_poll_returns_on_finish",
    "long_poll_without_header_is_immediate",
    "expired_410_unknown_404_finished_survives_restart",
    "retention_never_drops_awaited",
    "sse_resume_and_slow_reader",
    "drain_bounded_with_stuck_worker",
    "shutdown_wakes_waiters",
    "second_signal_kills_now",
    "no_password_anywhere",
    "core_invariants_hypothesis",
    "core_mutants_are_caught",
    "rtsp_without_media_is_never_done",
    "fifo_source_refused",
    "clock_jump_harmless",
    "cors_exposes_job_headers",
    "5000_jobs_no_growth",
)


def test_every_name_of_the_acceptance_list_is_a_test() -> None:
    tests = Path(__file__).parents[1]
    text = "\n".join(path.read_text() for path in sorted(tests.rglob("test_*.py")))
    assert len(LIST) == 42
    assert [name for name in LIST if f"def test_{name}(" not in text] == []


async def test_worker_segfault_is_failed_job_others_untouched(api: Api, camera: Camera, second_camera: Camera) -> None:
    other = await api.post("/rtsp/startup", {"uri": second_camera.url, "localStreamName": "other"})
    assert other.status == 200
    camera.silent("SETUP")
    started = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "one"}, "wait=0")
    job = api.gateway.supervisor.get(started.body["id"])
    assert job is not None
    await until(lambda: job.stage == "setup" and len(api.gateway.workers.pids()) == 3)
    os.kill(api.gateway.workers.pids()[1], signal.SIGSEGV)
    failed = await api.post("/jobs/find", {"id": job.id}, "wait=30")
    assert (failed.body["state"], failed.body["error"]["code"]) == ("FAILED", "worker-crashed")
    assert "SIGSEGV" in failed.body["error"]["detail"]
    (stream,) = (await api.post("/stream/find_all")).body
    assert (stream["name"], stream["status"], stream["restarts"]) == ("other", "LIVE", 0)


async def test_rtsp_without_media_is_never_done(api: Api, camera: Camera) -> None:
    camera.stall()  # it answers everything, PLAY too, and then sends nothing
    answer = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "mute"}, "wait=30, timeout=6")
    assert (answer.status, answer.body["code"], answer.body["job"]["state"]) == (504, "job-timeout", "CANCELLED")
    assert answer.body["cause"] in ("source-no-keyframe", "source-no-media")
    assert (await api.post("/stream/find_all")).body == []
    assert api.gateway.workers.alive == 0


async def test_fifo_source_refused(api: Api) -> None:
    os.mkfifo(api.gateway.settings.media_dir / "pipe.mp4")
    loop = asyncio.get_running_loop()
    asked = loop.time()
    answer = await api.post("/vod/startup", {"uri": "vod-live://pipe.mp4", "localStreamName": "pipe"})
    assert (answer.status, answer.body["code"], "Job-Id" in answer.headers) == (422, "file-not-regular", False)
    assert loop.time() - asked < 20  # opening it would have waited for a writer for ever


async def test_cors_exposes_job_headers(settings: Settings) -> None:
    site = "https://portal.example"
    asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
    async with Gateway(settings.model_copy(update={"cors_origins": (site,)})) as gateway:
        url = f"{gateway.url}/rest-api/v3/watermark/startup"
        async with aiohttp.ClientSession() as session:
            for header in ("Prefer", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Content-Type"):
                may = await session.options(url, headers={**asked, "Access-Control-Request-Headers": header})
                assert (may.status, may.headers["Access-Control-Allow-Origin"]) == (200, site), header
            answer = await session.post(url, json={"watermark": "logo.png"}, headers={"Origin": site})
    assert answer.status == 200
    exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    wanted = "Job-Id Location Content-Location Link Retry-After Preference-Applied ETag"
    assert {name.lower() for name in wanted.split()} <= exposed


@pytest.mark.parametrize(("drain", "warns"), [(10.0, 0), (23.0, 1)])
async def test_a_shutdown_that_may_take_too_long_is_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture, drain: float, warns: int
) -> None:
    async with Gateway(settings.model_copy(update={"jobs_drain_timeout": drain})):
        pass
    assert [record.message for record in caplog.records].count("shutdown-may-be-cut-short") == warns


def memory() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def do_jobs(api: Api, count: int) -> None:
    """A mix: pictures, channels that are ended again, cameras that are not there, jobs that nobody waits for."""

    async def one(number: int) -> None:
        match number % 4:
            case 0:
                await api.post("/watermark/startup", {"watermark": "logo.png"})
            case 1:
                name = f"channel-{number}"
                body = {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True}
                assert (await api.post("/vod/startup", body)).status == 200
                assert (await api.post("/stream/terminate", {"name": name})).status == 200
            case 2:
                body = {"uri": f"rtsp://127.0.0.1:9/{number}"}
                assert (await api.post("/rtsp/startup", body)).status == 502
            case _:
                started = await api.post("/watermark/startup", {"watermark": "logo.png"}, "wait=0")
                await api.post("/jobs/terminate", {"id": started.body["id"]})

    for first in range(0, count, 8):
        await asyncio.gather(*(one(number) for number in range(first, first + 8)))


async def test_5000_jobs_no_growth(settings: Settings, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    del settings
    count = 5000 if SOAK else 240
    await do_jobs(api, 80)
    gc.collect()
    before = (open_files(), len(asyncio.all_tasks()), threading.active_count(), api.gateway.workers.alive)
    rss = memory()
    await do_jobs(api, count)
    gc.collect()
    # Connections of the client's pool; workers that were told to stop.
    await until(lambda: open_files() <= before[0] + 8 and api.gateway.workers.alive == 0)
    now = (open_files(), len(asyncio.all_tasks()), threading.active_count(), api.gateway.workers.alive)
    if SOAK:
        with capsys.disabled():
            print(f"\n{count} jobs: {before} -> {now} (files, tasks, threads, workers), {memory() - rss:+} bytes")
    assert now[1] <= before[1] + 16  # two of each connection that is kept
    assert now[2] <= before[2] + 4
    assert now[3] == 0
    assert memory() - rss < 48 * 1024 * 1024
    assert api.gateway.supervisor.broken() == []
