"""One viewer over WebSocket: init and chunks for Media Source Extensions, pushed from the newest key frame on.

Text messages are JSON objects with a `type`; binary ones are an init (the first after an `init` message) or a chunk:

    init           {id, mime, codecs, video, audio, time}: an init follows, then the chunk that begins at `time`
    skip           {seconds, time}: the viewer was too slow; so much (0: unknown) is left out, a key frame is next
    discontinuity  {time}: the next chunk, at `time`, does not follow the one before
    end            {reason}: `ended`, `replaced` (connect again), `restarting` (the gateway is, and the stream goes on
                   when it is back), or `unauthorized` (the token's time is over, or the key was revoked); a close with
                   code 1000, 1012, 1012 or 1008 comes next

`time` is the decode time in seconds. The client need say nothing, and nothing that it says is heard; a ping is answered
with the next message.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from gateway.web.access.access import grant
from gateway.web.transport import herd
from media.chunk import Chunk, Init
from media.cursor import Cursor, Step
from media.ring import Ring

STUCK: Final = 4008  # close code: the viewer took nothing for too long (of the private range, RFC 6455, section 7.4.2)

LOUD: Final = 100  # messages in a second that a viewer may send


@dataclass(frozen=True, slots=True)
class ViewerLimits:
    """Limits in seconds. `behind`: of media, until a viewer is moved to the newest key frame. `stuck`: for one chunk to
    be taken.

    `farewell`: for the closing handshake. `tick`: until a vanished client or a replaced ring is noticed. `silence`:
    until something is sent although there is nothing new; proxies end what says nothing for a minute.
    """

    behind: float = 2.0
    stuck: float = 10.0
    farewell: float = 3.0
    tick: float = 1.0
    silence: float = 25.0


@dataclass(frozen=True, slots=True)
class Current:
    """What is asked while somebody watches: the stream's `ring` now, and whether the gateway is `leaving`."""

    ring: Callable[[], Ring | None]
    leaving: Callable[[], bool] = lambda: False


def is_gone(request: web.BaseRequest) -> bool:
    """Whether the client has closed the connection: handlers are not cancelled for that, they look."""
    return request.transport is None or request.transport.is_closing()


async def arrival(ring: Ring, number: int, seconds: float) -> None:
    """Waits until chunk `number` is there or never will be, for so long at the most; all who wait wake up together."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ring.wait(number)
    await herd.turn()


async def show(
    request: web.Request,
    socket: web.WebSocketResponse,
    ring: Ring,
    current: Current,
    limits: ViewerLimits,
) -> None:
    """Serves a prepared socket until the viewer leaves, is stuck or may not watch any longer, or the ring ends or is
    not the `current` one of its stream (None: there is no stream any more).
    """
    transport, said = request.transport, _Said(socket)
    listener = asyncio.create_task(said.listen(), name="mse-listener")
    code = STUCK
    try:
        with suppress(TimeoutError):
            code = await _Viewer(socket, ring, limits, said).run(current, grant(request))
    except ConnectionError:
        return  # the viewer has gone
    finally:
        # Before the socket is closed: the closing handshake reads by itself.
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    # After `stuck` the close frame waits behind what was not taken; a viewer that takes it in time learns the reason.
    await socket.close(code=code, drain=False)
    if transport is not None and socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
        transport.abort()  # no farewell came: what is unsent is not kept for a peer that may never take it


class _Viewer:
    """One viewer: its cursor in the ring, and the socket that it is sent the chunks by."""

    def __init__(self, socket: web.WebSocketResponse, ring: Ring, limits: ViewerLimits, said: "_Said") -> None:
        self._socket = socket
        self._said = said
        self._cursor = Cursor(ring, limits.behind)
        self._limits = limits

    async def run(self, current: Current, may_watch: Callable[[], bool]) -> int:
        """Sends until there is a reason to close, and returns its code.

        Raises TimeoutError when the viewer is stuck, ConnectionError when it vanished while something was sent.
        """
        ring = self._cursor.ring
        while not self._socket.closed:
            if self._said.loud:
                return WSCloseCode.POLICY_VIOLATION
            await self._said.answer(self._limits.stuck)
            if not may_watch():
                await self._text({"type": "end", "reason": "unauthorized"})
                return WSCloseCode.POLICY_VIOLATION
            if current.leaving():
                await self._text({"type": "end", "reason": "restarting"})
                return WSCloseCode.SERVICE_RESTART
            now = current.ring()
            if now is not None and now is not ring:
                await self._text({"type": "end", "reason": "replaced"})
                return WSCloseCode.SERVICE_RESTART
            if now is None or (ring.ended and self._cursor.waits):
                await self._text({"type": "end", "reason": "ended"})
                return WSCloseCode.OK
            await self._step()
        return WSCloseCode.OK

    async def _step(self) -> None:
        step = await self._cursor.step()
        if step is not None:
            await self._send(step)
        elif self._cursor.waits:
            await arrival(self._cursor.ring, self._cursor.number, self._limits.tick)

    async def _send(self, step: Step) -> None:
        chunk = step.chunk
        if step.skipped is not None:
            await self._say("skip", chunk, seconds=round(float(step.skipped), 3))
        if step.new_init:
            await self._say("init", chunk, **describe(chunk.init))
            await self._bytes(chunk.init.data)
        elif chunk.discontinuity:
            await self._say("discontinuity", chunk)
        await self._bytes(chunk.data)

    async def _say(self, kind: str, chunk: Chunk, **more: Any) -> None:
        time = round(chunk.decode_time / chunk.init.timescale, 6)
        await self._text({"type": kind, **more, "time": time})

    async def _text(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._limits.stuck):
            await self._socket.send_json(message)

    async def _bytes(self, data: bytes) -> None:
        async with asyncio.timeout(self._limits.stuck):
            await self._socket.send_bytes(data)


def describe(init: Init) -> dict[str, Any]:
    """The members of an `init` message, without `time`."""
    kind = "video/mp4" if init.video else "audio/mp4"
    return {
        "id": init.id,
        "mime": f'{kind}; codecs="{init.codecs}"',
        "codecs": init.codecs,
        "video": asdict(init.video) if init.video else None,
        "audio": asdict(init.audio) if init.audio else None,
    }


class _Said:
    """What a viewer says. It is ignored, but somebody must read, or no close and no pong would be noticed."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._ping: bytes | None = None
        self.loud = False  # it says so much that it is to be cut off

    async def listen(self) -> None:
        """Reads until the viewer has gone, or is `loud`."""
        loop = asyncio.get_running_loop()
        since, count = loop.time(), 0
        async for message in self._socket:
            if loop.time() - since >= 1.0:
                since, count = loop.time(), 0
            count += 1
            if count > LOUD:
                self.loud = True
                return
            if message.type is WSMsgType.PING:
                self._ping = message.data

    async def answer(self, seconds: float) -> None:
        """Answers the newest ping alone (RFC 6455, section 5.5.3), if there is one: a viewer may send many."""
        ping, self._ping = self._ping, None
        if ping is not None:
            async with asyncio.timeout(seconds):
                await self._socket.pong(ping)
