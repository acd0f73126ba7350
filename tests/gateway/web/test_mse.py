"""Watching over WebSocket: what a viewer gets, and what becomes of slow, stuck and vanished ones."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from media.cursor import behind
from media.ring import LiveRing, RingLimits
from tests.support.feeding import Feeder, an_init
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

Client = TestClient[Any, Any]
# Nobody is stuck who only has to wait for the processor.
PATIENT = PlayLimits(hold=0.3, viewer=ViewerLimits(stuck=30, farewell=30, tick=0.05))


@dataclass
class Setup:
    streams: FakeStreams
    client: Client


Serve = Callable[[PlayLimits], Awaitable[Setup]]


@pytest.fixture(params=[False, True], ids=["handlers-left-alone", "handlers-cancelled"])
def serve(aiohttp_client: AiohttpClient, request: pytest.FixtureRequest) -> Serve:
    async def served(limits: PlayLimits) -> Setup:
        streams = FakeStreams()
        return Setup(streams, await aiohttp_client(Server(an_app(streams, limits), cancels=request.param)))

    return served


@pytest.fixture
async def setup(serve: Serve) -> Setup:
    return await serve(PATIENT)


async def next_of(socket: ClientWebSocketResponse) -> Any:
    """The next message: parsed JSON, or bytes."""
    message = await socket.receive(timeout=30)
    assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
    return json.loads(message.data) if message.type is WSMsgType.TEXT else message.data


def number_of(data: bytes) -> int:
    return int(data[:8])


async def test_a_viewer_gets_the_init_and_the_chunks_from_the_newest_key_frame_on(setup: Setup) -> None:
    feeder = Feeder(setup.streams.add("yard"))
    feeder.feed(8)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        said = await next_of(socket)
        assert said["type"] == "init"
        assert said["mime"] == 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'
        assert (said["video"]["width"], said["video"]["height"], said["time"]) == (640, 360, 2.0)
        assert await next_of(socket) == feeder.init.data
        assert [number_of(await next_of(socket)) for _ in range(3)] == [5, 6, 7]
        feeder.feed()
        assert number_of(await next_of(socket)) == 8


async def test_a_new_init_is_announced_before_its_chunks(setup: Setup) -> None:
    feeder = Feeder(setup.streams.add("yard"))
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        for _ in range(3):
            await next_of(socket)
        feeder.init = an_init(1280)
        feeder.fed = 5
        feeder.feed()
        said = await next_of(socket)
        assert (said["type"], said["video"]["width"], said["id"]) == ("init", 1280, feeder.init.id)
        assert await next_of(socket) == feeder.init.data
        assert number_of(await next_of(socket)) == 5


async def test_a_jump_of_decode_time_is_announced(setup: Setup) -> None:
    feeder = Feeder(setup.streams.add("yard"))
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        for _ in range(3):
            await next_of(socket)
        feeder.skip(8)
        feeder.feed()
        assert await next_of(socket) == {"type": "discontinuity", "time": 8.4}
        assert number_of(await next_of(socket)) == 5


async def test_viewers_are_counted_while_they_watch(setup: Setup) -> None:
    Feeder(setup.streams.add("yard")).feed(1)
    async with setup.client.ws_connect("/live/yard/mse"), setup.client.ws_connect("/live/yard/mse") as socket:
        await next_of(socket)
        assert setup.streams.watching == {"yard": 2}
    await until(lambda: setup.streams.watching == {"yard": 0})


@pytest.mark.parametrize("terminated", [False, True])
async def test_the_end_of_the_ring_or_of_its_stream_is_told_and_closes_cleanly(
    setup: Setup, *, terminated: bool
) -> None:
    ring = setup.streams.add("yard")
    Feeder(ring).feed(1)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        for _ in range(3):
            await next_of(socket)
        if terminated:
            del setup.streams.rings["yard"]
        ring.close()
        assert await next_of(socket) == {"type": "end", "reason": "ended"}
        await socket.receive(timeout=30)
        assert socket.close_code == 1000


async def test_a_replaced_ring_sends_the_viewer_back_to_connect_again(setup: Setup) -> None:
    Feeder(setup.streams.add("yard")).feed(1)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        for _ in range(3):
            await next_of(socket)
        setup.streams.add("yard")
        assert await next_of(socket) == {"type": "end", "reason": "replaced"}
        await socket.receive(timeout=30)
        assert socket.close_code == 1012


async def test_without_any_key_frame_the_upgrade_is_refused(setup: Setup) -> None:
    setup.streams.add("yard")
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for name, status in (("yard", 503), ("nobody", 404)):
        assert (await setup.client.get(f"/live/{name}/mse", headers=headers)).status == status


async def test_a_plain_request_is_told_what_speaks_here(setup: Setup) -> None:
    Feeder(setup.streams.add("yard")).feed(1)
    response = await setup.client.get("/live/yard/mse")
    assert (response.status, (await response.json())["code"]) == (400, "bad-request")


async def test_a_slow_viewer_is_moved_to_the_newest_key_frame_and_told(setup: Setup) -> None:
    # The client reads nothing until its own and the kernel's buffers are full and the ring is far ahead.
    feeder = Feeder(setup.streams.add("yard"), payload=1_000_000)
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse", max_msg_size=0) as socket:
        for _ in range(3):
            await next_of(socket)
        for _ in range(40):
            feeder.feed()
            await asyncio.sleep(0.002)
        received: list[Any] = [await next_of(socket)]
        while not (isinstance(received[-1], bytes) and number_of(received[-1]) == 40):
            received.append(await next_of(socket))
        skips = [index for index, one in enumerate(received) if isinstance(one, dict)]
        assert [received[index]["type"] for index in skips] == ["skip"] * len(skips)
        assert skips
        for index in skips:
            landed = number_of(received[index + 1])
            assert landed % feeder.per_key == 0
            assert received[index]["time"] == pytest.approx(landed * 0.4)
            missed = landed - number_of(received[index - 1]) - 1
            assert received[index]["seconds"] == pytest.approx(missed * 0.4)


async def test_a_stuck_viewer_is_closed_with_its_own_code_and_nothing_of_it_stays(serve: Serve) -> None:
    setup = await serve(PlayLimits(viewer=ViewerLimits(stuck=0.8, farewell=30, tick=0.05)))
    feeder = Feeder(setup.streams.add("yard"))
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse", max_msg_size=0) as socket:
        for _ in range(3):
            await next_of(socket)
        # Chunks larger than all the buffers of a loopback connection together, so that one alone makes the server wait.
        feeder.payload = 16_000_000
        feeder.feed(3)
        await asyncio.sleep(1.2)  # the server gives up after 0.8 s and waits for the farewell
        assert setup.streams.watching == {"yard": 1}
        while (message := await socket.receive(timeout=30)).type is WSMsgType.BINARY:
            pass
        assert message.type is WSMsgType.CLOSE
        assert socket.close_code == 4008
    await until(lambda: setup.streams.watching == {"yard": 0})


async def test_a_viewer_that_never_reads_again_is_aborted(serve: Serve) -> None:
    setup = await serve(PlayLimits(viewer=ViewerLimits(stuck=0.8, farewell=1.5, tick=0.05)))
    feeder = Feeder(setup.streams.add("yard"), payload=16_000_000)
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse", max_msg_size=0) as socket:
        await next_of(socket)
        feeder.feed(3)
        await until(lambda: setup.streams.watching == {"yard": 0})
        # What it did not take is not kept either: the connection itself is gone, though the client still has it open.
        runner = setup.client.server.runner
        assert runner is not None
        assert runner.server is not None
        await until(lambda: not getattr(runner.server, "connections", None))
        assert not socket.closed


async def test_producers_never_wait_for_viewers_and_memory_stays_bounded(setup: Setup) -> None:
    ring = setup.streams.add("yard", RingLimits(max_bytes=8_000_000))
    feeder = Feeder(ring, payload=400_000)
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse", max_msg_size=0) as socket:
        await next_of(socket)
        for _ in range(100):
            feeder.feed()
            await asyncio.sleep(0)
            assert ring.size <= 8_000_000


async def test_vanished_viewers_leave_nothing_waiting(setup: Setup) -> None:
    ring = setup.streams.add("yard")
    Feeder(ring).feed(1)
    sockets = [await setup.client.ws_connect("/live/yard/mse") for _ in range(30)]
    await until(lambda: ring.waiting == 30)
    for socket in sockets:
        connection = socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()  # no closing handshake: the peer is just away
    await until(lambda: ring.waiting == 0)
    await until(lambda: setup.streams.watching == {"yard": 0})


async def test_a_key_frame_is_awaited_when_none_is_at_hand_any_more(setup: Setup) -> None:
    ring = setup.streams.add("yard", RingLimits(max_bytes=4_000_000))
    feeder = Feeder(ring, payload=900_000)
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse", max_msg_size=0) as socket:
        for _ in range(3):
            await next_of(socket)
        feeder.per_key = 10**9
        feeder.feed(20)  # at once: the viewer's cursor leaves the ring, and so does the only key frame
        await asyncio.sleep(0.1)
        assert ring.newest_key() is None
        feeder.per_key = 1
        first = feeder.fed
        feeder.feed(1)
        while not isinstance(message := await next_of(socket), bytes):
            assert message["type"] == "skip"
        assert number_of(message) == first


async def test_a_chatty_client_is_not_heard(setup: Setup) -> None:
    feeder = Feeder(setup.streams.add("yard"))
    feeder.feed(1)
    async with setup.client.ws_connect("/live/yard/mse") as socket:
        for word in ("hello", "{}", "\x00"):
            await socket.send_str(word)
        for _ in range(3):
            await next_of(socket)
        feeder.feed()
        assert number_of(await next_of(socket)) == 1


def test_how_far_behind_a_chunk_is_counts_media_and_no_holes() -> None:
    ring = LiveRing(RingLimits(), lambda: 0.0)
    feeder = Feeder(ring)
    first = feeder.feed(1)
    feeder.feed(2)
    feeder.skip(1_000)
    last = feeder.feed(3)
    assert float(behind(ring, first)) == pytest.approx(6 * 0.4)
    assert float(behind(ring, last)) == pytest.approx(0.4)
