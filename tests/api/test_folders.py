"""The folders of a gateway: a disk that is full at the last byte, a second gateway, an empty key, few open files."""

import asyncio
import os
import resource
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.files import Upload, sweep
from gateway.jobs.failures import Failure
from gateway.jobs.storage.database import StoreError
from gateway.settings import Settings
from media.stream import Status
from tests.support.processes import until
from tests.support.served import gateway_process

pytestmark = pytest.mark.media

MEDIA = "/rest-api/v3/media"
MP4 = b"\0\0\0\x18ftypisom" + bytes(300_000)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_upload_that_meets_a_full_disk_in_its_last_bytes_is_503_and_leaves_nothing(settings: Settings) -> None:
    """The kernel refuses to let a file grow beyond a limit, as on a full disk; also when there is room for a part."""
    before = left(settings.media_dir)
    async with gateway_process(settings) as (process, url), aiohttp.ClientSession() as session:
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        for missing in (1, 10, 5000):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(MP4) - missing, unlimited[1]))
            async with session.put(f"{url}{MEDIA}/a.mp4", data=MP4) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "capacity-exceeded")
                assert answer.headers["Retry-After"]
            assert left(settings.media_dir) == before
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        async with session.put(f"{url}{MEDIA}/a.mp4", data=MP4) as answer:
            assert answer.status == 201
        assert (settings.media_dir / "a.mp4").read_bytes() == MP4


async def test_a_second_gateway_touches_nothing_in_the_folders_of_the_first(settings: Settings) -> None:
    def standing() -> dict[str, tuple[int, int, int]]:
        root = settings.data_dir.parent
        found = {str(path): path.stat() for path in root.rglob("*") if not path.name.startswith("reelgate.db-")}
        return {name: (each.st_ino, each.st_mtime_ns, each.st_size) for name, each in found.items()}

    end = asyncio.Event()

    async def content() -> object:
        yield MP4
        await end.wait()

    async with Gateway(settings) as first, aiohttp.ClientSession() as session:
        upload = asyncio.ensure_future(session.put(f"{first.url}{MEDIA}/a.mp4", data=content()))
        await until(lambda: any(name.startswith(".") for name in left(settings.media_dir)))
        await first.store.flush()
        before = standing()
        with pytest.raises(StoreError, match="in use by another gateway"):
            async with Gateway(settings):
                pass
        assert standing() == before
        end.set()
        assert (await upload).status == 201


def test_an_upload_that_is_under_way_is_not_swept_away_by_a_gateway_with_another_data_folder(tmp_path: Path) -> None:
    upload, broken = Upload(tmp_path, "a.mp4"), Upload(tmp_path, "b.mp4")
    upload.write(MP4)
    broken.write(MP4)
    unlocked = next(iter(set(tmp_path.iterdir()) - {upload._path}))
    broken._file.close()  # type: ignore[union-attr]
    sweep(tmp_path)
    assert not unlocked.exists()
    found, new = upload.commit()
    assert (found.size, new, left(tmp_path)) == (len(MP4), True, ["a.mp4"])
    upload.discard()


def test_an_upload_that_cannot_be_closed_is_gone_all_the_same(tmp_path: Path) -> None:
    upload = Upload(tmp_path, "a.mp4")
    upload.write(MP4)
    os.close(upload._file.fileno())  # type: ignore[union-attr]
    with pytest.raises(Failure):
        upload.write(MP4)
    upload.discard()
    assert left(tmp_path) == []


async def test_an_empty_key_heals_and_streams_come_back_from_then_on(settings: Settings) -> None:
    settings.data_dir.mkdir()
    key = settings.data_dir / "reelgate.key"
    key.touch()
    (settings.data_dir / "play.secret").touch()
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        assert len(key.read_bytes()) == 44
        body = {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
        async with session.post(f"{gateway.url}/rest-api/v3/vod/startup", json=body) as answer:
            assert answer.status == 200
    async with Gateway(settings) as gateway:
        stream = gateway.catalog.holder("a")
        assert stream is not None
        await until(lambda: stream.status is Status.LIVE)


async def serve(settings: Settings, limit: int | None = None) -> asyncio.subprocess.Process:
    places = {name.upper(): str(getattr(settings, name)) for name in ("media_dir", "data_dir", "cache_dir")}
    prefix = ["prlimit", f"--nofile={limit}:{limit}"] if limit else []
    return await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-m", "gateway", "serve",
        env={**os.environ, **places, "HTTP_PORT": "0"}, cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_a_key_that_is_none_is_named_with_what_to_do(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "reelgate.key").write_bytes(b"no key at all")
    process = await serve(settings)
    _, said = await process.communicate()
    line = next(line for line in said.decode().splitlines() if line.startswith("reelgate:"))
    assert process.returncode == 2
    assert "reelgate.key is no key. Put the right one back from a backup; or move it away" in line


async def test_a_hard_limit_of_few_open_files_is_said_at_the_start(settings: Settings) -> None:
    process = await serve(settings, 256)
    assert process.stderr is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stderr.readline()).decode()
        ready = await process.stdout.readline()
    process.terminate()
    await process.communicate()
    assert line.startswith("reelgate: only 256 files may be open at once")
    assert ready.startswith(b"reelgate ready ")
