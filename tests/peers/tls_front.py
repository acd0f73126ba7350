"""TLS in front of a plain server on loopback, as some cameras have it: stunnel, in a few lines."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trustme

READ_SIZE = 64 * 1024


def certificate(*names: str, ca: trustme.CA | None = None) -> ssl.SSLContext:
    """What a server with a certificate for these names has; by default a CA that nobody knows has signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca or trustme.CA()).issue_cert(*names).configure_cert(context)
    return context


@asynccontextmanager
async def behind_tls(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port at which that of loopback is to be had encrypted."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(READ_SIZE):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            inner = await asyncio.open_connection("127.0.0.1", port)
            writers.append(inner[1])
            await asyncio.gather(carry(reader, inner[1]), carry(inner[0], writer))
        finally:
            for each in writers:
                each.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer), name="tls front")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
