"""The transcoder at work: what it reads, what it makes of breaks, of a lack of room, of the end of its worker."""

import asyncio
import os
import signal
import time
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.app import Gateway
from media.chunk import Init, VideoTrack
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.mp4.fragments import Fragment, fragments
from media.process.capacity import Capacity, Load
from media.stream import Stream
from media.transcoding import transcoder
from media.transcoding.transcoder import TranscodedStream
from tests.support import torture_pictures
from tests.support.api import Answer, Api
from tests.support.pictures import Pixel, plain
from tests.support.processes import only_worker, until
from tests.support.torture_pictures import GREY, HEIGHT, WIDTH, change, put, start

pytestmark = pytest.mark.media

RED: Pixel = (255, 0, 0, 255)


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return torture_pictures.gateway(tmp_path)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped for a while is never taken for a hung one, however late its silence is noticed."""
    monkeypatch.setattr(transcoder, "HEARTBEAT", 100.0)


def code_of(stream: Stream) -> str | None:
    """Of its last trouble."""
    last = stream.record()["lastError"]
    return last["code"] if last else None


def test_fragments_are_read_as_they_were_written() -> None:
    video = (Sample(b"one", 3600, True, 7200), Sample(b"three", 3600, False, -3600))
    audio = (Sample(b"x", 1024, True),)
    data = fmp4.fragment(1, 5, 2**40, video) + fmp4.fragment(2, 6, 99, audio)
    assert list(fragments(data)) == [Fragment(1, 2**40, video), Fragment(2, 99, audio)]


@pytest.mark.parametrize("damaged", [b"x" * 100, fmp4.fragment(1, 1, 0, [Sample(b"abc", 1, True)])[:-1]])
def test_bytes_that_are_no_fragments_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="fragment"):
        list(fragments(damaged))


def test_the_budget_is_kept_and_given_back() -> None:
    capacity = Capacity(1.0)
    hd = Load((1280, 720), (1280, 720), 25.0)
    for number in range(3):
        capacity.reserve(str(number), hd)
    with pytest.raises(Fault) as caught:
        capacity.reserve("5", hd)
    assert caught.value.code == "capacity-exceeded"
    assert "cores" in caught.value.detail
    capacity.reserve("0", hd)  # it has its place already
    capacity.reserve("restored", hd, insist=True)
    for name in ("0", "1", "restored", "restored"):
        capacity.release(name)
    capacity.reserve("5", hd)
    assert Capacity(1.0, speed=5.0).speed * hd.cores > 1.0  # a slow machine has room for fewer


def test_an_init_of_a_source_tells_what_it_will_cost() -> None:
    small, large = Load((640, 360), (640, 360), 25.0).cores, Load((1920, 1080), (1920, 1080), 30.0).cores
    assert 0.03 < small < 0.1
    assert 0.5 < large < 0.9
    assert Init(b"", VideoTrack("avc1.640028", 90000, 640, 360), None).video is not None


async def test_a_transcoder_is_a_stream_with_a_grid_of_its_own(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    answer = await start(api, "red.png", width=320, keyFrameInterval=25, fps=25)
    assert answer.status == 200, answer.body
    stream = answer.body
    assert (stream["kind"], stream["uri"], stream["source"], stream["status"]) == (
        "transcoder", torture_pictures.URI, "grey", "LIVE",
    )  # fmt: skip
    assert (stream["video"]["width"], stream["video"]["height"], stream["video"]["mode"]) == (320, 180, "transcode")
    assert stream["watermark"]["file"] == "red.png"
    (await torture_pictures.picture(api)).check_box(RED, 320 - 96, 180 - 56, 80, 40)
    ring = torture_pictures.live(api)
    chunks = await torture_pictures.collected(ring, ring.segments()[0].first, ring.head + 12)
    keys = [chunk.decode_time for chunk in chunks if chunk.independent]
    assert {b - a for a, b in pairwise(keys)} == {90000}
    for family, asked in (("transcoder", {"localStreamName": "marked"}), ("stream", {"remoteStreamName": "grey"})):
        found = await api.post(f"/{family}/find", asked)
        assert [each["id"] for each in found.body] == [stream["id"]]
    assert (await api.post("/transcoder/find", {"remoteStreamName": "marked"})).status == 404
    await only_worker(api.gateway.workers)
    stopped = await api.post("/transcoder/terminate", {"uri": torture_pictures.URI})
    assert [each["status"] for each in stopped.body] == ["STOPPED"]
    assert api.gateway.workers.alive == 0
    assert api.gateway.calibration.capacity.used == 0


@pytest.mark.parametrize(("asked", "bits"), [(800, 800_000), (9_999, 9_999_000), (50_000, 50_000)])
async def test_a_bitrate_in_kilobits_is_taken_as_such_and_told(api: Api, asked: int, bits: int) -> None:
    answer = await start(api, width=160, bitrate=asked)
    assert (answer.status, answer.body["encoder"]["bitrate"]) == (200, bits), answer.body
    told = {each["code"]: each["detail"] for each in answer.body["warnings"]}
    expected = f"A bitrate of {asked} is taken as kbit/s, as WCS has it: {bits} bits a second."
    assert told.get("bitrate-in-kilobits") == (expected if asked < 10_000 else None)


async def test_a_bitrate_that_is_neither_is_refused(api: Api) -> None:
    for asked in (-1, 0, 49, 10_000, 49_999, 50_000_001, "800", 800.5):
        refused = await start(api, bitrate=asked)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "encoder.bitrate"), asked


async def test_a_watermark_is_put_on_moved_faded_and_removed_in_flight(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    assert (await start(api)).status == 200
    ring = torture_pictures.live(api)
    first = ring.head
    assert (await change(api, x=1)).status == 422  # there is none to move
    answer = await change(api, watermark="red.png")
    assert (answer.status, answer.body["watermark"]["file"]) == (200, "red.png")
    assert answer.body["video"]["reason"] == "a watermark needs every frame encoded anew"
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)
    answer = await change(api, anchor="top-left", opacity=0.5)
    assert (answer.body["watermark"]["anchor"], answer.body["watermark"]["opacity"]) == ("top-left", 0.5)
    (await torture_pictures.picture(api)).check_box((192, 64, 64), 16, 16, 80, 40)
    answer = await change(api, watermark=None)
    assert answer.body["watermark"] is None
    assert answer.body["video"]["reason"] == "a transcoder encodes every frame anew"
    assert (await torture_pictures.picture(api)).is_(GREY, 40, 30)
    chunks = await torture_pictures.collected(ring, first, ring.head - 1)
    assert len({chunk.init.id for chunk in chunks}) == 1
    assert not any(chunk.discontinuity for chunk in chunks[1:])


async def test_a_broken_picture_changes_nothing(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    put(api, "broken.png", plain(RED, 80, 40)[:60])
    assert (await start(api, "red.png")).status == 200
    answer = await change(api, watermark="broken.png")
    assert (answer.status, answer.body["code"]) == (422, "image-corrupt")
    assert (await change(api, watermark="none.png")).body["code"] == "image-not-found"
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)


async def test_what_cannot_be_started_is_refused_with_its_reason(api: Api) -> None:
    await until(lambda: api.gateway.workers.alive == 0)  # what has packaged `grey` is on its way out
    put(api, "broken.png", b"GIF89a")
    assert (await start(api, source="nobody")).body["code"] == "not-found"
    assert (await start(api, "broken.png")).body["code"] == "image-not-supported"
    assert (await start(api, "none.png")).body["code"] == "image-not-found"
    assert (await start(api, name="grey")).body["code"] == "name-in-use"
    assert (await start(api, width=1)).body["code"] == "invalid-field"
    assert (await change(api)).body["code"] == "not-found"
    assert api.gateway.workers.alive == 0


async def test_over_the_budget_a_start_fails_and_what_runs_goes_on(tmp_path: Path) -> None:
    async with torture_pictures.gateway(tmp_path, transcode_cores=0.05) as api:
        await api.gateway.calibration.done()
        api.gateway.capacity.speed = 1.0  # else a fast machine has room for both, and a slow one for none
        assert (await start(api, width=160)).status == 200
        running = torture_pictures.live(api).head
        answer = await start(api, name="second")
        assert (answer.status, answer.body["code"], answer.body["retryable"]) == (503, "capacity-exceeded", True)
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await api.post("/stream/find", {"name": "second"})).status == 404
        assert await torture_pictures.live(api).wait(running + 3)


async def test_a_source_that_goes_away_is_waited_for(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    assert (await start(api, "red.png")).status == 200
    stream = api.gateway.catalog.holder("marked")
    assert stream is not None
    await api.post("/vod/terminate", {"localStreamName": "grey"})
    await until(lambda: stream.record()["status"] == "WAITING")
    assert code_of(stream) == "source-timeout"
    await api.post("/vod/startup", {"uri": "vod-live://grey.mp4", "localStreamName": "grey", "loop": True})
    await until(lambda: stream.record()["status"] == "LIVE")
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)
    ring = torture_pictures.live(api)
    times = [segment.decode_time for segment in ring.segments()]
    assert times == sorted(times)


async def test_a_worker_that_dies_is_replaced_under_the_same_ring_and_watermark(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    assert (await start(api, "red.png")).status == 200
    stream, ring = api.gateway.catalog.holder("marked"), torture_pictures.live(api)
    assert stream is not None
    os.kill(await only_worker(api.gateway.workers), signal.SIGKILL)
    await until(lambda: code_of(stream) == "worker-crashed")
    await until(lambda: stream.record()["status"] == "LIVE")
    assert torture_pictures.live(api) is ring
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)
    assert stream.record()["restarts"] == 1


async def test_a_transcoder_comes_back_after_a_restart_of_the_gateway(tmp_path: Path) -> None:
    async with torture_pictures.gateway(tmp_path) as api:
        put(api, "red.png", plain(RED, 80, 40))
        assert (await start(api, "red.png")).status == 200
        settings = api.gateway.settings
    async with Gateway(settings) as gateway:
        stream = gateway.catalog.holder("marked")
        assert stream is not None
        await until(lambda: stream.record()["status"] == "LIVE")
        assert stream.record()["watermark"]["file"] == "red.png"


@pytest.mark.usefixtures("patient")
async def test_a_slow_worker_costs_whole_groups_of_pictures_and_says_so(api: Api) -> None:
    assert (await start(api)).status == 200
    stream = api.gateway.catalog.holder("marked")
    assert stream is not None
    pid = await only_worker(api.gateway.workers)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(4.5)
    os.kill(pid, signal.SIGCONT)
    ring = torture_pictures.live(api)
    await until(lambda: bool(stream.record()["warnings"]))
    assert [each["code"] for each in stream.record()["warnings"]] == ["overloaded"]
    assert await ring.wait(ring.head + 3)
    assert len({segment.init.id for segment in ring.segments()}) == 1


async def a_change_that_waits(api: Api) -> tuple[TranscodedStream, int, asyncio.Task[Answer]]:
    """The stream, its worker, which stands still, and a change of the watermark that this has been told."""
    put(api, "red.png", plain(RED, 80, 40))
    assert (await start(api)).status == 200
    stream = api.gateway.catalog.holder("marked")
    assert isinstance(stream, TranscodedStream)
    pid = await only_worker(api.gateway.workers)
    os.kill(pid, signal.SIGSTOP)
    changing = asyncio.create_task(change(api, watermark="red.png"))
    await until(lambda: bool(stream._orders))  # the picture has been read, and the worker told
    return stream, pid, changing


@pytest.mark.usefixtures("patient")
async def test_a_change_whose_worker_dies_fails_and_is_not_kept(api: Api) -> None:
    stream, pid, changing = await a_change_that_waits(api)
    os.kill(pid, signal.SIGKILL)
    answer = await changing
    assert (answer.status, answer.body["code"]) == (500, "worker-crashed")
    await until(lambda: stream.record()["status"] == "WAITING" or stream.record()["restarts"] == 1)
    await until(lambda: stream.record()["status"] == "LIVE")
    assert stream.record()["watermark"] is None
    assert (await torture_pictures.picture(api)).is_(GREY, WIDTH - 50, HEIGHT - 30)


@pytest.mark.usefixtures("patient")
async def test_a_change_whose_transcoder_is_ended_meanwhile_is_told_so_at_once(api: Api) -> None:
    _, _, changing = await a_change_that_waits(api)
    assert (await api.post("/transcoder/terminate", {"uri": torture_pictures.URI})).status == 200
    answer = await changing
    assert (answer.status, answer.body["code"]) == (409, "resource-busy")


async def test_a_gateway_that_stood_still_does_not_take_its_worker_for_hung(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await start(api)).status == 200
    stream, ring, pid = (
        api.gateway.catalog.holder("marked"),
        torture_pictures.live(api),
        await only_worker(api.gateway.workers),
    )
    assert stream is not None
    os.kill(pid, signal.SIGSTOP)  # both stand still, as with a machine that sleeps
    await asyncio.sleep(0.2)  # what it has said before is heard
    monkeypatch.setattr(transcoder, "HEARTBEAT", 1.0)
    time.sleep(2.0)  # noqa: ASYNC251 - the loop is to stand still
    await asyncio.sleep(0.1)  # the look that was due
    monkeypatch.setattr(transcoder, "HEARTBEAT", 100.0)
    os.kill(pid, signal.SIGCONT)
    assert await ring.wait(ring.head + 2)
    assert stream.record()["restarts"] == 0
