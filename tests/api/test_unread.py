"""What nobody reads, and what nobody wants: files are not held open for it, and no body is asked for."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpClient

from gateway.web.calls.file_answer import TransferPace
from gateway.web.calls.files import routes
from gateway.web.calls.media_use import MediaUse
from media.catalog import Catalog
from media.channel.packages.probes import Probes
from media.process.workers import Workers
from tests.support.api import Api
from tests.support.listening import narrow
from tests.support.processes import until

BUNDLE = "/docs/swagger-ui-bundle.js"


def port_of(api: Api) -> int:
    return int(api.gateway.url.rpartition(":")[2])


def opened(part: str) -> list[str]:
    """The files with this in their names that this process, which is the gateway's here, has open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return [name for name in found if part in name]


@pytest.mark.parametrize("path", [BUNDLE, "/docs/swagger-ui.css", "/docs", "/", "/assets/dashboard/dashboard.css"])
async def test_static_answers_hold_no_file_open_and_are_whole(api: Api, path: str) -> None:
    clients = [await narrow(port_of(api), f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for _ in range(10)]
    try:
        answer = await api.get(path)
        assert (answer.status, len(answer.body)) == (200, int(answer.headers["Content-Length"]))
        assert not [name for name in opened(".") if "swagger" in name or "/gateway/web/" in name]
        headers = {"If-None-Match": answer.headers["ETag"]}
        async with api.session.get(api.gateway.url + path, headers=headers) as again:
            assert (again.status, await again.read()) == (304, b"")
        async with api.session.head(api.gateway.url + path) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, answer.headers["Content-Length"])
            assert head.headers["Content-Type"].endswith("; charset=utf-8")
    finally:
        for client in clients:
            client.close()


async def test_a_download_that_nobody_reads_is_ended_and_its_file_closed(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    (tmp_path / "unread.mp4").write_bytes(bytes(40_000_000))
    app = web.Application()
    app.add_routes(
        routes(
            tmp_path, MediaUse(tmp_path, Catalog()), 10_000, Probes(Workers()), TransferPace(grace=60.0, silence=0.5)
        )
    )
    port = (await aiohttp_client(app)).port
    assert port is not None
    request = b"GET /rest-api/v3/media/unread.mp4 HTTP/1.1\r\nHost: x\r\n\r\n"
    clients = [await narrow(port, request) for _ in range(3)]
    async with asyncio.timeout(30):
        await until(lambda: len(opened("unread.mp4")) == 3)
        await until(lambda: not opened("unread.mp4"))
    for client in clients:
        assert await asyncio.to_thread(all_of, client) < 40_000_000


def all_of(client: socket.socket) -> int:
    """How many bytes still come: what the kernels have, and then the end."""
    with client:
        client.settimeout(10)
        got = 0
        while data := client.recv(1_000_000):
            got += len(data)
    return got


async def test_a_download_is_whole_and_in_parts(api: Api) -> None:
    data = os.urandom(3_000_000)
    (api.gateway.settings.media_dir / "big.mp4").write_bytes(data)
    url = f"{api.gateway.url}/rest-api/v3/media/big.mp4"
    for asked, part in (("", data), ("bytes=5-9", data[5:10]), ("bytes=-1000000", data[-1_000_000:])):
        async with api.session.get(url, headers={"Range": asked} if asked else {}) as answer:
            assert (answer.status, await answer.read()) == (206 if asked else 200, part)


async def first_line(api: Api, head: str, body: bytes) -> tuple[bytes, bytes]:
    """The first line that comes for the head alone, and the one of the answer after the body, if it is asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api))
    writer.write(f"{head}\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    first = await reader.readline()
    then = b""
    if b" 100 " in first:
        await reader.readline()
        writer.write(body)
        then = await reader.readline()
    writer.close()
    return first, then


async def test_a_client_that_asks_first_is_told_to_send_its_body_only_where_it_is_wanted(api: Api) -> None:
    picture = (api.gateway.settings.media_dir / "logo.png").read_bytes()
    async with asyncio.timeout(30):
        put = "PUT /rest-api/v3/media/sent.png HTTP/1.1"
        assert await first_line(api, put, picture) == (b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 201 Created\r\n")
        find = "POST /rest-api/v3/stream/find HTTP/1.1"
        first, then = await first_line(api, find, b'{"name": "nobody"}')
        assert (first, then.split()[1]) == (b"HTTP/1.1 100 Continue\r\n", b"404")
        for head, status in (
            (f"{find}\r\nOrigin: https://evil.example", b"403"),
            (f"{find}\r\nContent-Encoding: gzip", b"415"),
            (f"{put}\r\nOrigin: https://evil.example", b"403"),
            ("POST /rest-api/v3/nothing/here HTTP/1.1", b"404"),
            ("PUT /rest-api/v3/stream/find HTTP/1.1", b"405"),
        ):
            assert (await first_line(api, head, b"{}"))[0].split()[1] == status
        assert (await first_line(api, find, bytes(100_000)))[0].split()[1] == b"413"
