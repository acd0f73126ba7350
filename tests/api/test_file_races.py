"""Files deleted, jobs cancelled and streams begun at the same moment; and links in the media folder."""

import asyncio
import random
import shutil
from collections import Counter
from typing import Any

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.media

MEDIA = "/rest-api/v3/media"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
JOBS = "/rest-api/v3/jobs"


async def delete(api: Api, path: str) -> Any:
    async with api.session.delete(f"{api.gateway.url}{path}") as answer:
        return answer.status, await answer.json() if answer.content_length else None


async def race(api: Api, number: int, dice: random.Random) -> str:
    """A channel is asked for, its job deleted around its end, and then its file: what came of it."""
    root, name = api.gateway.settings.media_dir, f"race-{number}"
    shutil.copy(root / "short.mp4", root / f"{name}.mp4")
    body = {"uri": f"vod-live://{name}.mp4", "localStreamName": name, "loop": True}
    job = (await api.post("/vod/startup", body, prefer="wait=0")).body

    async def later(path: str) -> Any:
        await asyncio.sleep(dice.uniform(0, 0.15))
        return await delete(api, path)

    await asyncio.gather(later(f"{JOBS}/{job['id']}"), later(f"{MEDIA}/{name}.mp4"))
    await delete(api, f"{MEDIA}/{name}.mp4")
    cancelled = (await api.get(f"{JOBS}/{job['id']}")).status == 200  # one that had ended is forgotten
    state = (await api.ended(job["id"]))["state"] if cancelled else ""
    found = (await api.post("/stream/find", {"name": name})).body
    there = (root / f"{name}.mp4").exists()
    assert state == "DONE" or not (cancelled and isinstance(found, list)), "a job that was cancelled has left a stream"
    if isinstance(found, list):
        assert there, "the stream is there, and its file is gone"
        await api.post("/stream/terminate", {"name": name})
        return "live"
    return "kept" if there else "gone"


async def run_races(api: Api, count: int) -> Counter[str]:
    dice, found = random.Random(9), Counter[str]()
    for first in range(0, count, 5):
        found.update(await asyncio.gather(*(race(api, number, dice) for number in range(first, first + 5))))
    return found


async def test_no_stream_is_live_whose_file_is_gone_whatever_was_deleted_meanwhile(api: Api) -> None:
    found = await run_races(api, 40)
    assert found["live"]
    assert found["gone"]


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_no_stream_is_live_whose_file_is_gone_in_many_races(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    found = await run_races(api, 1250)
    with capsys.disabled():
        print(f"\n{dict(found)}")
    assert sum(found.values()) == 1250


async def test_a_file_that_a_job_is_about_to_play_is_in_use(api: Api) -> None:
    body = {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
    job = (await api.post("/vod/startup", body, prefer="wait=0")).body
    status, problem = await delete(api, f"{MEDIA}/short.mp4")
    assert (status, problem["code"]) == (409, "file-in-use")
    await api.ended(job["id"])
    assert (await delete(api, f"{MEDIA}/short.mp4"))[0] == 409
    await api.post("/stream/terminate", {"name": "a"})
    assert (await delete(api, f"{MEDIA}/short.mp4"))[0] == 204


async def test_a_link_is_deleted_and_never_what_it_leads_to(api: Api) -> None:
    root = api.gateway.settings.media_dir
    (root / "link.mp4").symlink_to("short.mp4")
    await api.post("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True})
    assert (await delete(api, f"{MEDIA}/link.mp4"))[0] == 204
    assert not (root / "link.mp4").is_symlink()
    assert (root / "short.mp4").is_file()


async def test_what_a_link_leads_to_is_not_deleted_while_it_is_played_by_the_name_of_the_link(api: Api) -> None:
    root = api.gateway.settings.media_dir
    (root / "link.mp4").symlink_to("short.mp4")
    await api.post("/vod/startup", {"uri": "vod-live://link.mp4", "localStreamName": "a", "loop": True})
    for name in ("short.mp4", "link.mp4"):
        status, problem = await delete(api, f"{MEDIA}/{name}")
        assert (status, problem["code"]) == (409, "file-in-use")
    async with api.session.put(f"{api.gateway.url}{MEDIA}/short.mp4", data=PNG) as put:
        assert put.status == 409


async def test_no_file_is_deleted_through_a_link_to_its_folder(api: Api) -> None:
    root = api.gateway.settings.media_dir
    (root / "films").mkdir()
    shutil.copy(root / "short.mp4", root / "films" / "short.mp4")
    (root / "alias").symlink_to("films")
    status, problem = await delete(api, f"{MEDIA}/alias/short.mp4")
    assert (status, problem["code"]) == (422, "file-not-regular")
    assert (root / "films" / "short.mp4").is_file()
    assert (await delete(api, f"{MEDIA}/films/short.mp4"))[0] == 204
