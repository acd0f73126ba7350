"""Shapes of traffic that would stop others if the gateway let them: bounded, harmless, and on loopback only.

`python -m tests.strangers.shapes SHAPE HOST PORT TOKEN` prints a line when it is under way, and goes on until it is
killed, or for `LONGEST`. What it asks for needs no key; `widths` and `pings` need the play token of the stream `yard`.
"""

import asyncio
import contextlib
import gzip
import itertools
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 60.0  # seconds
RATE: Final = 1_000_000  # bytes a second, over all connections
CROWD: Final = 250  # connections, of which the gateway of these tests has room for `MOST`
MOST: Final = 200
FEW: Final = 8  # connections that send as much as they may
PINGS: Final = 80  # in one second, of one viewer; a hundred would be too many
SHEET: Final = b"GET /assets/dashboard/dashboard.css HTTP/1.1\r\nHost: x\r\n\r\n"
ZIPPED: Final = gzip.compress(bytes(50_000_000))  # 50 kilobytes


@dataclass
class Target:
    """Where to, with which play token; `under_way` is set as soon as the shape is complete."""

    host: str
    port: int
    token: str
    under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    async def hold(self, data: bytes, largest: int = 0) -> None:
        """A crowd, each of which sends this once, and then neither reads nor sends anything.

        `largest` is in bytes, for packets smaller than usual: then the other kernel keeps little for them, too.
        """
        loop, crowd = asyncio.get_running_loop(), []
        for _ in range(CROWD):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            if largest:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, largest)
            client.setblocking(False)
            with contextlib.suppress(OSError):
                await loop.sock_connect(client, (self.host, self.port))
                await loop.sock_sendall(client, data)
            crowd.append(client)
        await asyncio.sleep(1.0)  # what they are, and not how many come in one moment, is the shape
        self.under_way.set()
        await asyncio.sleep(LONGEST)

    async def pour(self, head: bytes, piece: bytes) -> None:
        """A few, each of which begins with the head and sends pieces without end; again when it is cut off."""

        async def one() -> None:
            _, writer = await self.open()
            writer.write(head)
            await self._paced(writer, itertools.repeat(piece))

        await self._few(one)

    async def call(self, request: bytes) -> None:
        """A few, each of which sends this request again and again, and reads the answers."""

        async def one() -> None:
            reader, writer = await self.open()
            await asyncio.gather(self._paced(writer, itertools.repeat(request)), _drained(reader))

        await self._few(one)

    async def _paced(self, writer: asyncio.StreamWriter, pieces: "itertools.repeat[bytes]") -> None:
        began, sent = time.monotonic(), 0
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            self.under_way.set()
            await asyncio.sleep(max(0.0, began + sent / (RATE / FEW) - time.monotonic()))
            if writer.transport.is_closing():
                return

    async def _few(self, one: Callable[[], Awaitable[None]]) -> None:
        async def again() -> None:
            while True:
                with contextlib.suppress(OSError):
                    await one()
                await asyncio.sleep(0.1)

        await asyncio.gather(*(again() for _ in range(FEW)))


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


def _post(path: str, header: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode()


async def unread(target: Target) -> None:
    """They ask for a style sheet, and again, until no kernel takes more of it, and read nothing."""
    await target.hold(SHEET * 4, largest=200)


async def pipelined(target: Target) -> None:
    """They ask for many style sheets at once and stop reading."""
    await target.hold(SHEET * 30)


async def owed(target: Target) -> None:
    """They announce a body, which does not come."""
    await target.hold(_post("/rest-api/v3/session/start", "Content-Length: 1000"))


async def begun(target: Target) -> None:
    """They never end the head of their requests."""
    await target.hold(SHEET[:-2] + b"X: ")


async def zipped(target: Target) -> None:
    """Bodies that become a thousand times larger when they are decoded."""
    await target.call(
        _post("/rest-api/v3/vod/startup", f"Content-Encoding: gzip\r\nContent-Length: {len(ZIPPED)}") + ZIPPED
    )


async def endless(target: Target) -> None:
    """Files without end that nobody wants."""
    head = b"PUT /rest-api/v3/media/a.mp4 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await target.pour(head, b"4000\r\n" + bytes(0x4000) + b"\r\n")


async def crumbs(target: Target) -> None:
    """Bodies in chunks of one byte."""
    await target.pour(_post("/rest-api/v3/session/start", "Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 2000)


async def cookies(target: Target) -> None:
    """Heads full of cookies."""
    await target.call(b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b;" * 2000 + b"\r\n\r\n")


async def query(target: Target) -> None:
    """Addresses full of parameters, of a stream that is not there."""
    await target.call(b"HEAD /live/x/media.m3u8?" + b"a=&" * 2500 + b" HTTP/1.1\r\nHost: x\r\n\r\n")


async def widths(target: Target) -> None:
    """Pictures of one stream in all widths, with one play token."""
    numbers = itertools.count()

    async def one() -> None:
        while True:
            reader, writer = await target.open()
            path = f"/live/yard.jpg?width={16 + next(numbers) * 7 % 3800}&token={target.token}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            target.under_way.set()
            with contextlib.suppress(OSError):
                await _drained(reader)
            writer.close()
            await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(40)))


async def pings(target: Target, viewers: int = 100) -> None:
    """Viewers that send many pings, all of them in the same moment of each second."""
    ask = f"GET /live/yard/mse?token={target.token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    ask += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    async with asyncio.TaskGroup() as group:
        writers = []
        for _ in range(viewers):
            reader, writer = await target.open()
            writer.write(ask.encode())
            writers.append(writer)
            group.create_task(_drained(reader))
        await asyncio.sleep(1.0)  # the beginning of a film, for all of them
        while True:
            for writer in writers:
                writer.write(b"\x89\x80abcd" * PINGS)
            target.under_way.set()
            await asyncio.sleep(1.0)


SHAPES: Final[dict[str, Callable[[Target], Awaitable[None]]]] = {
    each.__name__: each
    for each in (unread, pipelined, owed, begun, zipped, endless, crumbs, cookies, query, widths, pings)
}


async def main(shape: str, target: Target) -> None:
    """Says when it is under way, and goes on."""

    async def say() -> None:
        await target.under_way.wait()
        print("under way", flush=True)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            await asyncio.gather(say(), SHAPES[shape](target))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Target(sys.argv[2], int(sys.argv[3]), sys.argv[4])))
