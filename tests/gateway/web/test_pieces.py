"""What never changes under its address: the same answer by either way, whole and in order whoever takes it how."""

import asyncio
import re
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from gateway.web.access.access import GUARD, keep_private, keep_token
from gateway.web.access.cors import open_to
from gateway.web.access.security import harden
from media.ring import RingLimits
from tests.support.feeding import TIMESCALE, Feeder
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

Client = TestClient[Any, Any]


async def part_of(client: Client) -> str:
    """The address of the newest part."""
    text = await (await client.get("/live/yard/media.m3u8")).text()
    found: list[str] = re.findall(r'EXT-X-PART:.*URI="([^"]+)', text)
    return f"/live/yard/{found[-1]}"


def told(headers: CIMultiDict[str] | Any) -> dict[str, str]:
    """All headers but those of the connection and the moment."""
    return {name: value for name, value in headers.items() if name not in ("Date", "Connection")}


def allowed(origins: tuple[str, ...], origin: str | None) -> str | None:
    """Whom an answer to that origin lets read it."""
    return "*" if "*" in origins else origin if origin in origins else None


@pytest.mark.parametrize("needs_key", [False, True])
@pytest.mark.parametrize("origins", [(), ("https://elsewhere.example",), ("*",)])
async def test_both_ways_of_answering_say_the_same(
    streams: FakeStreams, origins: tuple[str, ...], needs_key: bool
) -> None:
    app = an_app(streams)
    open_to(app, origins)
    app.on_response_prepare.extend([harden, keep_private, keep_token])

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[GUARD] = partial(bool, needs_key)
        return await handler(request)

    app.middlewares.append(guarded)
    taken: list[str] = []

    async def note(request: web.Request, _: web.StreamResponse) -> None:
        taken.append(request.path)  # only what goes aiohttp's way is told of

    app.on_response_prepare.append(note)
    async with TestClient(Server(app)) as client:
        Feeder(streams.add("yard")).feed_until(2)
        for path in ("/live/yard/segment-0.m4s", await part_of(client)):
            for origin in ({}, {"Origin": "https://elsewhere.example"}, {"Origin": "https://other.example"}):
                taken.clear()
                other = await client.get(path, headers={**origin, "Connection": "close"})
                assert len(taken) == 1
                usual = await client.get(path, headers=origin)
                assert len(taken) == 1
                assert (told(other.headers), await other.read()) == (told(usual.headers), body := await usual.read())
                assert usual.headers["Date"].endswith(" GMT")
                assert usual.headers["Content-Length"] == str(len(body))
                assert ("private" in usual.headers["Cache-Control"]) == needs_key
                assert usual.headers.get("Access-Control-Allow-Origin") == allowed(origins, origin.get("Origin"))
                assert (usual.headers.get("Vary") == "Origin") == (origins not in ((), ("*",)))
            usual = await client.get(path)
            head = await client.head(path)
            assert (told(head.headers), await head.read()) == (told(usual.headers), b"")
            again = await client.get(path, headers={"If-None-Match": usual.headers["ETag"]})
            assert (again.status, again.headers["ETag"], await again.read()) == (304, usual.headers["ETag"], b"")


async def test_a_client_of_http_1_0_is_answered_in_its_own_version(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard")).feed_until(1)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"GET /live/yard/segment-0.m4s HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"00000004".ljust(100, b"."))


async def test_answers_to_requests_that_came_at_once_keep_their_order_and_their_bytes(
    client: Client, streams: FakeStreams
) -> None:
    feeder = Feeder(streams.add("yard"), payload=1_000_000)
    feeder.feed_until(2)
    reader, writer = await asyncio.open_connection(client.host, client.port, limit=1000)
    numbers = [0, 1, 0, 1]
    writer.write(b"".join(b"GET /live/yard/segment-%d.m4s HTTP/1.1\r\nHost: x\r\n\r\n" % each for each in numbers))
    for msn in numbers:  # 5 MB each: much more than the kernel takes
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nContent-Length: 5000000\r\n" in head
        for number in range(5 * msn, 5 * msn + 5):
            assert await reader.readexactly(1_000_000) == f"{number:08d}".encode().ljust(1_000_000, b".")
    writer.close()


async def test_a_segment_of_more_pieces_than_fit_into_a_call_comes_whole(client: Client, streams: FakeStreams) -> None:
    feeder = Feeder(streams.add("yard", RingLimits()), duration=TIMESCALE // 750, per_key=1500, payload=10)
    feeder.feed_until(1)
    answer = await client.get("/live/yard/segment-0.m4s")
    assert await answer.read() == b"".join(f"{number:08d}..".encode() for number in range(1500))


async def test_a_client_that_leaves_in_the_middle_of_a_segment_is_nobodys_trouble(
    client: Client, streams: FakeStreams, caplog: pytest.LogCaptureFixture
) -> None:
    Feeder(streams.add("yard"), payload=4_000_000).feed_until(1)
    _, writer = await asyncio.open_connection(client.host, client.port, limit=1000)
    writer.write(b"GET /live/yard/segment-0.m4s HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    await writer.drain()
    runner = client.server.runner
    assert runner is not None
    server = runner.server
    assert server is not None
    assert len(server.connections) == 1
    writer.transport.abort()
    await until(lambda: not server.connections)
    assert (await client.get("/live/yard/segment-0.m4s")).status == 200
    assert not caplog.records
