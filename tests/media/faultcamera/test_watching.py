"""Watching the camera with FFmpeg: through PyAV in this process, and with Debian's programs beside it."""

import asyncio
import json
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av
import pytest

from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings, Scheme
from tests.media.faultcamera.test_clip import read

pytestmark = pytest.mark.media

CLIP = ClipSettings(width=320, height=240, fps=Fraction(25), gop=0.4, bitrate=200_000)
PASSWORD = "p@:/%#?ß"
LIMIT = 30.0  # seconds


@dataclass
class Seen:
    """What a viewer saw: frame numbers, and the stamps of the packets by kind of track, without those that had none."""

    numbers: list[int | None] = field(default_factory=list)
    stamps: dict[str, list[int]] = field(default_factory=lambda: {"video": [], "audio": []})
    first_is_key: bool = False


def watch(url: str, transport: str, frames: int) -> Seen:
    """Blocks until so many frames are decoded; every decoding error is raised."""
    seen = Seen()
    options = {"rtsp_transport": transport, "analyzeduration": "0", "probesize": "32"}
    with av.open(url, options=options, timeout=(15, 15)) as container:
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        for packet in container.demux():
            kind = packet.stream.type
            if kind == "video" and not seen.numbers:
                seen.first_is_key = packet.is_keyframe
            if packet.pts is not None:
                seen.stamps[kind].append(packet.pts)
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    seen.numbers.append(read(frame))
            if len(seen.numbers) >= frames:
                break
    return seen


async def view(url: str, transport: str = "tcp", frames: int = 5) -> Seen:
    async with asyncio.timeout(LIMIT):
        return await asyncio.to_thread(watch, url, transport, frames)


async def run(*command: str) -> tuple[int, str, str]:
    """Runs a program to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(2 * LIMIT):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_every_frame_over_the_seam_of_the_loop_comes_in_order_at_even_times(transport: str) -> None:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        seen = await view(camera.url, transport, 110)  # the clip has 100

        assert seen.first_is_key
        assert seen.numbers[0] is not None
        assert seen.numbers == [(seen.numbers[0] + index) % 100 for index in range(110)]
        # Before its first stamp a track is counted from the first sender report, so the first step may differ.
        assert {b - a for a, b in pairwise(seen.stamps["video"])} == {3600}
        assert {b - a for a, b in pairwise(seen.stamps["audio"][1:])} == {1024}
        async with asyncio.timeout(LIMIT):
            await camera.until_empty()
        # Over TCP FFmpeg leaves pictures unread: the reset of its connection may overtake its goodbye.
        assert camera.teardowns == 1 or transport == "tcp"


async def test_b_frames_come_with_exact_times() -> None:
    clip = ClipSettings(320, 240, Fraction(25), 0.48, 200_000, 2, audio=False)
    async with Camera(CameraSettings(clip=clip)) as camera:
        seen = await view(camera.url, frames=30)

    assert seen.numbers == sorted(seen.numbers, key=lambda number: number or 0)
    stamps = sorted(seen.stamps["video"])
    assert {b - a for a, b in pairwise(stamps[:-3])} == {3600}


@pytest.mark.parametrize("scheme", ["basic", "digest", "digest-any"])
async def test_the_right_password_opens_and_a_wrong_one_does_not(scheme: Scheme) -> None:
    settings = CameraSettings(clip=CLIP, user="öl", password=PASSWORD, auth=scheme)
    async with Camera(settings) as camera:
        assert (await view(camera.login_url, "udp")).first_is_key  # over TCP its goodbye may be lost in a reset
        async with asyncio.timeout(LIMIT):
            await camera.until_asked("TEARDOWN")  # the goodbye of the one who was let in is none of theirs
        asked = len(camera.requests)
        for url in (camera.url, camera.url.replace("rtsp://", "rtsp://u:wrong@")):
            with pytest.raises(av.HTTPUnauthorizedError):
                await view(url)
        assert 2 <= len(camera.requests) - asked <= 6


async def test_ffmpeg_does_not_ask_for_ever_when_every_nonce_is_stale() -> None:
    async with Camera(CameraSettings(clip=CLIP, user="u", password="p", nonce_lifetime=0.0)) as camera:
        with pytest.raises(av.HTTPUnauthorizedError):
            await view(camera.login_url)

        assert len(camera.requests) <= 10


async def test_a_nonce_that_grew_stale_between_two_requests_is_renewed() -> None:
    async with Camera(CameraSettings(clip=CLIP, user="u", password="p")) as camera:
        camera.delay("SETUP", 0.3)
        viewing = asyncio.create_task(view(camera.login_url))
        async with asyncio.timeout(LIMIT):
            await camera.until_asked("SETUP")
        camera.expire_nonces()

        assert (await viewing).first_is_key


async def test_another_path_is_not_found() -> None:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        with pytest.raises(av.HTTPNotFoundError):
            await view(camera.url + "x")


async def test_a_wrap_of_the_rtp_clock_is_no_step_for_ffmpeg() -> None:
    async with Camera(CameraSettings(clip=CLIP, faults=("wrap=1",))) as camera:
        seen = await view(camera.url, frames=60)

    assert {b - a for a, b in pairwise(seen.stamps["video"])} == {3600}


@pytest.mark.debian
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_debian_ffmpeg_decodes_two_at_once_without_a_word(transport: str) -> None:
    settings = CameraSettings(clip=CLIP, user="u", password=PASSWORD)
    async with Camera(settings) as camera:
        command = ["ffmpeg", "-v", "warning", "-xerror", "-rtsp_transport", transport, "-i", camera.login_url]
        command += ["-t", "3", "-f", "null", "-"]
        results = await asyncio.gather(run(*command), run(*command))

        assert [code for code, _, _ in results] == [0, 0]
        # FFmpeg's own wish for more probing is the one thing that it may say.
        said = [line for _, _, error in results for line in error.splitlines() if "analyzeduration" not in line]
        assert said == []


@pytest.mark.debian
async def test_debian_ffprobe_reads_what_was_asked_for() -> None:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        command = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-show_streams", "-of", "json", camera.url]
        code, out, error = await run(*command)

    assert (code, error) == (0, "")
    video, audio = json.loads(out)["streams"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 320, 240)
    assert (video["profile"], video["has_b_frames"], video["r_frame_rate"]) == ("High", 0, "25/1")
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 1)
