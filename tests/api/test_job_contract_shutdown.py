"""The end of the gateway as a process: bounded whatever its workers do, told to all who wait, quick if asked twice."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest

from gateway.settings import Settings
from media.faultcamera.server import Camera
from tests.support.processes import below, state, until
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media

NOISE = 8  # seconds that a busy machine may add
DRAIN = 4  # seconds in which a new call is still answered, if only by a refusal


@pytest.fixture(autouse=True)
def _no_job_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that does not answer is waited for longer than any test takes."""
    monkeypatch.setenv("CAMERA_CONNECT_TIMEOUT", "60")


async def stuck_job(url: str, camera: Camera, process: Any) -> tuple[str, int]:
    """A job whose worker is stopped in the middle of opening: only SIGKILL ends it. Gives its id and the worker."""
    camera.silent("SETUP")
    before = set(below(process.pid))
    headers = {"Prefer": "wait=0, timeout=60"}
    body = {"uri": camera.url, "localStreamName": "stuck"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/rest-api/v3/rtsp/startup", json=body, headers=headers) as answer,
    ):
        assert answer.status == 202
        job = await answer.json()
    async with asyncio.timeout(30):
        while (await call(url, "/jobs/find", {"id": job["id"]}))["stage"] != "setup":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (worker,) = set(below(process.pid)) - before
    os.kill(worker, signal.SIGSTOP)
    return job["id"], worker


async def test_drain_bounded_with_stuck_worker(
    settings: Settings, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_DRAIN_TIMEOUT", str(DRAIN))
    monkeypatch.setenv("JOBS_MAX_PREFER_WAIT_TIME", "30")
    loop = asyncio.get_running_loop()
    async with gateway_process(settings) as (process, url), aiohttp.ClientSession(url) as session:
        job_id, worker = await stuck_job(url, camera, process)
        waiting = asyncio.create_task(session.get(f"/rest-api/v3/jobs/{job_id}", headers={"Prefer": "wait=30"}))
        events = await session.get("/rest-api/v3/events", timeout=aiohttp.ClientTimeout(total=None))
        await asyncio.sleep(0.2)
        told = loop.time()
        process.send_signal(signal.SIGTERM)
        answer = await waiting
        assert (answer.status, loop.time() - told < NOISE) == (200, True)
        refused = await session.post("/rest-api/v3/watermark/startup", json={"watermark": "logo.png"})
        assert (refused.status, (await refused.json())["code"]) == (503, "draining")
        assert (refused.headers["Connection"], int(refused.headers["Retry-After"]) >= 1) == ("close", True)
        last = (await events.read()).decode().rpartition("\nid: ")[2]
        assert (job_id in last, '"state":"CANCELLED"' in last) == (True, True)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert loop.time() - told < DRAIN + settings.jobs_cancel_grace + settings.jobs_kill_grace + 1 + NOISE
        await until(lambda: state(worker) in ("", "Z"))
    async with gateway_process(settings) as (process, url):
        record = await call(url, "/jobs/find", {"id": job_id})
        assert (record["state"], record["cancelReason"], record["httpStatus"]) == ("CANCELLED", "shutdown", 503)


async def test_second_signal_kills_now(settings: Settings, camera: Camera) -> None:
    loop = asyncio.get_running_loop()
    async with gateway_process(settings) as (process, url):
        _, worker = await stuck_job(url, camera, process)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert process.returncode is None
        told = loop.time()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert loop.time() - told < settings.jobs_kill_grace + NOISE
        await until(lambda: state(worker) in ("", "Z"))


async def test_a_signal_while_it_starts_ends_it_in_good_order(settings: Settings) -> None:
    async with gateway_process(settings) as (process, _):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
