"""Whether the gateway lives, and whether it takes requests."""

import asyncio
from typing import Final

from aiohttp import hdrs, web

from gateway.web.context import Context
from gateway.web.observe.metrics import STUCK

FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}


def routes(context: Context) -> list[web.RouteDef]:
    """`/livez`: the event loop turns, and not seconds late. `/readyz`: jobs are accepted and can be done.

    `reasons` of `/readyz` tells what is broken; with a reason that blocks no job it stays 200, `degraded`.
    """

    async def livez(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)  # one full turn of the loop
        alive = context.metrics.lag < STUCK
        return web.json_response({"status": "ok" if alive else "stuck"}, status=200 if alive else 503, headers=FRESH)

    async def readyz(_: web.Request) -> web.StreamResponse:
        reasons = context.readiness.reasons()
        if context.supervisor.draining:
            status = "draining"
        elif any(reason.blocks for reason in reasons):
            status = "unready"
        else:
            status = "degraded" if reasons else "ok"
        content = {"status": status, "reasons": [reason.record() for reason in reasons]}
        ready = status in ("ok", "degraded")
        return web.json_response(content, status=200 if ready else 503, headers=FRESH)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]
