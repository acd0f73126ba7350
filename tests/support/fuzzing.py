"""A gateway with media behind it, and schemathesis to ask it what nobody would."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.auth.keys import KeyFile, Scope
from gateway.settings import Settings
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.support.conforming import described
from tests.support.schemathesis_run import LEFT_OUT, Found, Plan

SEED: Final = 20260301
TESTS: Final = Path(__file__).parent.parent.parent

JOBS: Final = [
    each["operationId"]
    for path in described()["paths"].values()
    for each in path.values()
    if "202" in each["responses"]
]
# `METHOD path` of all that is asked: not what is left out, nor the document itself.
OPERATIONS: Final = {
    f"{method.upper()} {path}"
    for path, each in described()["paths"].items()
    for method, operation in each.items()
    if operation["operationId"] not in (*LEFT_OUT, "openapi")
}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many wrong keys are sent, and each is to be answered 401."""
    monkeypatch.setattr("gateway.web.access.access.TRIES", 10**9)


@asynccontextmanager
async def target(settings: Settings, **more: Any) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway with the looping stream `channel`, and a key for it. Its jobs are short, and nobody waits for them."""
    quick = {"jobs_max_prefer_wait_time": 0, "jobs_max_prefer_timeout": 2, "source_deny": ("0.0.0.0/0", "::/0")}
    settings = Settings.model_validate({**settings.model_dump(), **quick, **more})
    _, key = KeyFile(settings.keys_file).make("fuzz", (Scope.ADMIN,))
    authorization = {"Authorization": f"Bearer {key}"}
    async with Gateway(settings) as gateway, aiohttp.ClientSession(headers=authorization) as session:
        channel = {"uri": "vod-live://sample.mp4", "localStreamName": "channel", "loop": True}
        # No job has more than two seconds, and the first worker of a busy machine may take longer.
        async with asyncio.timeout(60):
            while not await in_time(session, f"{gateway.url}/rest-api/vod/startup", channel):
                pass
        yield gateway, key
        async with session.get(f"{gateway.url}/livez") as answer:
            assert answer.status == 200


async def in_time(session: aiohttp.ClientSession, url: str, body: Any) -> bool:
    """Whether what is asked for by a call without v3 was done before its time ran out."""
    async with session.post(url, json=body) as answer:
        if answer.status != 200:
            assert (await answer.json())["code"] == "job-timeout"
        return answer.status == 200


async def fuzz(gateway: Gateway, key: str, phases: list[str], **how: Any) -> Found:
    """Runs schemathesis, and gives what it has found; `how` is the rest of its plan. Fails if anything is wrong."""
    plan = Plan(gateway.url, key, SEED, phases, jobs=JOBS, **how)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.schemathesis_run", cwd=TESTS,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        told, said = await process.communicate(json.dumps(asdict(plan)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-20_000:]
    found = Found(**json.loads(told))
    assert not found.failures, "\n\n".join(found.failures[:10])
    return found


@asynccontextmanager
async def camera() -> AsyncIterator[str]:
    """The address of a camera."""
    async with Camera(CameraSettings()) as sample:
        yield f"rtsp://127.0.0.1:{sample.port}/camera"
