"""What the gateway promises of time, cancellation and death: kept with real workers, sockets and processes."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.peers import ffmpeg
from tests.peers.black_hole import black_hole
from tests.support.api import Api
from tests.support.processes import below, open_files, state, until
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media

NOISE = 3  # seconds that a slow machine may add
CHANNEL = {"uri": "vod-live://short.mp4", "localStreamName": "channel", "loop": True}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def job(api: Api, job_id: str) -> dict[str, Any]:
    answer = await api.post("/jobs/find", {"id": job_id})
    assert answer.status == 200
    record: dict[str, Any] = answer.body
    return record


@pytest.mark.debian
async def test_an_address_that_swallows_packets_keeps_to_wait_and_timeout(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    await until(lambda: api.gateway.workers.alive == 0)  # packaged
    reading = asyncio.create_task(ffmpeg.packets(f"{api.gateway.url}/live/channel/index.m3u8", 6))
    loop = asyncio.get_running_loop()
    with black_hole() as port:
        files = open_files()
        asked = loop.time()
        body = {"uri": f"rtsp://127.0.0.1:{port}/live", "localStreamName": "hole"}
        answer = await api.post("/rtsp/startup", body, prefer="respond-async, wait=1, timeout=3")
        assert loop.time() - asked >= 1.0
        assert answer.status == 202  # and so before the 3 s are over
        assert answer.headers["Preference-Applied"] == "respond-async, wait=1, timeout=3"
        assert answer.headers["Location"] == f"/rest-api/v3/jobs/{answer.body['id']}"
        assert (answer.body["state"], answer.body["stage"]) == ("RUNNING", "connecting")
        running = api.gateway.supervisor.get(answer.body["id"])
        assert running is not None
        await until(lambda: running.state.terminal)
        assert 3.0 <= loop.time() - asked < 3.0 + NOISE
        record = await job(api, answer.body["id"])
        assert (record["state"], record["cancelReason"], record["httpStatus"]) == ("CANCELLED", "timeout", 504)
        assert record["error"]["code"] == "job-timeout"
        assert (record["error"]["phase"], record["error"]["cause"]) == ("connecting", "source-timeout")
        assert api.gateway.workers.alive == 0
        await until(lambda: open_files() <= files)
    times = [float(packet["dts_time"]) for packet in (await reading)["video"]]
    assert max(b - a for a, b in pairwise(times)) < 0.041


async def test_a_job_stuck_in_opening_is_cancelled_at_once(api: Api, camera: Camera) -> None:
    camera.silent("SETUP")
    started = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "stuck"}, prefer="wait=0")
    assert started.status == 202
    job_id = started.body["id"]
    # A worker may have said something before the fork server has said which process it is.
    await until(lambda: stage_of(api, job_id) == "setup" and len(api.gateway.workers.pids()) == 2)
    (pid, _) = api.gateway.workers.pids()
    loop = asyncio.get_running_loop()
    asked = loop.time()
    answer = await api.post("/jobs/terminate", {"id": job_id})
    assert loop.time() - asked < NOISE  # the camera's own limit is 5 s
    assert (answer.status, answer.body["state"], answer.body["cancelReason"]) == (200, "CANCELLED", "client")
    assert state(pid) == ""
    assert api.gateway.workers.alive == 0
    again = await api.post("/jobs/terminate", {"id": job_id})
    assert (again.status, again.body["revision"]) == (200, answer.body["revision"])


def stage_of(api: Api, job_id: str) -> str:
    found = api.gateway.supervisor.get(job_id)
    return found.stage if found else ""


async def test_a_job_that_is_done_cannot_be_cancelled_and_its_stream_stays(api: Api) -> None:
    made = await api.post("/vod/startup", CHANNEL)
    answer = await api.post("/jobs/terminate", {"id": made.headers["Job-Id"]})
    assert (answer.status, answer.body["code"]) == (409, "job-already-finished")
    assert (await api.post("/stream/find", {"name": "channel"})).body[0]["status"] == "LIVE"


async def test_a_killed_worker_comes_back_under_the_same_name_and_nobody_else_notices(
    api: Api, camera: Camera, second_camera: Camera
) -> None:
    await api.post("/vod/startup", CHANNEL)
    await until(lambda: api.gateway.workers.alive == 0)  # packaged: the first worker is the camera's
    one = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "one"})
    other = await api.post("/rtsp/startup", {"uri": second_camera.url, "localStreamName": "other"})
    assert (one.status, other.status) == (200, 200), (one.body, other.body)
    await until(lambda: len(api.gateway.workers.pids()) == 3)  # the last one is the fork server
    victim = api.gateway.workers.pids()[0]
    os.kill(victim, signal.SIGKILL)
    stream = api.gateway.catalog.holder("one")
    assert stream is not None
    await until(lambda: stream.status == "WAITING")
    waiting = stream.record()  # at once: the next try may come before the answer to a call would
    assert waiting["lastError"]["code"] == "worker-crashed"
    assert "SIGKILL" in waiting["lastError"]["detail"]
    assert waiting["nextRetryAt"]
    await until(lambda: stream.status == "LIVE")
    back = (await api.post("/stream/find", {"name": "one"})).body[0]
    assert (back["id"], back["restarts"], back["nextRetryAt"]) == (one.body["id"], 1, None)
    others = (await api.post("/stream/find", {"name": "other"})).body[0]
    assert (others["status"], others["restarts"]) == ("LIVE", 0)


async def test_after_a_kill_of_the_gateway_workers_end_and_after_a_restart_all_comes_back(
    settings: Settings, camera: Camera
) -> None:
    async with gateway_process(settings) as (process, url):
        channel = await call(url, "/vod/startup", CHANNEL)
        begun = time.time()
        opened = await call(url, "/rtsp/startup", {"uri": camera.url, "localStreamName": "camera"})
        jobs = await call(url, "/jobs/find_all")
        assert {job["state"] for job in jobs} == {"DONE"}
        workers = below(process.pid)
        assert len(workers) >= 2  # the fork server, the camera's worker, perhaps a packager
        process.kill()
        await until(lambda: all(state(pid) in ("", "Z") for pid in workers))
    async with gateway_process(settings) as (process, url):
        for job in jobs:
            assert (await call(url, "/jobs/find", {"id": job["id"]}))["result"] == job["result"]

        async def live(name: str) -> Any:
            for _ in range(600):
                stream = (await call(url, "/stream/find", {"name": name}))[0]
                if stream["status"] == "LIVE":
                    return stream
                await asyncio.sleep(0.05)
            raise AssertionError(f"{name} did not come back: {stream}")

        back = await live("channel")
        assert (back["id"], back["createdAt"]) == (channel["id"], channel["createdAt"])
        # It has gone on by the clock all the while: begun between the request and its answer, looked at just now.
        played = 4 * back["round"] + back["position"]
        assert seconds(back["liveSince"]) - begun - 0.1 <= played <= time.time() - seconds(channel["createdAt"]) + 0.1
        assert (await live("camera"))["id"] == opened["id"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


def seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()
