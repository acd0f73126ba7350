"""Viewers that say much: what they say is heard seldom, answered once, and ends them when it is too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSCloseCode, WSMsgType, web

from gateway.web.transport.connections import Connections
from gateway.web.transport.listener import SAID, HttpConnection, Site
from gateway.web.watch.mse import LOUD, ViewerLimits
from gateway.web.watch.play import PlayLimits
from tests.support.feeding import Feeder
from tests.support.processes import until
from tests.support.watching import FakeStreams, an_app


@asynccontextmanager
async def a_viewer() -> AsyncIterator[tuple[ClientWebSocketResponse, HttpConnection, Feeder]]:
    """A viewer as the gateway has it, who answers and sends pings by hand."""
    streams = FakeStreams()
    feeder = Feeder(streams.add("yard"))
    feeder.feed()
    limits = PlayLimits(viewer=ViewerLimits(stuck=30, farewell=30, tick=0.05))
    runner = web.AppRunner(an_app(streams, limits), shutdown_timeout=0.1)
    await runner.setup()
    connections = Connections(10)
    try:
        await Site(runner, connections, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/live/yard/mse"
        async with ClientSession() as session, session.ws_connect(url, autoping=False, max_msg_size=0) as socket:
            (connection,) = connections._here
            assert isinstance(connection, HttpConnection)
            yield socket, connection, feeder
    finally:
        await runner.cleanup()


async def pongs(socket: ClientWebSocketResponse, last: bytes) -> list[bytes]:
    """The pongs that come until the last one."""
    found: list[bytes] = []
    while not found or found[-1] != last:
        message = await socket.receive(timeout=30)
        if message.type is WSMsgType.PONG:
            found.append(message.data)
        assert message.type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
    return found


async def test_a_ping_is_answered_and_of_many_the_newest_alone() -> None:
    async with a_viewer() as (socket, _, _), asyncio.timeout(30):
        await socket.ping(b"one")
        assert await pongs(socket, b"one") == [b"one"]
        for number in range(50):
            await socket.ping(b"%d" % number)
        assert len(await pongs(socket, b"49")) < 25


async def test_who_says_much_is_listened_to_seldom_and_watches_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = HttpConnection.data_received

    def counted(self: HttpConnection, data: bytes) -> None:
        reads.append(len(data))
        original(self, data)

    monkeypatch.setattr(HttpConnection, "data_received", counted)
    async with a_viewer() as (socket, connection, feeder), asyncio.timeout(30):
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(30):
            await socket.ping(b"again")
            await asyncio.sleep(0.05)
        took = loop.time() - began
        heard = len([size for size in reads if size]) - 1  # without that of the request
        assert heard <= SAID + took + 2
        await socket.ping(b"last")
        feeder.feed()
        seen: set[Any] = set()
        while seen != {WSMsgType.PONG, WSMsgType.BINARY}:  # it sees the film, and is heard again in the end
            message = await socket.receive(timeout=30)
            if message.type is WSMsgType.BINARY or message.data == b"last":
                seen.add(message.type)
        await until(lambda: connection._heard - loop.time() < SAID)


async def test_who_says_far_too_much_is_cut_off() -> None:
    async with a_viewer() as (socket, _, _), asyncio.timeout(30):
        for _ in range(3 * LOUD):
            await socket.ping(b"loud")
        while True:
            message = await socket.receive(timeout=30)
            if message.type is WSMsgType.CLOSE:
                break
        assert message.data == WSCloseCode.POLICY_VIOLATION
