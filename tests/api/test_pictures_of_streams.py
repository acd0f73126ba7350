"""Snapshots, motion JPEG and progressive MP4 of real streams."""

import asyncio
import struct
from base64 import b64decode
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession

from gateway.app import Gateway
from gateway.settings import Settings
from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from media.faultcamera.server import Camera
from media.pictures.stills import Stills
from tests.peers import ffmpeg
from tests.support.api import Api
from tests.support.processes import until

pytestmark = pytest.mark.media


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


@pytest.fixture
async def watched(api: Api, camera: Camera) -> Api:
    """A gateway with the stream `yard`, a camera."""
    answer = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "yard"})
    assert answer.status == 200
    ring = api.gateway.catalog.ring("yard")
    assert ring is not None
    await until(lambda: ring.newest_key() is not None)
    return api


def stills(api: Api) -> Stills:
    return api.gateway.parts.stills


async def test_many_ask_for_a_picture_and_one_frame_is_decoded(watched: Api) -> None:
    ring = watched.gateway.catalog.ring("yard")
    assert ring is not None
    key = ring.newest_key()
    await until(lambda: ring.newest_key() != key)  # a fresh one: the next comes in a second
    asked = ring.newest_key()
    assert asked is not None
    answers = await asyncio.gather(*(watched.get("/live/yard.jpg") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.body.startswith(b"\xff\xd8\xff") and answer.body.endswith(b"\xff\xd9") for answer in answers)
    assert answers[0].headers["Content-Type"] == "image/jpeg"
    assert 0 <= int(answers[0].headers["Age"]) <= 10
    assert ring.segments()[0].first <= asked
    chunks = [await ring.chunk(number) for number in range(asked, ring.head)]
    assert 1 <= stills(watched).decoded <= sum(chunk.independent for chunk in chunks if chunk)  # 1, or 2 at times


async def test_a_snapshot_job_gives_a_png_unless_asked_for_a_jpeg_and_a_width(watched: Api) -> None:
    answer = await watched.post("/stream/snapshot", {"streamName": "yard"})
    assert answer.status == 200, answer.body
    assert png_size(b64decode(answer.body["data"])) == (640, 360)
    assert answer.body["age"] < 10
    assert answer.body["takenAt"].endswith("Z")
    small = await watched.post("/stream/snapshot", {"streamName": "yard", "format": "jpeg", "width": 200})
    assert (small.body["width"], small.body["height"]) == (200, 112)
    assert b64decode(small.body["data"]).startswith(b"\xff\xd8\xff")
    assert (await watched.post("/stream/snapshot", {"streamName": "nobody"})).status == 404


async def test_a_picture_of_a_camera_that_is_away_says_its_age(watched: Api, camera: Camera) -> None:
    assert (await watched.get("/live/yard.jpg")).status == 200
    camera.stalled = True
    ring = watched.gateway.catalog.ring("yard")
    assert ring is not None
    head = -1
    while head != ring.head:  # what was on its way comes in
        head = ring.head
        await asyncio.sleep(0.5)
    newest = ring.newest_key()
    wall = stills(watched)._wall
    stills(watched)._wall = lambda: wall() + 100
    answer = await watched.get("/live/yard.jpg")
    assert answer.status == 200
    assert 100 <= int(answer.headers["Age"]) < 120
    assert "Stale" in answer.headers["Warning"]
    assert ring.newest_key() == newest


async def test_motion_jpeg_shows_one_key_frame_after_the_other_and_each_at_once(watched: Api) -> None:
    url = f"{watched.gateway.url}/live/yard.mjpeg"
    async with watched.session.get(url) as response:
        assert response.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
        pictures = []
        async with asyncio.timeout(30):
            for _ in range(4):
                await response.content.readuntil(b"Content-Length: ")
                size = int(await response.content.readuntil(b"\r\n\r\n"))
                pictures.append(await response.content.readexactly(size))
        assert (await watched.post("/stream/find", {"name": "yard"})).body[0]["viewers"] == 1
    # Browsers show a picture when the next one has begun, so each comes twice.
    assert pictures[0] == pictures[1] != pictures[2] == pictures[3]
    assert all(picture.startswith(b"\xff\xd8\xff") for picture in pictures)


@pytest.mark.debian
async def test_ffmpeg_plays_the_progressive_mp4_without_a_complaint(watched: Api) -> None:
    assert await ffmpeg.complaints(f"{watched.gateway.url}/live/yard.mp4", 3) == ""


async def test_the_progressive_mp4_ends_with_its_stream(watched: Api, tmp_path: Path) -> None:
    async with watched.session.get(f"{watched.gateway.url}/live/yard.mp4") as response:
        assert response.headers["Content-Type"] == "video/mp4"
        head = await response.content.readexactly(8)
        assert head[4:] == b"ftyp"
        await watched.post("/stream/terminate", {"name": "yard"})
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                (tmp_path / "rest.mp4").write_bytes(await response.content.read())


@pytest.mark.parametrize("away", ["a channel that is paused", "a camera that is away"])
async def test_film_and_pictures_of_what_stands_still_say_something_and_go_on(
    settings: Settings, camera: Camera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, away: str
) -> None:
    """Proxies end what says nothing for a minute; here a minute is half a second."""
    often = ViewerLimits(silence=0.2)
    monkeypatch.setattr("gateway.app.PlayLimits", partial(PlayLimits, viewer=often))
    channel = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}
    async with Gateway(settings) as gateway, ClientSession() as session, asyncio.timeout(90):
        api = Api(gateway, session)
        of_file = "channel" in away
        camera_ = {"uri": camera.url, "localStreamName": "c"}
        assert (await api.post(*(("/vod/startup", channel) if of_file else ("/rtsp/startup", camera_)))).status == 200
        film, pictures = [await session.get(f"{gateway.url}/live/c.{way}") for way in ("mp4", "mjpeg")]
        boundary = b"--reelgate-picture"
        await pictures.content.readuntil(boundary)
        got = await film.content.readexactly(1000)
        if of_file:
            assert (await api.post("/vod/pause", {"localStreamName": "c"})).status == 200
        else:
            camera.stall()
        while got.count(b"\0\0\0\x08free") < 3:
            got += await asyncio.wait_for(film.content.readany(), 5)
        for _ in range(5):
            await asyncio.wait_for(pictures.content.readuntil(boundary), 5)
        if of_file:
            assert (await api.post("/vod/resume", {"localStreamName": "c"})).status == 200
            size = len(got) + 200_000
            while len(got) < size:
                got += await film.content.readany()
            file = tmp_path / "film.mp4"
            file.write_bytes(got)
            assert await ffmpeg.complaints(str(file), 1) == ""
            assert len((await ffmpeg.packets(str(file), 60))["video"]) > 25
        for each in (film, pictures):
            each.close()
