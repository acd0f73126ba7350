"""What is in the files of the media folder: found out by few workers, once for each file, and said with the listing."""

import asyncio
import shutil
from fractions import Fraction
from typing import Any

import pytest

from media.channel.packages.probes import AT_ONCE, Probes
from tests.support.api import Api
from tests.support.clips import Clip, make

pytestmark = pytest.mark.media

LIST = "/media/find_all"


async def probes(api: Api, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Name -> `probe`, of all files."""
    answer = await api.post(LIST, body)
    assert answer.status == 200
    return {each["name"]: each["probe"] for each in answer.body}


async def test_a_listing_says_what_would_be_recoded_and_why_when_it_is_asked_to(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.calls.files.LOOKING", 60.0)  # a slow machine may not know all in the usual 5 s
    folder = api.gateway.settings.media_dir
    second = Fraction(1)
    await asyncio.to_thread(make, folder / "old.mp4", Clip(seconds=second, sound=None, video="mpeg4", b_frames=0))
    (folder / "junk.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(1000))
    assert set((await probes(api)).values()) == {None}
    found = await probes(api, {"probe": True})
    assert found["logo.png"] is None
    video = found["short.mp4"]["video"]
    assert (video["codec"], video["fps"], video["mode"], video["reason"]) == ("h264", 25.0, "copy", None)
    assert found["short.mp4"]["audio"]["codec"] == "aac"
    assert found["short.mp4"]["audio"]["mode"] == "copy"
    assert found["short.mp4"]["duration"] == pytest.approx(4, abs=0.1)
    assert (found["old.mp4"]["video"]["codec"], found["old.mp4"]["video"]["mode"]) == ("mpeg4", "transcode")
    assert "not played as it is" in found["old.mp4"]["video"]["reason"]
    assert found["old.mp4"]["audio"] is None
    assert found["junk.mp4"]["error"]["code"] == "file-not-media"
    assert found["junk.mp4"]["video"] is None
    # From now on it is known, until the file is another one.
    assert await probes(api) == found
    (folder / "junk.mp4").write_bytes((folder / "short.mp4").read_bytes())
    assert (await probes(api))["junk.mp4"] is None
    answer = await api.get("/rest-api/v3/media/find_all?probe=true")
    assert {each["name"]: each["probe"] for each in answer.body}["junk.mp4"] == found["short.mp4"]
    assert (await api.post(LIST, {"probe": "yes"})).status == 422


async def test_many_files_are_looked_into_by_few_workers_and_each_once(api: Api) -> None:
    folder = api.gateway.settings.media_dir
    workers, most = api.gateway.workers, 0
    files = []
    for number in range(12):
        shutil.copyfile(folder / "short.mp4", path := folder / f"{number}.mp4")
        status = path.stat()
        files.append(((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), path))
    known = Probes(workers)
    asking = asyncio.gather(known.learn(files, 60), known.learn(files, 60))
    while not asking.done():
        most = max(most, workers.alive)
        await asyncio.sleep(0)
    await asking
    assert 1 <= most <= AT_ONCE
    assert known.asked == len(files)
    assert all(known.known(identity) for identity, _ in files)


async def test_a_look_that_is_given_up_leaves_no_worker(api: Api) -> None:
    folder = api.gateway.settings.media_dir
    known = Probes(api.gateway.workers)
    files = [((0, 0, 0, number), folder / "sample.mp4") for number in range(1000)]
    await known.learn(files, 0.2)
    assert api.gateway.workers.alive == 0
    assert known.asked < 1000
