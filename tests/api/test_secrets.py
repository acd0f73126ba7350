"""Secrets live where they are used: no worker, and not the fork server, has one in its environment or its memory."""

import os
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from gateway.settings import Settings
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from media.process.environment import clean
from tests.support.processes import below
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media

SIGNING: Final = b"canary-of-the-webhooks-0123456789"
TOKEN: Final = "canary-of-nobody-knows-what"
CAMERAS: Final = ("canary-of-camera-one", "canary-of-camera-two")
AT_ONCE: Final = 1 << 22


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()


def memory_has(pid: int, canaries: list[bytes]) -> set[bytes]:
    """Those that are somewhere in what the process can write to: its heap, stacks, and all that it has changed."""
    found: set[bytes] = set()
    overlap = max(map(len, canaries))
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if span is None or "/dev/" in line:
                continue
            at, end, kept = int(span[1], 16), int(span[2], 16), b""
            while at < end:
                memory.seek(at)
                try:
                    piece = memory.read(min(AT_ONCE, end - at))
                except OSError:
                    break  # it has gone meanwhile
                if not piece:
                    break
                found |= {canary for canary in canaries if canary in kept + piece}
                kept, at = piece[-overlap:], at + len(piece)
    return found


@pytest.fixture
async def cameras() -> AsyncIterator[list[Camera]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Camera(CameraSettings(user="admin", password=password)))
            for password in CAMERAS
        ]


async def test_workers_and_the_fork_server_have_no_secret_but_that_of_their_own_camera(
    settings: Settings, cameras: list[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = b64encode(SIGNING)
    monkeypatch.setenv("WEBHOOK_URL", "http://127.0.0.1:9/hooks")
    monkeypatch.setenv("WEBHOOK_SECRET", f"whsec_{encoded.decode()}")
    monkeypatch.setenv("SOME_TOKEN", TOKEN)
    of_cameras = [password.encode() for password in CAMERAS]
    canaries = [SIGNING, encoded, TOKEN.encode(), *of_cameras]
    async with gateway_process(settings) as (process, url):
        server = below(process.pid)[0]
        pids: list[int] = []
        for number, camera in enumerate(cameras):
            body = {"uri": camera.login_url, "localStreamName": f"camera{number}"}
            stream = await call(url, "/rtsp/startup", body, "wait=30, timeout=60")
            assert stream["status"] == "LIVE", stream
            pids += [pid for pid in below(process.pid) if pid not in (server, *pids)]
        assert len(pids) == 2
        assert memory_has(process.pid, canaries) == set(canaries)  # so it would be found
        assert memory_has(server, canaries) == set()
        assert [memory_has(pid, canaries) for pid in pids] == [{password} for password in of_cameras]
        for pid in (server, *pids):
            told = environment(pid)
            assert not [canary for canary in canaries if canary in told]
            assert b"PATH=" in told


def test_what_is_passed_on_is_what_is_known_to_hold_no_secret() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "WEBHOOK_SECRET": "x", "webhook_secret": "x", "AWS_SECRET": "x"}
    assert clean(given, MALLOC_ARENA_MAX="2") == {"PATH": "/bin", "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}
    assert clean() == {name: value for name, value in os.environ.items() if name in clean()}
