"""A listener of its own, without a gateway, and clients of it that do not do as they should."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from gateway.web.transport.connections import Connections
from gateway.web.transport.listener import Site

LARGE: Final = 8 * 1024 * 1024  # bytes: more than the kernel's buffers take


@contextlib.asynccontextmanager
async def listening(
    most: int, silence: float = 60.0, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, Connections]]:
    """`/` answers at once, `/large` with `LARGE` bytes, `/hold` when it is let go, `/body` after the body."""
    held = asyncio.Event()

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE))

    async def hold(_: web.Request) -> web.Response:
        await held.wait()
        return web.Response(text="held")

    async def body(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=LARGE)
    app.add_routes([web.get("/", hello), web.get("/large", large), web.get("/hold", hold)])
    app.add_routes([web.post("/", hello), web.post("/body", body)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    connections = Connections(most)
    try:
        await Site(runner, connections, "127.0.0.1", 0, silence=silence, ssl_context=context).start()
        yield runner.addresses[0][1], connections
    finally:
        held.set()
        await runner.cleanup()
    assert not len(connections)


async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Asks, and reads nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader, writer


async def narrow(port: int, data: bytes) -> socket.socket:
    """A connection that has sent this, and whose kernel takes hardly anything of an answer that nobody reads."""
    loop, client = asyncio.get_running_loop(), socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, data)
    return client
