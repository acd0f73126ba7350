"""Looping channels with a watermark burnt in, from REST to the pixels that a player sees."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.app import Gateway
from gateway.kinds import vod_watermark
from gateway.settings import Settings
from media.channel.channel import ChannelStream
from media.channel.channel_ring import ChannelRing
from media.faults import Fault
from tests.support import torture_pictures
from tests.support.api import Answer, Api
from tests.support.pictures import Pixel, plain
from tests.support.processes import only_worker, until
from tests.support.torture_pictures import GREY, put

pytestmark = pytest.mark.media

RED: Pixel = (255, 0, 0, 255)
BLUE: Pixel = (0, 0, 255, 255)


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[Api]:
    """A gateway with what these tests need on it."""
    async with torture_pictures.gateway(folder) as api:
        put(api, "red.png", plain(RED, 80, 40))
        put(api, "blue.png", plain(BLUE, 80, 40))
        yield api


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return prepared(tmp_path)


async def channel(api: Api, watermark: Any, name: str = "c", **more: Any) -> Answer:
    body = {"uri": "vod-live://grey.mp4", "localStreamName": name, "loop": True, "watermark": watermark, **more}
    return await api.post("/vod/startup", body, prefer="wait=30, timeout=30")


async def test_a_channel_shows_the_watermark_that_was_burnt_in_and_has_no_worker_afterwards(api: Api) -> None:
    answer = await channel(api, {"file": "red.png", "x": 100, "y": 50})
    assert answer.status == 200, answer.body
    assert answer.body["watermark"]["file"] == "red.png"
    assert (answer.body["video"]["mode"], answer.body["video"]["width"]) == ("transcode", torture_pictures.WIDTH)
    assert "watermark" in answer.body["video"]["reason"]
    await until(lambda: api.gateway.workers.alive == 0, 60)
    await until(lambda: api.gateway.capacity.used == 0)
    shown = await torture_pictures.picture(api, "c")
    shown.check_box(RED, 100, 50, 80, 40)
    chunks = await torture_pictures.collected(torture_pictures.live(api, "c"), 0, 8)  # more than a round
    assert len({chunk.init.id for chunk in chunks}) == 1
    assert not any(chunk.discontinuity for chunk in chunks)
    assert all(a.decode_time + a.duration == b.decode_time for a, b in pairwise(chunks))
    ticks = sum(chunk.duration for chunk in chunks)
    assert len(torture_pictures.frames(chunks)) == ticks * 25 // chunks[0].init.timescale


async def remark(api: Api, name: str = "c", **what: Any) -> Answer:
    return await api.post("/vod/set_watermark", {"localStreamName": name, **what}, prefer="wait=30, timeout=30")


async def record(api: Api, name: str = "c") -> dict[str, Any]:
    found: dict[str, Any] = (await api.post("/vod/find", {"localStreamName": name})).body[0]
    return found


async def seen(api: Api, name: str = "c") -> dict[str, Any]:
    """The record when the watermark that was asked for is on air."""
    async with asyncio.timeout(60):
        while (await record(api, name))["nextWatermark"] is not None:
            await torture_pictures.newest(torture_pictures.live(api, name), 1)
    return await record(api, name)


async def test_a_changed_watermark_is_packaged_beside_the_channel_and_comes_at_a_join_without_a_seam(api: Api) -> None:
    assert (await channel(api, {"file": "red.png", "x": 100, "y": 50})).status == 200
    await until(lambda: api.gateway.workers.alive == 0, 60)
    ring = torture_pictures.live(api, "c")
    first = ring.head
    answer = await remark(api, watermark="blue.png", y=60)
    assert answer.status == 200, answer.body
    assert (answer.body["watermark"]["file"], answer.body["nextWatermark"]["file"]) == ("red.png", "blue.png")
    assert (await seen(api))["watermark"] == {**answer.body["watermark"], **named(api, "blue.png"), "y": 60}
    chunks = await torture_pictures.collected(ring, first, ring.head)
    assert len({chunk.init.id for chunk in chunks}) == 1
    assert not any(chunk.discontinuity for chunk in chunks)
    assert all(a.decode_time + a.duration == b.decode_time for a, b in pairwise(chunks))
    key = next(number for number, chunk in enumerate(chunks) if chunk.independent)
    frames = [torture_pictures.Shown(frame) for frame in torture_pictures.frames(chunks[key:])]
    blue = [frame.is_(BLUE, 140, 80) for frame in frames]
    join = blue.index(True)
    assert not any(blue[:join])
    assert all(blue[join:])
    assert all(frame.is_(RED, 140, 70) for frame in frames[:join])
    frames[-1].check_box(BLUE, 100, 60, 80, 40)
    ticks = chunks[0].init.timescale // 25
    shown_from = chunks[key].decode_time // ticks
    assert (shown_from + join) % 50 == 0  # a round is two seconds


def named(api: Api, file: str) -> dict[str, str]:
    return {"file": file, "sha256": sha256((api.gateway.settings.media_dir / file).read_bytes()).hexdigest()}


async def test_a_watermark_is_removed_put_on_moved_and_faded_at_joins(api: Api) -> None:
    assert (await channel(api, {"file": "red.png", "x": 100, "y": 50})).status == 200
    answer = await remark(api)
    assert answer.body["nextWatermark"]["file"] is None
    assert (await seen(api))["watermark"] is None
    after = await record(api)
    assert (after["video"]["mode"], after["warnings"]) == ("copy", [])
    shown = await torture_pictures.picture(api, "c")
    assert shown.is_(GREY, 140, 70)
    assert (await remark(api, x=5)).body["code"] == "invalid-field"
    assert (await remark(api, watermark={"file": "blue.png", "anchor": "top-left"}, opacity=0.5)).status == 200
    assert (await seen(api))["watermark"]["opacity"] == 0.5
    (await torture_pictures.picture(api, "c")).check_box((64, 64, 192), 16, 16, 80, 40)
    assert (await remark(api, opacity=1, anchor="center")).status == 200
    await seen(api)
    (await torture_pictures.picture(api, "c")).check_box(BLUE, 280, 160, 80, 40)


async def test_a_marked_channel_is_as_it_was_after_a_restart_without_its_picture_or_a_worker(tmp_path: Path) -> None:
    async with torture_pictures.gateway(tmp_path) as api:
        put(api, "red.png", plain(RED, 80, 40))
        before = (await channel(api, {"file": "red.png", "x": 100, "y": 50})).body
        await until(lambda: api.gateway.workers.alive == 0, 60)
        settings = api.gateway.settings
    (settings.media_dir / "red.png").unlink()
    async with Gateway(settings) as gateway, ClientSession() as session:
        api = Api(gateway, session)
        await until(lambda: all(stream.ring is not None for stream in gateway.catalog.streams()))
        after = await record(api)
        assert (after["id"], after["watermark"]) == (before["id"], before["watermark"])
        (await torture_pictures.picture(api, "c")).check_box(RED, 100, 50, 80, 40)
        assert gateway.workers.alive == 0


async def test_a_restart_before_the_join_shows_the_old_watermark_and_one_after_it_goes_on_with_the_new(
    tmp_path: Path,
) -> None:
    async with torture_pictures.gateway(tmp_path) as api:
        for name, colour in (("red.png", RED), ("blue.png", BLUE)):
            put(api, name, plain(colour, 80, 40))
        assert (await channel(api, "red.png")).status == 200
        assert (await api.post("/vod/pause", {"localStreamName": "c"})).status == 200  # it comes to no join
        assert (await remark(api, watermark="blue.png")).status == 200
        await until(lambda: api.gateway.workers.alive == 0, 60)
        settings = api.gateway.settings
    async with restarted(settings) as api:
        before = await record(api)
        assert (before["watermark"]["file"], before["nextWatermark"]["file"]) == ("red.png", "blue.png")
        stream, kept = api.gateway.catalog.holder("c"), list[dict[str, Any]]()
        assert isinstance(stream, ChannelStream)
        api.gateway.catalog.listeners.append(lambda told: kept.append(told.wanted()) if told is stream else None)
        assert (await api.post("/vod/resume", {"localStreamName": "c"})).status == 200
        await until(lambda: bool(kept) and kept[-1]["mark"]["file"] == "blue.png", 60)
        assert kept[-1]["nextMark"] == kept[-1]["mark"]
    async with restarted(settings) as api:
        after, ring = await record(api), torture_pictures.live(api, "c")
        assert (after["watermark"]["file"], after["nextWatermark"]) == ("blue.png", None)
        assert isinstance(ring, ChannelRing)
        assert {**asdict(ring.start), "at": 0} == {**kept[-1]["start"], "at": 0}


@asynccontextmanager
async def restarted(settings: Settings) -> AsyncIterator[Api]:
    """A gateway whose channels are back."""
    async with Gateway(settings) as gateway, ClientSession() as session:
        await until(lambda: all(stream.ring is not None for stream in gateway.catalog.streams()), 60)
        yield Api(gateway, session)


async def test_a_file_that_is_replaced_gets_the_watermark_too(api: Api) -> None:
    assert (await channel(api, {"file": "red.png", "x": 100, "y": 50})).status == 200
    await until(lambda: api.gateway.workers.alive == 0, 60)
    torture_pictures.grey(api.gateway.settings.media_dir / "grey.mp4", (480, 200))
    ring = torture_pictures.live(api, "c")
    async with asyncio.timeout(60):
        while (await torture_pictures.newest(ring, 1))[-1].init.video.width != 480:  # type: ignore[union-attr]
            pass
    shown = await torture_pictures.picture(api, "c")
    assert shown.size == (480, 200)
    shown.check_box(RED, 100, 50, 80, 40)


async def test_what_cannot_be_burnt_in_changes_nothing_and_says_why(api: Api) -> None:
    put(api, "half.png", plain(RED, 80, 40)[:-40])
    put(api, "moving.gif", b"GIF89a" + bytes(40))
    for mark, code in (("none.png", "image-not-found"), ("half.png", "image-corrupt")):
        assert (await channel(api, mark)).body["code"] == code
    assert (await channel(api, "red.png")).status == 200
    await until(lambda: api.gateway.workers.alive == 0, 60)
    for what, code in (
        ({"watermark": "half.png"}, "image-corrupt"),
        ({"watermark": "moving.gif"}, "image-not-supported"),
        ({"watermark": "../red.png"}, "invalid-field"),
        ({"name": "other"}, "not-found"),
    ):
        assert (await remark(api, **what)).body["code"] == code, what
    assert (await channel(api, None, "once", loop=False)).status == 200
    assert (await remark(api, "once", watermark="red.png")).body["code"] == "invalid-field"
    capacity = api.gateway.capacity
    capacity.cores = 1.0
    capacity.reserve_thread("other")
    refused = await remark(api, watermark="blue.png")
    assert (refused.status, refused.body["code"]) == (503, "capacity-exceeded")
    assert int(refused.headers["Retry-After"]) > 0
    after = await record(api)
    assert (after["watermark"]["file"], after["nextWatermark"]) == ("red.png", None)
    assert api.gateway.catalog.pictures() == {after["watermark"]["sha256"]}


async def test_a_channel_that_is_being_stopped_takes_no_version_any_more(api: Api) -> None:
    stream = api.gateway.catalog.holder("grey")
    assert isinstance(stream, ChannelStream)
    version = stream.version(None)
    await version.acquire()
    stopping = asyncio.create_task(stream.stop())
    await asyncio.sleep(0)
    assert stream.ring is not None  # it is under way, and it waits
    with pytest.raises(Fault, match="is not on air"):
        stream.take(version)
    await version.release()
    await stopping


def test_a_new_version_whose_disk_did_not_answer_until_the_deadline_is_told_as_such() -> None:
    assert vod_watermark.KIND.timeout_cause("stalled") == "source-timeout"


async def test_a_new_version_that_breaks_while_it_is_packaged_leaves_the_old_one(api: Api) -> None:
    await asyncio.to_thread(torture_pictures.grey, api.gateway.settings.media_dir / "grey.mp4", (640, 360), 90)
    assert (await channel(api, None)).status == 200
    await until(lambda: api.gateway.workers.alive == 0, 60)
    answer = await remark(api, watermark="red.png")
    assert answer.status == 200, answer.body
    assert answer.body["nextWatermark"]["at"] is None  # not packaged yet
    os.kill(await only_worker(api.gateway.workers), signal.SIGKILL)
    await until(lambda: api.gateway.workers.alive == 0, 60)
    (stream,) = (one for one in api.gateway.catalog.streams() if one.identity.name == "c")
    await until(lambda: bool(stream.record()["warnings"]), 60)
    after = await record(api)
    assert [warning["code"] for warning in after["warnings"]] == ["watermark-kept"]
    assert (after["watermark"], after["nextWatermark"], after["status"]) == (None, None, "LIVE")
    await until(lambda: api.gateway.capacity.used == 0)


@pytest.mark.soak
async def test_a_list_of_files_is_marked_in_all_of_them(api: Api) -> None:
    torture_pictures.grey(api.gateway.settings.media_dir / "second.mp4")
    uris = ["vod-live://grey.mp4", "vod-live://second.mp4"]
    assert (await channel(api, {"file": "red.png", "x": 100, "y": 50}, uri=uris)).status == 200
    await until(lambda: api.gateway.workers.alive == 0, 60)
    answer = await remark(api, watermark="blue.png")
    assert answer.status == 200, answer.body
    await seen(api)
    ring = torture_pictures.live(api, "c")
    chunks = await torture_pictures.collected(ring, 0, ring.head + 6)
    shown = [torture_pictures.Shown(frame) for frame in torture_pictures.frames(chunks)]
    marked = [("red" if one.is_(RED, 140, 70) else "blue" if one.is_(BLUE, 140, 70) else "none") for one in shown]
    assert "none" not in marked
    join = marked.index("blue")
    assert set(marked[join:]) == {"blue"}
    assert join % 50 == 0  # where a file ends
