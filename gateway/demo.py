"""The demo: a gateway with a sample camera and a looping channel, in a folder that is gone afterwards."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from gateway.app import Gateway
from gateway.settings import Settings
from media.process.environment import clean

CAMERA_READY: Final = "camera ready "
START_LIMIT: Final = 60.0  # seconds for anything of the demo to come up

TEXT: Final = """
Reelgate is running. Ctrl-C ends it and leaves nothing behind.

  All streams          {url}/
  The sample camera    {url}/live/camera/      ({camera})
  A looping channel    {url}/live/channel/

Loop a file as a live channel, wait at most 3 s for the answer, try for at most 10 s:

  curl -i {url}/rest-api/v3/vod/startup \\
    -H 'Content-Type: application/json' -H 'Prefer: respond-async, wait=3, timeout=10' \\
    -d '{{"uri": "vod-live://sample.mp4", "localStreamName": "test", "loop": true}}'

Open a camera that does not exist, and see what became of the job:

  curl -i {url}/rest-api/v3/rtsp/startup \\
    -H 'Content-Type: application/json' -H 'Prefer: respond-async, wait=1, timeout=5' \\
    -d '{{"uri": "rtsp://127.0.0.1:9/none", "localStreamName": "nobody"}}'
  curl {url}/rest-api/v3/jobs/find_all

Read and check a picture before it is used as a watermark:

  curl -i {url}/rest-api/v3/watermark/startup -H 'Content-Type: application/json' -d '{{"watermark": "logo.png"}}'

See all streams, end one:

  curl {url}/rest-api/v3/stream/find_all
  curl {url}/rest-api/v3/stream/terminate -H 'Content-Type: application/json' -d '{{"name": "test"}}'
"""


async def run() -> int:
    """Runs the demo until SIGINT or SIGTERM; returns the exit status."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        with tempfile.TemporaryDirectory(prefix="reelgate-demo-") as folder:
            await _run_in(Path(folder), stop)
    except (OSError, RuntimeError) as error:
        print(f"reelgate demo: {error}", file=sys.stderr)
        return 2
    return 0


async def _run_in(folder: Path, stop: asyncio.Event) -> None:
    settings = Settings(media_dir=folder / "media", data_dir=folder / "data", cache_dir=folder / "cache")
    settings.media_dir.mkdir()
    print("Making sample media ...", flush=True)
    await _finished("-m", "media.faultcamera.sample", str(settings.media_dir))
    async with _camera() as camera, Gateway(settings) as gateway:
        await _start(gateway.url, "/rtsp/startup", {"uri": camera, "localStreamName": "camera"})
        channel = {"uri": "vod-live://sample.mp4", "localStreamName": "channel", "loop": True}
        await _start(gateway.url, "/vod/startup", channel)
        print(TEXT.format(url=gateway.url, camera=camera), flush=True)
        await stop.wait()
        print("\nEnding ...", flush=True)


async def _start(url: str, path: str, body: dict[str, Any]) -> None:
    """Calls the gateway's own REST API by the paths that never answer 202, since a slow machine needs longer."""
    headers = {"Prefer": "timeout=60"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as session,
        session.post(f"/rest-api{path}", json=body) as answer,
    ):
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {json.dumps(await answer.json(), indent=2)}")


async def _finished(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, start_new_session=True, env=clean())
    async with asyncio.timeout(START_LIMIT):
        status = await process.wait()
    if status:
        raise RuntimeError(f"python {' '.join(arguments)} ended with {status}")


@contextlib.asynccontextmanager
async def _camera() -> AsyncIterator[str]:
    """The sample camera as a process of its own; gives its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "media.faultcamera",
        "--port",
        "0",
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=clean(),
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the sample camera has no output")
        async with asyncio.timeout(START_LIMIT):
            line = (await process.stdout.readline()).decode()
        if not line.startswith(CAMERA_READY):
            raise RuntimeError("the sample camera did not start")
        yield line.removeprefix(CAMERA_READY).strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
