"""One client's RTSP connection: reads requests, minds the faults, writes answers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from media.faultcamera.faults import Faults
from media.faultcamera.methods import Methods
from media.faultcamera.rtsp.message import CameraResponse, Inbox, Interleaved, Malformed, Request, encode

READ_SIZE: Final = 64 * 1024
WRITE_TIMEOUT: Final = 10.0  # seconds that an answer may wait for the client's socket


@dataclass(frozen=True)
class Logged:
    """A request as it came: `at` in seconds since the camera's start; header names in lower case."""

    at: float
    peer: int
    method: str
    url: str
    headers: Mapping[str, str]


@dataclass
class ClientConnection:
    """Serves one client until it leaves, breaks the protocol or is dropped."""

    methods: Methods
    faults: Faults
    log: Callable[[Request, int], None]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def run(self) -> bool:
        """Returns when the connection is closed, whoever closed it; True when the client broke it off by a reset."""
        try:
            await self._serve()
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        else:
            return False
        finally:
            self.methods.leave(self.writer.transport)  # type: ignore[arg-type]  # a stream's transport reads and writes
            self.writer.transport.abort()

    async def _serve(self) -> None:
        inbox = Inbox()
        try:
            while data := await self.reader.read(READ_SIZE):
                for message in inbox.feed(data):
                    await self._take(message)
        except Malformed as error:
            await self._say(CameraResponse(error.status), "")

    async def _take(self, message: Request | Interleaved) -> None:
        transport: asyncio.Transport = self.writer.transport  # type: ignore[assignment]
        if isinstance(message, Interleaved):
            self.methods.heard(transport)
            return
        self.log(message, transport.get_extra_info("peername")[1])
        if message.method in self.faults.silent_on:
            return
        if delay := self.faults.delays.get(message.method):
            await asyncio.sleep(delay)
        if status := self.faults.answers.get(message.method):
            answer = CameraResponse(status)
        else:
            answer = await self.methods.answer(message, transport)
        await self._say(answer, message.cseq)

    async def _say(self, answer: CameraResponse, cseq: str) -> None:
        data = encode(answer, cseq, len("\r\n") if self.faults.short_length else 0)
        if self.faults.drip_pause is not None:
            for index in range(len(data) - 1):
                self.writer.write(data[index : index + 1])
                await asyncio.sleep(self.faults.drip_pause)
            data = data[-1:]
        self.writer.write(data)
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self.writer.drain()
