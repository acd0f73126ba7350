"""A receiver of webhooks: it checks the signature of what comes, and answers as it is told."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def signed_right(headers: Any, body: bytes, secret: str = SECRET) -> bool:
    """Whether one of the signatures is that of the secret: written down anew, from the words of the scheme."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return expected in headers["webhook-signature"].split(" ")


class Receiver:
    """Listens on a port of loopback, the same one when it comes back. `events` is what it took, in order."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.asked = 0
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 204
        self.hold: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hooks", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def of(self, subject: str) -> list[str]:
        """The types of the events of one job or stream, in the order in which they came, as often as they came."""
        return [event["type"] for event in self.events if event["data"]["id"] == subject]

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        assert signed_right(request.headers, body), "the signature is wrong"
        assert request.content_type == "application/json"
        event = json.loads(body)
        if self.hold is not None:
            await self.hold.wait()
        status = self.answer(event)
        if status < 300:
            self.events.append(event)
            self.ids.append(request.headers["webhook-id"])
        return web.Response(status=status)
