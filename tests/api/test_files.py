"""Files over HTTP: they come in whole or not at all, by their content, and nothing leads out of the media folder."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway import files
from gateway.app import Gateway
from gateway.settings import Settings
from gateway.web import problems
from gateway.web.calls.file_answer import TransferPace
from gateway.web.calls.files import routes
from gateway.web.calls.media_threads import MediaThreads
from gateway.web.calls.media_use import MediaUse
from media.catalog import Catalog
from media.channel.packages.probes import Probes
from media.process.workers import Workers
from tests.api.test_bad_input import check_problem
from tests.support.api import Answer, Api
from tests.support.processes import until

MEDIA = "/rest-api/v3/media"
MP4 = b"\0\0\0\x18ftypisom" + bytes(1000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


async def call(api: Api, method: str, path: str, data: Any = None, **headers: str) -> Answer:
    """Any method below `/media`; the path goes out as it is."""
    from yarl import URL

    url = URL(api.gateway.url + MEDIA + path, encoded=True)
    async with api.session.request(method, url, data=data, headers=headers) as response:
        json_like = "json" in response.content_type
        return Answer(response.status, response.headers, await (response.json() if json_like else response.read()))


def left(api: Api) -> list[str]:
    """What uploads have left in the folder."""
    return [path.name for path in api.gateway.settings.media_dir.glob(f"{files.UNFINISHED}*")]


async def test_a_file_that_was_sent_in_is_listed_played_fetched_and_deleted(api: Api) -> None:
    content = (api.gateway.settings.media_dir / "short.mp4").read_bytes()
    sent = await call(api, "PUT", "/films/new%20one.mp4", content)
    assert (sent.status, sent.headers["Location"]) == (201, f"{MEDIA}/films/new%20one.mp4")
    assert sent.body["uri"] == "vod-live://films/new one.mp4"
    assert (sent.body["size"], sent.body["format"], sent.body["type"]) == (len(content), "mp4", "video/mp4")
    listed = await call(api, "GET", "/find_all")
    assert sent.body in listed.body
    assert [each["name"] for each in listed.body] == ["films/new one.mp4", "logo.png", "sample.mp4", "short.mp4"]
    assert (await api.post("/media/find_all", {})).body == listed.body
    assert (await api.post("/vod/startup", {"uri": sent.body["uri"], "localStreamName": "new"})).status == 200
    fetched = await call(api, "GET", "/films/new%20one.mp4")
    assert (fetched.status, fetched.headers["Content-Type"], fetched.body) == (200, "video/mp4", content)
    assert fetched.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    for method, data in (("DELETE", None), ("PUT", content)):
        check_problem(await call(api, method, "/films/new%20one.mp4", data), 409, "file-in-use")
    await api.post("/stream/terminate", {"name": "new"})
    assert (await call(api, "DELETE", "/films/new%20one.mp4")).status == 204
    check_problem(await call(api, "GET", "/films/new%20one.mp4"), 404, "file-not-found")
    check_problem(await call(api, "DELETE", "/films/new%20one.mp4"), 404, "file-not-found")


async def test_a_file_that_is_sent_again_replaces_the_one_that_was_there(api: Api) -> None:
    assert (await call(api, "PUT", "/a.png", PNG)).status == 201
    again = await call(api, "PUT", "/a.png", PNG + b"more")
    assert (again.status, again.body["size"]) == (200, len(PNG) + 4)
    assert (await call(api, "GET", "/a.png")).body == PNG + b"more"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [("bytes=4-7", 206, slice(4, 8)), ("bytes=-8", 206, slice(-8, None)), ("bytes=900-", 206, slice(900, None))],
)
async def test_a_range_is_answered_with_its_bytes(api: Api, asked: str, status: int, part: slice) -> None:
    await call(api, "PUT", "/a.mp4", MP4)
    answer = await call(api, "GET", "/a.mp4", Range=asked)
    assert (answer.status, answer.body) == (status, MP4[part])
    assert answer.headers["Content-Range"].endswith(f"/{len(MP4)}")


async def test_a_range_past_the_end_cannot_be_satisfied(api: Api) -> None:
    await call(api, "PUT", "/a.mp4", MP4)
    for asked in ("bytes=99999-", "bytes=5-2", "bytes=x"):
        answer = await call(api, "GET", "/a.mp4", Range=asked)
        check_problem(answer, 416, "range-not-satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{len(MP4)}"


async def test_a_file_that_has_changed_is_told_to_who_asks_for_the_one_that_was(api: Api) -> None:
    await call(api, "PUT", "/a.mp4", MP4)
    first = await call(api, "GET", "/a.mp4", Range="bytes=0-")
    assert (first.status, first.body) == (206, MP4)
    assert (await call(api, "GET", "/a.mp4", Range="lines=1-2")).status == 200
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    for same in ({"If-None-Match": tag}, {"If-None-Match": f"W/{tag}"}, {"If-Modified-Since": modified}):
        again = await call(api, "GET", "/a.mp4", **same)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    past = "Thu, 01 Jan 2015 00:00:00 GMT"
    for other in ({"If-Match": '"other"'}, {"If-Match": f"W/{tag}"}, {"If-Unmodified-Since": past}):
        check_problem(await call(api, "GET", "/a.mp4", **other), 412, "precondition-failed")
    for good in ({"If-Match": tag}, {"If-Match": "*"}, {"If-Unmodified-Since": modified}, {"If-Modified-Since": past}):
        assert (await call(api, "GET", "/a.mp4", **good)).body == MP4
    for kept, status in ((tag, 206), (modified, 206), ('"other"', 200), (past, 200)):
        assert (await call(api, "GET", "/a.mp4", **{"Range": "bytes=1-2", "If-Range": kept})).status == status


@pytest.fixture
async def hanging(tmp_path: Path, aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A client of a gateway whose media folder hangs until the event is set; and who still has to be let go."""
    go_on = threading.Event()
    held: list[str] = []

    def hang(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            held.append(name)
            go_on.wait(60)
            return original(*arguments)

        return call

    for place, name in ((files, "known"), (files, "opened"), (files, "listed"), (files.Upload, "write")):
        monkeypatch.setattr(place, name, hang(name, getattr(place, name)))
    app = web.Application(middlewares=[problems.middleware])
    use, threads = MediaUse(tmp_path, Catalog()), MediaThreads(look=0.1, change=0.1)
    app.add_routes(routes(tmp_path, use, 10_000, Probes(Workers()), threads=threads))
    yield await aiohttp_client(app), go_on, held
    go_on.set()


async def test_a_media_folder_that_hangs_is_told_in_time_however_many_ask(hanging: Any) -> None:
    client, go_on, _ = hanging

    async def ask(method: str, path: str, data: bytes | None = None) -> tuple[int, str]:
        async with client.request(method, MEDIA + path, data=data) as answer:
            return answer.status, (await answer.json())["code"]

    asked = [("GET", "/a.mp4"), ("DELETE", "/a.mp4"), ("GET", "/find_all"), ("POST", "/find_all")] * 5
    async with asyncio.timeout(30):
        told = await asyncio.gather(*(ask(*each) for each in asked), ask("PUT", "/a.mp4", MP4))
        assert set(told) == {(503, "media-failing")}
        await asyncio.to_thread(lambda: None)  # others have their threads
        go_on.set()
        while (told_then := await ask("GET", "/a.mp4"))[0] == 503:
            pass
        assert told_then == (404, "file-not-found")


async def test_an_upload_whose_disk_hung_leaves_nothing_once_it_answers(hanging: Any, tmp_path: Path) -> None:
    client, go_on, held = hanging
    async with client.put(f"{MEDIA}/a.mp4", data=MP4) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert held == ["write"]
    go_on.set()
    await until(lambda: len(os.listdir(tmp_path)) == 0)  # noqa: PTH208 (a generator would block as much)
    async with asyncio.timeout(30), client.put(f"{MEDIA}/a.mp4", data=MP4) as answer:
        assert answer.status == 201
    assert os.listdir(tmp_path) == ["a.mp4"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file-empty"),
        (b"x", "file-not-media"),
        (b"<html><script>alert(1)</script></html>", "file-not-media"),
        (b"#EXTM3U\n#EXT-X-VERSION:6\nfile:///etc/passwd\n", "file-not-media"),
        (b"\x7fELF" + bytes(100), "file-not-media"),
    ],
)
async def test_what_is_no_media_is_refused_by_its_content(api: Api, data: bytes, code: str) -> None:
    check_problem(await call(api, "PUT", "/a.mp4", data), 422, code)
    check_problem(await call(api, "GET", "/a.mp4"), 404, "file-not-found")
    assert not left(api)


async def test_what_is_no_media_is_refused_before_it_has_come_in(api: Api) -> None:
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(300_000)
        await sent.wait()

    try:
        async with asyncio.timeout(30):
            check_problem(await call(api, "PUT", "/a.mp4", body()), 422, "file-not-media")
    finally:
        sent.set()


OUTSIDE = [
    "/../secret.mp4", "/%2e%2e/secret.mp4", "/..%2fsecret.mp4", "/a/../../secret.mp4", "/a%2f..%2f..%2fsecret.mp4",
    "//etc/x.mp4", "/%2fetc%2fpasswd", "/.hidden.mp4", "/a/.hidden/b.mp4", "/a%00.mp4", "/a%0a.mp4", "/..%5csecret.mp4",
    "/a//b.mp4", "/a/", "/" + "a" * 300, "/" + "a/" * 20 + "b.mp4",
]  # fmt: skip


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_no_name_leads_out_of_the_folder(api: Api, method: str) -> None:
    root = api.gateway.settings.media_dir
    (root.parent / "secret.mp4").write_bytes(MP4)
    before = sorted(root.parent.glob("*")) + sorted(root.rglob("*"))
    for path in OUTSIDE:
        answer = await call(api, method, path, MP4 if method == "PUT" else None)
        assert answer.status in (400, 404, 405, 422), (path, answer)
        assert answer.headers["Content-Type"].startswith("application/problem+json"), path
    assert sorted(root.parent.glob("*")) + sorted(root.rglob("*")) == before


async def test_no_link_leads_out_of_the_folder(api: Api, tmp_path: Path) -> None:
    root, outside = api.gateway.settings.media_dir, tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(MP4)
    (root / "folder").symlink_to(outside)
    (root / "link.mp4").symlink_to(outside / "secret.mp4")
    os.mkfifo(root / "pipe.mp4")
    for path in ("/folder/secret.mp4", "/link.mp4"):
        check_problem(await call(api, "GET", path), 404, "file-not-found")
        check_problem(await call(api, "DELETE", path), 404, "file-not-found")
    check_problem(await call(api, "PUT", "/folder/new.mp4", MP4), 422, "file-not-regular")
    check_problem(await call(api, "GET", "/pipe.mp4"), 422, "file-not-regular")
    assert (await call(api, "PUT", "/link.mp4", MP4 + b"new")).status == 200
    assert (outside / "secret.mp4").read_bytes() == MP4
    assert [path.name for path in outside.iterdir()] == ["secret.mp4"]
    names = [each["name"] for each in (await call(api, "GET", "/find_all")).body]
    assert names == ["link.mp4", "logo.png", "sample.mp4", "short.mp4"]


async def test_a_folder_is_neither_fetched_nor_replaced_nor_deleted(api: Api) -> None:
    await call(api, "PUT", "/folder/a.mp4", MP4)
    for method, data in (("GET", None), ("DELETE", None), ("PUT", MP4)):
        check_problem(await call(api, method, "/folder", data), 422, "file-not-regular")
    check_problem(await call(api, "PUT", "/folder/a.mp4/b.mp4", MP4), 422, "file-not-regular")
    assert not left(api)


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[Api]:
    """A gateway that takes files of 2,000 bytes at the most."""
    settings = settings.model_copy(update={"media_max_bytes": 2000})
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)


async def test_a_file_over_the_limit_is_too_large_whether_it_says_so_or_not(small: Api) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield MP4

    check_problem(await call(small, "PUT", "/a.mp4", MP4 + bytes(1000)), 413, "too-large")
    check_problem(await call(small, "PUT", "/a.mp4", unannounced()), 413, "too-large")
    assert (await call(small, "PUT", "/a.mp4", MP4[:12] + bytes(1988))).status == 201
    assert not left(small)


async def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    host, port = api.gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"PUT {MEDIA}/broken.mp4 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".encode())
    writer.write(MP4 + bytes(600_000))
    await until(lambda: bool(left(api)))
    writer.close()
    await writer.wait_closed()
    await until(lambda: not left(api))
    assert not (api.gateway.settings.media_dir / "broken.mp4").exists()


async def test_what_a_crash_has_left_is_swept_away_at_the_start(settings: Settings) -> None:
    rest = settings.media_dir / f"{files.UNFINISHED}0"
    rest.write_bytes(MP4)
    async with Gateway(settings):
        assert not rest.exists()
        assert (settings.media_dir / "sample.mp4").exists()


async def test_an_upload_that_crawls_is_ended_and_leaves_nothing(tmp_path: Path, aiohttp_client: Any) -> None:
    app = web.Application(middlewares=[problems.middleware])
    pace = TransferPace(grace=0.3, rate=1_000_000, silence=0.2)
    app.add_routes(routes(tmp_path, MediaUse(tmp_path, Catalog()), 10_000, Probes(Workers()), pace))
    client = await aiohttp_client(app)
    end = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield MP4
        await end.wait()

    async def crawling() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield MP4[:12]
            await asyncio.sleep(0.05)

    for body in (silent(), crawling()):
        async with asyncio.timeout(30), client.put(f"{MEDIA}/a.mp4", data=body) as answer:
            assert (answer.status, (await answer.json())["code"]) == (408, "too-slow")
    end.set()
    assert not os.listdir(tmp_path)  # noqa: PTH208 (a generator would block as much)


async def test_only_so_many_files_come_in_at_once(api: Api) -> None:
    end = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield MP4 + bytes(300_000)
        await end.wait()

    uploads = [asyncio.ensure_future(call(api, "PUT", f"/{n}.mp4", waiting())) for n in range(4)]
    await until(lambda: len(left(api)) == 4)
    check_problem(await call(api, "PUT", "/more.mp4", MP4), 503, "capacity-exceeded")
    end.set()
    assert [each.status for each in await asyncio.gather(*uploads)] == [201] * 4
