"""Files that change under their channels, and the folder of packages: shared, bounded, remade when torn."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from media.channel.channel import ChannelStream
from tests.support import clips
from tests.support.api import Api
from tests.support.clips import Clip
from tests.support.processes import until
from tests.torture.test_files import long_file

pytestmark = pytest.mark.media

CHANNEL = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}


def channel(api: Api, name: str = "c") -> ChannelStream:
    stream = api.gateway.catalog.holder(name)
    assert isinstance(stream, ChannelStream)
    return stream


def warned(api: Api) -> Callable[[], bool]:
    return lambda: any(one["code"] == "file-changed" for one in channel(api).record()["warnings"])


def replace(path: Path, new: Path) -> None:
    """As a careful person does it: written beside it, then renamed."""
    part = path.with_suffix(".part")
    shutil.copyfile(new, part)
    part.rename(path)


async def test_a_file_of_the_same_kind_takes_over_at_the_join_without_a_seam(api: Api, sample_folder: Path) -> None:
    await api.done("/vod/startup", CHANNEL)
    ring = channel(api).ring
    assert ring is not None
    assert channel(api).record()["duration"] == 4.0
    replace(api.gateway.settings.media_dir / "short.mp4", sample_folder / "sample.mp4")
    await until(lambda: channel(api).record()["duration"] == 12.0, 60)
    await ring.wait(ring.head + 20)
    assert not any(segment.discontinuity for segment in ring.segments())
    assert channel(api).record()["warnings"] == []
    assert api.gateway.workers.alive == 0


async def test_a_file_of_another_size_takes_over_behind_a_discontinuity(api: Api, tmp_path: Path) -> None:
    await api.done("/vod/startup", CHANNEL)
    ring = channel(api).ring
    assert ring is not None
    other = clips.make(tmp_path / "other.mp4", Clip())
    replace(api.gateway.settings.media_dir / "short.mp4", other)
    await until(lambda: any(segment.discontinuity for segment in ring.segments()), 60)
    video = ring.segments()[-1].init.video
    assert video is not None
    assert video.width == 320


async def test_a_file_that_breaks_or_goes_away_is_played_on_from_its_package(api: Api) -> None:
    await api.done("/vod/startup", CHANNEL)
    path = api.gateway.settings.media_dir / "short.mp4"
    ring = channel(api).ring
    assert ring is not None
    await until(lambda: api.gateway.workers.alive == 0)  # the package is whole
    path.write_bytes(b"no media at all")
    await until(warned(api))
    path.unlink()
    await until(lambda: "gone" in str(channel(api).record()["warnings"]))
    head = ring.head
    assert await ring.wait(head + 2)
    assert await ring.chunk(head + 2) is not None
    assert channel(api).status == "LIVE"


async def test_a_file_that_is_overwritten_while_it_is_packaged_does_not_end_its_channel(
    api: Api, sample_folder: Path
) -> None:
    path = api.gateway.settings.media_dir / "long.mp4"
    await asyncio.to_thread(long_file, path, 30_000)
    answer = await api.done("/vod/startup", {**CHANNEL, "uri": "vod-live://long.mp4"})
    assert answer.status == 200, answer.body
    await until(lambda: len(api.gateway.workers.pids()) > 1)  # the last one is the fork server
    packager = api.gateway.workers.pids()[0]
    os.kill(packager, signal.SIGSTOP)
    path.write_bytes(os.urandom(path.stat().st_size))
    before = channel(api).ring
    assert before is not None
    head = before.head
    os.kill(packager, signal.SIGKILL)  # as a damaged file may end it
    await until(lambda: (channel(api).record()["lastError"] or {}).get("code") == "file-not-media", 60)
    assert channel(api).status == "WAITING"  # that may still change
    replace(path, sample_folder / "short.mp4")
    await until(lambda: channel(api).status == "LIVE", 60)
    assert channel(api).record()["duration"] == 4.0
    ring = channel(api).ring
    assert ring is not None
    newest = ring.segments()[-1]
    assert newest.first >= head
    assert newest.msn > 0
    assert ring.segments()[0].discontinuity
    assert newest.decode_time > 0


async def test_a_file_that_changes_under_its_job_is_packaged_as_it_is_then(api: Api, sample_folder: Path) -> None:
    path = api.gateway.settings.media_dir / "long.mp4"
    await asyncio.to_thread(long_file, path, 30_000)
    body = {**CHANNEL, "uri": "vod-live://long.mp4", "startAt": 1100}
    job = (await api.post("/vod/startup", body, prefer="wait=0, timeout=60")).body["id"]
    await until(lambda: len(api.gateway.workers.pids()) == 2)
    packager = api.gateway.workers.pids()[0]
    os.kill(packager, signal.SIGSTOP)
    path.write_bytes(os.urandom(path.stat().st_size))
    replace(path, sample_folder / "short.mp4")
    os.kill(packager, signal.SIGKILL)  # as a damaged file ends it
    await until(lambda: api.gateway.catalog.holder("c") is not None, 60)
    assert (await api.get(f"/rest-api/v3/jobs/{job}")).body["state"] == "DONE"
    assert channel(api).record()["duration"] == 4.0


async def test_twenty_calls_for_one_file_package_it_once(api: Api) -> None:
    spawned = []
    real = api.gateway.workers.spawn
    api.gateway.workers.spawn = lambda *a: spawned.append(a) or real(*a)  # type: ignore[method-assign, func-returns-value]
    bodies = [{**CHANNEL, "localStreamName": f"c{number}"} for number in range(20)]
    answers = await asyncio.gather(*(api.post("/vod/startup", body, prefer="wait=30, timeout=30") for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert len(spawned) == 1
    assert len(list(api.gateway.settings.cache_dir.iterdir())) == 1
    await until(lambda: api.gateway.workers.alive == 0)


async def test_a_torn_package_is_noticed_and_made_again(settings: Settings) -> None:
    for damage in ("index.json", "chunks.bin"):
        async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
            api = Api(gateway, session)
            assert (await api.done("/vod/startup", CHANNEL)).status == 200
            await until(lambda api=api: api.gateway.workers.alive == 0)  # type: ignore[misc]
            await api.post("/vod/terminate", {"localStreamName": "c"})
            (package,) = settings.cache_dir.iterdir()
            os.truncate(package / damage, 100)
            answer = await api.done("/vod/startup", CHANNEL)
            assert answer.status == 200, answer.body
            ring = channel(api).ring
            assert ring is not None
            assert await ring.wait(0)
            assert await ring.chunk(0) is not None
            await api.post("/vod/terminate", {"localStreamName": "c"})


async def test_packages_survive_a_restart(settings: Settings) -> None:
    for number in range(2):
        async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
            spawned: list[object] = []
            real = gateway.workers.spawn
            gateway.workers.spawn = lambda *a, s=spawned, r=real: s.append(a) or r(*a)  # type: ignore[method-assign]
            api = Api(gateway, session)
            assert (await api.done("/vod/startup", CHANNEL)).status == 200
            await until(lambda gateway=gateway: gateway.workers.alive == 0)  # type: ignore[misc]
            await api.post("/vod/terminate", {"localStreamName": "c"})
            assert len(spawned) == 1 - number


async def test_the_longest_unused_packages_go_first_and_never_one_in_use(settings: Settings) -> None:
    small = settings.model_copy(update={"cache_max_bytes": 1_500_000})  # two and a half times short.mp4
    async with Gateway(small) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        root, cache = settings.media_dir, settings.cache_dir
        await api.done("/vod/startup", CHANNEL)
        used = packages(cache)
        for name in ("one", "two", "three"):
            before = packages(cache)
            shutil.copyfile(root / "short.mp4", root / f"{name}.mp4")
            body = {"uri": f"vod-live://{name}.mp4", "localStreamName": name, "loop": True}
            assert (await api.done("/vod/startup", body)).status == 200
            await until(lambda: gateway.workers.alive == 0)
            newest = packages(cache) - before
            await api.post("/vod/terminate", {"localStreamName": name})
        await until(lambda: {path.name for path in cache.iterdir()} == used | newest)
        assert sum(file.stat().st_size for file in cache.glob("*/*")) <= 1_500_000
        ring = channel(api).ring
        assert ring is not None
        assert await ring.chunk(ring.head - 1) is not None


def packages(cache: Path) -> set[str]:
    """The entries of the cache; one that is being removed has been renamed before."""
    return {path.name for path in cache.iterdir() if path.suffix != ".gone"}
