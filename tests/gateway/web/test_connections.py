"""Connections on which nothing moves: they give way at once to who needs their place, and are ended after a while."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from tests.support.listening import LARGE, ask, listening, narrow
from tests.support.processes import until

GET_LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
NO_BODY = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
SHORT = 0.2  # seconds


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not move gives way sooner than usual."""
    monkeypatch.setattr("gateway.web.transport.connections.LOOK", SHORT / 4)
    monkeypatch.setattr("gateway.web.transport.connections.STILL", SHORT)


@contextlib.asynccontextmanager
async def clients(port: int, count: int, data: bytes) -> AsyncIterator[list[socket.socket]]:
    """So many that have sent this, and do nothing more."""
    found = [await narrow(port, data) for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            each.close()


async def answered(port: int) -> bytes:
    """What a newcomer gets."""
    reader, writer = await ask(port, "/")
    try:
        return await reader.readuntil(b"hello")
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.close()


async def served(port: int) -> None:
    """Waits until a newcomer is served."""
    while b"200 OK" not in await answered(port):  # noqa: ASYNC110 (it is the answer that is waited for)
        await asyncio.sleep(SHORT / 4)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("data", [GET_LARGE, GET_LARGE * 3, NO_BODY, NO_BODY[:-2], b"GET /hold"])
async def test_whoever_does_not_move_gives_way_to_a_newcomer(data: bytes) -> None:
    async with listening(4) as (port, connections), clients(port, 6, data), asyncio.timeout(20):
        await served(port)
        for _ in range(5):
            assert b"200 OK" in await answered(port)
        assert len(connections) <= 4
        assert not connections.stuck  # nobody waited for that


@pytest.mark.usefixtures("soon")
async def test_what_is_under_way_does_not_give_way_to_those_who_come_and_do_not_move() -> None:
    async with listening(4) as (port, connections), asyncio.timeout(20):
        reader, writer = await ask(port, "/hold")
        download, other = await ask(port, "/large")
        async with clients(port, 6, GET_LARGE):
            got = 0
            while got < LARGE // 2:
                got += len(await download.read(64 * 1024))
                await asyncio.sleep(SHORT / 20)  # slower than the others come, and it moves
            await served(port)
            assert connections.dropped >= 4
            assert got + len(await download.readexactly(LARGE - got)) == LARGE
            assert not reader.at_eof()
        for each in (writer, other):
            each.close()


def secured() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server, and that of a client who trusts it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return context, trusting


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("tls", [False, True])
async def test_an_answer_that_nobody_takes_is_ended_after_its_time(monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    monkeypatch.setattr("gateway.web.transport.connections.STUCK", 3 * SHORT)
    context, trusting = secured() if tls else (None, None)
    async with listening(100, silence=SHORT, context=context) as (port, connections), asyncio.timeout(20):
        opened = []
        for _ in range(4):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            host = "127.0.0.1" if tls else None
            opened.append(await asyncio.open_connection(sock=client, ssl=trusting, server_hostname=host, limit=4096))
            opened[-1][1].write(GET_LARGE)
        await until(lambda: connections.stuck == 4)
        assert len(connections) == 0
        for _, writer in opened:
            writer.transport.abort()


@pytest.mark.usefixtures("soon")
async def test_an_answer_that_is_taken_slowly_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.transport.connections.STUCK", 5 * SHORT)
    loop = asyncio.get_running_loop()
    async with listening(100) as (port, connections), clients(port, 1, GET_LARGE) as (slow,), asyncio.timeout(20):
        until_ = loop.time() + 15 * SHORT
        while loop.time() < until_:
            assert await loop.sock_recv(slow, 8192)
            await asyncio.sleep(SHORT / 4)
        assert (len(connections), connections.stuck) == (1, 0)


async def flood(port: int, head: bytes, piece: bytes) -> int:
    """Sends one piece after the other, and reads nothing. Gives the bytes that could be sent until it was ended."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    return sent


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked", b"Content-Length: 100000000000"])
async def test_of_a_body_that_nobody_reads_little_is_taken(head: bytes) -> None:
    async with listening(10) as (port, _), asyncio.timeout(20):
        piece = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        sent = await flood(port, b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n", piece)
        assert sent < 16 * 1024 * 1024  # most of it are the buffers of the two kernels


async def test_a_body_in_chunks_of_a_byte_is_refused() -> None:
    async with listening(10) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")  # a few are as good as any
        assert (await reader.readuntil(b"1000")).startswith(b"HTTP/1.1 200")
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(b"1\r\nx\r\n" * 1000)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_body_in_chunks_of_a_usual_size_is_read_whatever_is_in_it() -> None:
    async with listening(10) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            writer.write(b"4000\r\n" + (b"x" * 62 + b"\r\n") * 256 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"1638400")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_the_answer_to_a_body_that_nobody_reads_is_seen_and_a_small_one_does_not_end_the_connection() -> None:
    async with listening(10) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n")
        assert b"Connection: close" not in await reader.readuntil(b"hello")
        writer.write(bytes(50_000) + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in await reader.readuntil(b"hello")
        writer.write(bytes(60_000))
        writer.close()


async def test_when_all_connections_have_gone_nobody_looks_any_more() -> None:
    async with listening(10) as (port, connections), asyncio.timeout(20):
        assert b"200 OK" in await answered(port)
        await until(lambda: len(connections) == 0 and connections._timer is None)
        assert b"200 OK" in await answered(port)  # and with the next one somebody does
        assert connections._timer is not None


async def test_a_client_that_goes_in_the_middle_of_its_body_is_nothing_to_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with listening(10) as (port, connections), asyncio.timeout(20):
        async with clients(port, 3, NO_BODY):
            await until(lambda: sum(peer.owes() for peer in connections._here) == 3)
        await until(lambda: len(connections) == 0)
    assert not caplog.records
