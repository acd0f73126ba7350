"""Ordered lists of files as one channel, end to end."""

import asyncio
import os
import shutil
import signal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.channel.channel import ChannelStream
from media.process.messages import Message, StartTask
from media.process.workers import OnMessage, Worker
from tests.support import clips
from tests.support.api import Api
from tests.support.clips import Clip
from tests.support.hls_checker import PlaylistChecker
from tests.support.processes import state, until
from tests.torture.test_files import long_file

pytestmark = pytest.mark.media

SHORT, SAMPLE, OTHER = "vod-live://short.mp4", "vod-live://sample.mp4", "vod-live://other.mp4"


def listed(*uris: str, **more: Any) -> dict[str, Any]:
    return {"uri": list(uris), "localStreamName": "c", "loop": True, **more}


def channel(api: Api) -> ChannelStream:
    stream = api.gateway.catalog.holder("c")
    assert isinstance(stream, ChannelStream)
    return stream


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another size than the sample's."""
    return clips.make(tmp_path_factory.mktemp("other") / "other.mp4", Clip(seconds=Fraction(2), sound=Fraction(2)))


async def test_a_list_is_one_channel_whose_files_are_packaged_once(api: Api, other: Path) -> None:
    shutil.copyfile(other, api.gateway.settings.media_dir / "other.mp4")
    await api.done("/vod/startup", {"uri": SHORT, "localStreamName": "alone", "loop": True})
    answer = await api.post("/vod/startup", listed(SHORT, OTHER, SHORT), prefer="wait=30, timeout=30")
    assert answer.status == 200, answer.body
    assert answer.body["uri"] == [SHORT, OTHER, SHORT]
    assert (answer.body["duration"], answer.body["item"]) == (pytest.approx(10, abs=0.1), 0)
    await until(lambda: api.gateway.workers.alive == 0)
    assert len(list(api.gateway.settings.cache_dir.iterdir())) == 2
    for asked in (SHORT, OTHER, [SHORT, OTHER, SHORT]):
        found = await api.post("/vod/find", {"uri": asked})
        assert "c" in [one["name"] for one in found.body], asked
    assert (await api.post("/vod/find", {"uri": [OTHER, SHORT]})).status == 404
    used = await api.session.delete(f"{api.gateway.url}/rest-api/v3/media/other.mp4")
    assert (used.status, (await used.json())["code"]) == (409, "file-in-use")


async def test_the_same_kind_follows_without_a_seam_and_another_behind_a_discontinuity(api: Api, other: Path) -> None:
    shutil.copyfile(other, api.gateway.settings.media_dir / "other.mp4")
    await api.done("/vod/startup", listed(SHORT, SAMPLE, OTHER, startAt=3))
    ring = channel(api).ring
    assert ring is not None
    await api.done("/vod/seek", {"localStreamName": "c", "position": 14})
    checker = PlaylistChecker()
    head = ring.head
    for number in range(head, head + 14):  # over 16 s, where the other file begins, and its end
        await ring.wait(number)
        checker.load((await api.get("/live/c/media.m3u8")).body.decode())
    segments = ring.segments()
    widths = [segment.init.video.width for segment in segments if segment.init.video]
    assert 320 in widths
    changes = [b.discontinuity for a, b in pairwise(segments) if a.init.id != b.init.id]
    assert changes
    assert all(changes)
    playlist = (await api.get("/live/c/media.m3u8")).body.decode()
    assert playlist.count("#EXT-X-MAP") >= 2


async def test_a_seek_goes_over_the_whole_list(api: Api) -> None:
    await api.done("/vod/startup", listed(SHORT, SAMPLE))
    answer = await api.done("/vod/seek", {"localStreamName": "c", "position": 10.2})
    assert answer.status == 200, answer.body
    assert answer.body["item"] == 1
    assert answer.body["position"] == pytest.approx(10, abs=1.1)
    late = await api.post("/vod/seek", {"localStreamName": "c", "position": 16.5})
    assert (late.status, late.body["code"]) == (422, "limits-exceeded")


async def test_a_list_that_does_not_loop_ends_after_its_last_file(api: Api) -> None:
    await api.done("/vod/startup", listed(SHORT, SHORT, loop=False, startAt=7))
    ring = channel(api).ring
    assert ring is not None
    await until(lambda: ring.ended)
    (record,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
    assert (record["round"], record["position"], record["item"]) == (0, record["duration"], 1)
    assert (await api.get("/live/c/media.m3u8")).body.decode().endswith("#EXT-X-ENDLIST\n")


@pytest.mark.parametrize(
    ("uris", "status", "code", "field"),
    [
        ([], 422, "invalid-field", "uri"),
        ([SHORT] * 101, 422, "invalid-field", "uri"),
        ([SHORT, 7], 422, "invalid-field", "uri"),
        ([SHORT, None], 422, "invalid-field", "uri"),
        ([SHORT, [SHORT]], 422, "invalid-field", "uri"),
        ([SHORT, "vod-live://../x.mp4"], 422, "invalid-field", "uri.1"),
        ([SHORT, "vod://short.mp4"], 422, "unsupported-scheme", "uri.1"),
        ([SHORT, SHORT, "vod-live://gone.mp4"], 404, "file-not-found", "uri.2"),
        ([SHORT, "vod-live://logo.png"], 422, "file-not-media", "uri.1"),
    ],
)
async def test_a_list_with_a_fault_is_refused_and_the_file_is_named(
    api: Api, uris: list[Any], status: int, code: str, field: str
) -> None:
    answer = await api.post("/vod/startup", listed(*uris), prefer="wait=30, timeout=30")
    assert (answer.status, answer.body["code"]) == (status, code), answer.body
    assert [error["field"] for error in answer.body["errors"]] == [field]
    if field != "uri":
        assert f"File {int(field[4:]) + 1} of {len(uris)}" in answer.body["detail"]
    assert (await api.post("/vod/find_all")).body == []
    await until(lambda: api.gateway.workers.alive == 0)


async def test_a_hundred_files_are_one_channel(api: Api) -> None:
    answer = await api.post("/vod/startup", listed(*[SHORT] * 100), prefer="wait=30, timeout=30")
    assert answer.status == 200, answer.body
    assert answer.body["duration"] == 400.0
    sought = await api.done("/vod/seek", {"localStreamName": "c", "position": 399})
    assert sought.body["item"] == 99


async def test_a_file_of_the_list_that_is_replaced_is_played_when_it_is_its_turn(api: Api, other: Path) -> None:
    root = api.gateway.settings.media_dir
    shutil.copyfile(root / "short.mp4", root / "other.mp4")
    await api.done("/vod/startup", listed(SHORT, OTHER))
    ring = channel(api).ring
    assert ring is not None
    shutil.copyfile(other, root / "new.part")
    (root / "new.part").rename(root / "other.mp4")
    await until(lambda: any(segment.discontinuity for segment in ring.segments()), 60)
    broken = next(segment for segment in ring.segments() if segment.discontinuity)
    assert broken.init.video is not None
    assert broken.init.video.width == 320
    assert channel(api).record()["warnings"] == []
    await until(lambda: channel(api).record()["duration"] == pytest.approx(6, abs=0.1))


async def test_a_list_is_back_after_a_restart(settings: Settings) -> None:
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        started = (await api.done("/vod/startup", listed(SHORT, SAMPLE))).body
        await api.done("/vod/seek", {"localStreamName": "c", "position": 5})
        before = (await api.done("/vod/pause", {"localStreamName": "c"})).body
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        await until(lambda: channel(api).ring is not None)
        (c,) = (await api.post("/vod/find", {"uri": SAMPLE})).body
        assert (c["id"], c["uri"], c["status"]) == (started["id"], [SHORT, SAMPLE], "PAUSED")
        assert c["position"] == pytest.approx(before["position"], abs=0.4)
        assert c["item"] == 1


async def test_a_cancelled_list_leaves_no_packager(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(long_file, api.gateway.settings.media_dir / "long.mp4", 30_000)
    stopped: list[Worker] = []
    real = api.gateway.workers.spawn

    def spawn(start: StartTask, heard: OnMessage) -> Worker:
        if stopped:
            return real(start, heard)

        def stop(message: Message) -> None:
            if stopped[0].pid is not None:  # the fork server may be later to speak than the worker
                os.kill(stopped[0].pid, signal.SIGSTOP)  # and what it has said is never heard

        stopped.append(real(start, stop))
        return stopped[0]

    monkeypatch.setattr(api.gateway.workers, "spawn", spawn)
    answer = await api.post("/vod/startup", listed("vod-live://long.mp4", SAMPLE), prefer="wait=0")
    await until(lambda: bool(stopped) and state(stopped[0].pid or 0) == "T")
    await api.post("/jobs/terminate", {"id": answer.body["id"]})
    await until(lambda: api.gateway.workers.alive == 0)
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("package-")])
    assert (await api.ended(answer.body["id"]))["state"] == "CANCELLED"
    assert len(stopped) == 1
