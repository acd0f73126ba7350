"""One slow viewer among many: it alone loses something."""

import asyncio
import socket
from contextlib import AbstractContextManager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, make_mocked_request
from pytest_aiohttp import AiohttpClient

from gateway.jobs.failures import Failure
from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from gateway.web.watch.viewers import PLAYERS, ViewerCaps, Viewers, Way
from tests.support.feeding import Feeder
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

Client = TestClient[Any, Any]
VIEWERS = 99
CHUNKS = 40
SLOW = 8_000  # bytes a second


async def drain(viewer: Any, chunks: int) -> list[bytes]:
    """The first bytes of so many chunks, and whatever was said to be left out."""
    found: list[bytes] = []
    while len(found) < chunks:
        message = await viewer.receive()
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        if isinstance(message.data, str) and "skip" in message.data:
            found.append(b"skipped")
        elif isinstance(message.data, bytes) and message.data[:1].isdigit():
            found.append(message.data[:8])
    return found


async def test_a_viewer_at_8_kilobytes_a_second_among_100_takes_nothing_from_the_others(
    aiohttp_client: AiohttpClient,
) -> None:
    streams = FakeStreams()
    # At its rate a chunk takes 18 s; the others, who share one processor with it here, need much less than `stuck`.
    limits = PlayLimits(viewer=ViewerLimits(behind=2.0, stuck=6.0, farewell=1.0, tick=0.1))
    client: Client = await aiohttp_client(Server(an_app(streams, limits)))
    feeder = Feeder(streams.add("yard"), payload=150_000)
    feeder.feed()
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW)  # or the kernel takes it all, and nobody is slow
    small.connect((client.host, client.port))
    reader, writer = await asyncio.open_connection(sock=small, limit=SLOW)
    writer.write(
        b"GET /live/yard/mse HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    sockets = [await client.ws_connect("/live/yard/mse", max_msg_size=0) for _ in range(VIEWERS)]
    await until(lambda: streams.watching == {"yard": VIEWERS + 1})

    async def trickle() -> None:
        while await reader.read(SLOW // 20):  # noqa: ASYNC110 (the pace is the point)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        slow = group.create_task(trickle())
        viewers = [group.create_task(drain(each, CHUNKS)) for each in sockets]
        for _ in range(CHUNKS):
            feeder.feed()
            await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            seen = await asyncio.gather(*viewers)
        await until(lambda: streams.watching["yard"] == VIEWERS)  # the slow one was given up
        slow.cancel()
    assert {len(each) for each in seen} == {CHUNKS}
    assert not any(b"skipped" in each for each in seen)
    assert all(each == [f"{number:08d}".encode() for number in range(CHUNKS)] for each in seen)
    writer.close()
    for each in sockets:
        await each.close()


def test_the_caps_hold_for_a_stream_and_for_all_of_them() -> None:
    streams = FakeStreams()
    viewers = Viewers(streams, ViewerCaps(per_stream=2, total=3))

    def watching(name: str) -> AbstractContextManager[None]:
        request = make_mocked_request("GET", "/", match_info={"name": name}, app=web.Application())
        return viewers.watching(request, Way.MP4)

    with watching("a"), watching("a"), watching("b"):
        for name, what in (("a", "The stream has 2"), ("b", "There are 3")):
            with pytest.raises(Failure, match=what) as refused, watching(name):
                pass
            assert refused.value.code == "capacity-exceeded"
        assert viewers.total == 3
    assert (viewers.total, streams.watching) == (0, {"a": 0, "b": 0})


@pytest.mark.looptime
async def test_an_hls_player_counts_for_as_long_as_it_asks_again() -> None:
    streams = FakeStreams()
    Feeder(streams.add("yard")).feed_until(2)
    limits = PlayLimits(caps=ViewerCaps(per_stream=2, absence=15))
    async with TestClient(Server(an_app(streams, limits))) as client:

        async def load(player: str) -> int:
            response = await client.get("/live/yard/media.m3u8", headers={"User-Agent": player})
            return response.status

        for _ in range(3):
            assert [await load("one"), await load("two")] == [200, 200]
            assert streams.watching == {"yard": 2}
            await asyncio.sleep(10)
        assert await load("three") == 503
        assert await load("one") == 200
        await asyncio.sleep(14)
        assert streams.watching == {"yard": 1}
        assert await load("three") == 200
        await asyncio.sleep(16)
        assert streams.watching == {"yard": 0}


@pytest.mark.looptime
async def test_an_hls_player_that_is_told_to_go_is_refused_for_a_while() -> None:
    streams = FakeStreams()
    Feeder(streams.add("yard")).feed_until(2)
    limits = PlayLimits(caps=ViewerCaps(absence=15))
    viewers = Viewers(streams, limits.caps)
    async with TestClient(Server(an_app(streams, limits, viewers=viewers))) as client:

        async def load(player: str) -> int:
            response = await client.get("/live/yard/media.m3u8", headers={"User-Agent": player})
            return response.status

        assert [await load("one"), await load("two")] == [200, 200]
        first, second = viewers.seats()
        viewers.end(first.id)
        for _ in range(2):
            assert viewers.seats() == [second]
            assert [await load("one"), await load("two")] == [403, 200]
            await asyncio.sleep(7)
        await asyncio.sleep(2)
        assert [await load("one"), await load("two")] == [200, 200]
        assert len(viewers.seats()) == 2
        viewers.close()


async def test_a_caller_that_gives_itself_many_names_does_not_fill_a_stream() -> None:
    streams = FakeStreams()
    viewers = Viewers(streams, ViewerCaps(per_stream=PLAYERS + 2, absence=60))

    def ask(player: str, stream: str, address: str) -> None:
        request = make_mocked_request("GET", "/", {"User-Agent": player}, app=web.Application()).clone(remote=address)
        viewers.asked(stream, request)

    for number in range(3 * PLAYERS):
        ask(f"player {number}", "yard", "192.0.2.1")
    assert streams.watching == {"yard": PLAYERS + 1}
    ask("player 0", "yard", "192.0.2.2")
    ask("player 0", "gate", "192.0.2.1")
    assert streams.watching == {"yard": PLAYERS + 2, "gate": 1}
    viewers.close()
    assert (viewers.total, streams.watching) == (0, {"yard": 0, "gate": 0})
    ask("player 200", "yard", "192.0.2.1")
    ask("player 201", "yard", "192.0.2.1")
    assert viewers.total == 2
    viewers.close()
