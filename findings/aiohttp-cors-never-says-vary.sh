#!/bin/sh
# aiohttp-cors answers each site differently and does not say so to caches.
# aiohttp-cors 0.8.1 with aiohttp 3.14.5. Access-Control-Allow-Origin holds the origin of the request, and is not there
# without one. Such an answer needs `Vary: Origin` (Fetch Standard, "CORS protocol and HTTP caches"); the library never
# sends it. An answer that may be cached (a segment, a picture) and was first loaded without an origin, or by another
# site, is then refused to the page that is allowed to have it.
# Output:
#     aiohttp-cors 0.8.1 aiohttp 3.14.5
#     https://a.example: allowed origin https://a.example, Vary None
#     https://b.example: allowed origin https://b.example, Vary None
#     no origin: allowed origin None, Vary None
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check aiohttp==3.14.5 aiohttp-cors==0.8.1
venv/bin/python - <<'EOF'
import asyncio
import sys
from importlib.metadata import version

import aiohttp
import aiohttp_cors
from aiohttp import web

SITES = ("https://a.example", "https://b.example")


async def segment(request):
    return web.Response(body=b"media", headers={"Cache-Control": "max-age=3600"})


async def main():
    app = web.Application()
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(SITES, aiohttp_cors.ResourceOptions()))
    cors.add(app.router.add_get("/segment", segment))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = []
    async with aiohttp.ClientSession() as session:
        for origin in (*SITES, None):
            url = "http://127.0.0.1:%d/segment" % runner.addresses[0][1]
            async with session.get(url, headers={"Origin": origin} if origin else {}) as answer:
                allowed, vary = answer.headers.get("Access-Control-Allow-Origin"), answer.headers.get("Vary")
            print(f"{origin or 'no origin'}: allowed origin {allowed}, Vary {vary}")
            found.append((allowed, vary))
    await runner.cleanup()
    return found


print("aiohttp-cors", version("aiohttp-cors"), "aiohttp", version("aiohttp"))

if not (asyncio.run(main()) == [(SITES[0], None), (SITES[1], None), (None, None)]):
    sys.exit("This is no longer so.")
EOF
