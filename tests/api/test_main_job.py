"""The main job, end to end: a camera and a looping file, started by REST, watched in players that we did not write."""

from itertools import pairwise
from typing import Any

import pytest

from media.faultcamera.server import Camera
from tests.peers import ffmpeg, gst
from tests.peers.chromium import viewer
from tests.support.api import Api

pytestmark = pytest.mark.media

PAGE_CALL = {"uri": "vod-live://short.mp4", "localStreamName": "test", "loop": True}
PHASES = {"resolving", "connecting", "options", "describing", "setup", "playing", "waiting-keyframe"}
FRAME = 0.04


async def test_the_call_of_the_wcs_page_answers_200_with_a_stream(api: Api) -> None:
    answer = await api.post("/vod/startup", PAGE_CALL, prefer="respond-async, wait=29, timeout=59")
    assert answer.status == 200, answer.body
    assert answer.headers["Preference-Applied"] == "wait=29, timeout=59"
    job_id = answer.headers["Job-Id"]
    assert answer.headers["Content-Location"] == f"/rest-api/v3/jobs/{job_id}/result"
    stream = answer.body
    assert (stream["name"], stream["kind"], stream["status"], stream["loop"]) == ("test", "vod", "LIVE", True)
    assert (stream["video"]["codec"], stream["video"]["width"], stream["video"]["height"]) == ("h264", 640, 360)
    assert (stream["audio"]["codec"], stream["audio"]["sampleRate"]) == ("aac", 48000)
    assert stream["duration"] == pytest.approx(4.0, abs=0.02)
    job = await api.post("/jobs/find", {"id": job_id})
    assert (job.status, job.body["state"], job.body["result"]) == (200, "DONE", stream)
    assert (await api.get(answer.headers["Content-Location"])).body == stream
    found = await api.post("/stream/find", {"name": "test"})
    assert [each["id"] for each in found.body] == [stream["id"]]


async def test_a_channel_ends_when_it_is_terminated(api: Api) -> None:
    made = await api.post("/vod/startup", PAGE_CALL)
    stopped = await api.post("/vod/terminate", {"localStreamName": "test"})
    assert [stream["status"] for stream in stopped.body] == ["STOPPED"]
    assert (await api.post("/vod/find_all")).body == []
    by_id = await api.post("/stream/find", {"id": made.body["id"]})
    assert [stream["status"] for stream in by_id.body] == ["STOPPED"]
    assert (await api.get("/live/test/index.m3u8")).status == 404
    again = await api.post("/vod/startup", PAGE_CALL)
    assert again.status == 200


@pytest.mark.debian
async def test_ffmpeg_reads_a_loop_over_its_joins_without_a_timestamp_out_of_place(api: Api) -> None:
    await api.post("/vod/startup", PAGE_CALL)
    read = await ffmpeg.packets(f"{api.gateway.url}/live/test/index.m3u8", 12)
    check_video(read["video"])
    sounds = [float(packet["dts_time"]) for packet in read["audio"]]
    assert all(0 < b - a < 0.025 for a, b in pairwise(sounds))


def check_video(packets: list[dict[str, Any]], at_least: float = 10.0) -> None:
    """Decode times on an even grid, none lost, none twice."""
    times = [float(packet["dts_time"]) for packet in packets]
    assert times[-1] - times[0] >= at_least
    steps = [b - a for a, b in pairwise(times)]
    assert min(steps) > FRAME - 0.001
    assert max(steps) < FRAME + 0.001


@pytest.mark.debian
async def test_chromium_plays_a_looping_channel(api: Api) -> None:
    await api.post("/vod/startup", PAGE_CALL)
    async with viewer(f"{api.gateway.url}/live/test/") as watching:
        await watching.plays_on(6.0)  # over a join
        assert watching.complaints == []


@pytest.mark.debian
async def test_the_sample_camera_is_opened_and_played(api: Api, camera: Camera) -> None:
    await check_camera(api, camera.url, "sample")


@pytest.mark.debian
async def test_a_camera_that_we_did_not_write_is_opened_and_played(api: Api) -> None:
    async with gst.gst_camera(f"{gst.H264} {gst.AAC}") as url:
        await check_camera(api, url, "stranger")


async def check_camera(api: Api, url: str, name: str) -> None:
    """200 with codec, size and timings; plays in ffmpeg and Chromium. How soon is measured by benchmarks/cameras.py."""
    answer = await api.post("/rtsp/startup", {"uri": url, "localStreamName": name}, prefer="wait=30, timeout=30")
    assert answer.status == 200, answer.body
    stream = answer.body
    assert (stream["status"], stream["uri"], stream["transport"]) == ("LIVE", url, "tcp")
    assert (stream["video"]["codec"], stream["video"]["width"], stream["video"]["height"]) == ("h264", 640, 360)
    assert stream["audio"]["codec"] == "aac"
    assert set(stream["timings"]) == PHASES
    page, read = f"{api.gateway.url}/live/{name}/", f"{api.gateway.url}/live/{name}/index.m3u8"
    async with viewer(page) as watching:
        await watching.plays_on(2.0)
        found = await ffmpeg.packets(read, 6)
        check_video(found["video"], 5.0)
        assert watching.complaints == []
    stopped = await api.post("/rtsp/terminate", {"uri": url})
    assert [each["status"] for each in stopped.body] == ["STOPPED"]
    assert api.gateway.workers.alive == 0
