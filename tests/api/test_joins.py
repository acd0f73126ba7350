"""Real players over the joins of a loop of 4 s: by the numbers in its pictures none is lost and none comes twice."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator

import pytest

from media.faultcamera.clip import marks
from tests.conftest import SOAK
from tests.peers.chromium import viewer
from tests.support.api import Api

pytestmark = [pytest.mark.media, pytest.mark.debian]

SECONDS = 60 if SOAK else 6  # over a join at the least
# ffmpeg knows an init by the address of a record that it makes anew with each playlist, so it reads it again and says
# that it needs it once: of any server's fragmented MP4, and whatever the playlist says.
MOOV = re.compile("duplicated MOOV Atom|Last message repeated")
WIDTH, HEIGHT, RATE, ROUND = 640, 360, 25, 100
LOOP = "vod-live://short.mp4"
CHANNEL = {"uri": LOOP, "localStreamName": "c", "loop": True}
# The short form goes over the joins of one file; a list of two has the same ones, between two packages.
PLAYED = [LOOP, [LOOP, "vod-live://again.mp4"]] if SOAK else [LOOP]


async def numbers(command: list[str], limit: int) -> tuple[list[int | None], str]:
    """The marks of the grey pictures that a command writes to its output, and what it complained about."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=WIDTH * HEIGHT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    found: list[int | None] = []
    try:
        async with asyncio.timeout(SECONDS + 60):
            async for picture in pictures(process.stdout):
                found.append(marks.read(picture, WIDTH, WIDTH, HEIGHT))
                if len(found) == limit:
                    break
    finally:
        if process.returncode is None:
            process.kill()
        _, complaints = await process.communicate()
    return found, complaints.decode()


async def pictures(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            yield await output.readexactly(WIDTH * HEIGHT)
    except asyncio.IncompleteReadError:
        return


def check(found: list[int | None]) -> None:
    assert len(found) == SECONDS * RATE
    assert None not in found
    assert found == [(found[0] + step) % ROUND for step in range(len(found))]  # type: ignore[operator]


@pytest.mark.parametrize("uri", PLAYED, ids=["loop", "list"][: len(PLAYED)])
async def test_ffmpeg_sees_every_picture_once_over_the_joins(api: Api, uri: str | list[str]) -> None:
    root = api.gateway.settings.media_dir
    shutil.copyfile(root / "short.mp4", root / "again.mp4")
    await api.post("/vod/startup", {**CHANNEL, "uri": uri}, prefer="wait=30, timeout=30")
    url = f"{api.gateway.url}/live/c/index.m3u8"
    grey = ["-map", "0:v", "-f", "rawvideo", "-pix_fmt", "gray", "-fps_mode", "passthrough", "pipe:1"]
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-i", url, "-frames:v", str(SECONDS * RATE), *grey]
    found, complaints = await numbers(command, SECONDS * RATE)
    check(found)
    assert [line for line in complaints.splitlines() if not MOOV.search(line)] == []


async def test_gstreamer_sees_every_picture_once_over_the_joins(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    source = f"souphttpsrc location={api.gateway.url}/live/c/media.m3u8 ! hlsdemux ! qtdemux ! h264parse ! avdec_h264"
    sink = f"videoconvert ! video/x-raw,format=GRAY8,width={WIDTH} ! fdsink fd=1"
    found, _ = await numbers(["gst-launch-1.0", "-q", *f"{source} ! {sink}".split()], SECONDS * RATE)
    check(found)


async def test_chromium_plays_over_the_joins_without_a_stall(api: Api) -> None:
    await api.post("/vod/startup", CHANNEL)
    async with viewer(f"{api.gateway.url}/live/c/") as watching:
        await watching.plays_on(1.0)
        count = "document.querySelector('video').addEventListener('waiting', () => window.stalls++)"
        await watching.page.evaluate(f"() => {{ window.stalls = 0; {count}; }}")
        stalls: list[int] = []
        # A join that stalls a player does so each time, a machine that was late does not.
        while (not stalls or stalls[-1]) and len(stalls) < (2 if SOAK else 5):
            await watching.page.evaluate("() => { window.stalls = 0; }")
            await watching.plays_on(float(SECONDS), limit=SECONDS + 30)
            stalls.append(await watching.page.evaluate("window.stalls"))
        assert stalls[-1] == 0, stalls
        assert watching.complaints == []
