"""A bare RTSP client for tests: says exactly what it is told and keeps what it hears."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LIMIT = 30.0  # seconds any answer may take
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    url: str
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    session: str = ""
    count: int = 0

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        self.reader, self.writer = await asyncio.open_connection(parts.hostname, parts.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    def say(self, method: str, url: str = "", **headers: str) -> None:
        self.count += 1
        given = {"CSeq": str(self.count), **headers}
        if self.session:
            given.setdefault("Session", self.session)
        lines = [f"{method} {url or self.url} RTSP/1.0", *(f"{name}: {value}" for name, value in given.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def ask(self, method: str, url: str = "", **headers: str) -> Reply:
        self.say(method, url, **headers)
        async with asyncio.timeout(LIMIT):
            return await self.reply()

    async def setup(self, index: int = 0, transport: str = TCP) -> Reply:
        reply = await self.ask("SETUP", f"{self.url}/trackID={index}", Transport=transport)
        self.session = reply.headers.get("session", "").partition(";")[0] or self.session
        return reply

    async def reply(self) -> Reply:
        while (first := await self.reader.readexactly(1)) == b"$":
            await self._packet()
        head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(line.split(" ")[1]), headers, body)

    async def _packet(self) -> None:
        head = await self.reader.readexactly(3)
        self.packets.append((head[0], await self.reader.readexactly(int.from_bytes(head[1:]))))

    async def hear(self, count: int) -> list[tuple[int, bytes]]:
        """Waits for so many more interleaved packets, (channel, packet) each."""
        start = len(self.packets)
        async with asyncio.timeout(LIMIT):
            while len(self.packets) < start + count:
                assert await self.reader.readexactly(1) == b"$"
                await self._packet()
        return self.packets[start:]
