"""A site of somebody else's, whose pages show streams: with hls.js, and in a frame."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.peers import hlsjs

ICON: Final = '<link rel="icon" href="data:,">'


@asynccontextmanager
async def portal() -> AsyncIterator[str]:
    """Its origin. `/player?src=` plays a playlist with hls.js, `/frame?src=` shows a page in a frame."""
    script = await hlsjs.installed()

    async def player(request: web.Request) -> web.Response:
        page = hlsjs.PAGE % (json.dumps({"lowLatencyMode": True}), request.query["src"])
        return web.Response(text=f"<!doctype html>{ICON}{page}", content_type="text/html")

    async def library(_: web.Request) -> web.FileResponse:
        return web.FileResponse(script, headers={"Content-Type": "text/javascript"})

    async def frame(request: web.Request) -> web.Response:
        page = f'<!doctype html>{ICON}<iframe width="640" height="360" allow="autoplay" src="{request.query["src"]}">'
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/player", player), web.get("/hls-player.js", library), web.get("/frame", frame)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
