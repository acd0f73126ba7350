"""Whether the gateway lives, and whether it takes requests."""

import asyncio
from typing import Final

from aiohttp import hdrs, web

from gateway.web.face import Face

FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}


def routes(face: Face) -> list[web.RouteDef]:
    """`/livez`: the event loop turns. `/readyz`: jobs are accepted."""

    async def livez(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)  # one full turn of the loop
        return web.json_response({"status": "ok"}, headers=FRESH)

    async def readyz(_: web.Request) -> web.StreamResponse:
        ready = not face.supervisor.draining
        content = {"status": "ok" if ready else "draining"}
        return web.json_response(content, status=200 if ready else 503, headers=FRESH)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]
