"""The least that aiohttp does for a request, for comparison: `python -m benchmarks.bare PORT FILE`.

Answers every GET with what is in the file at that moment, one copy of which is kept in memory.
"""

import sys
from pathlib import Path

from aiohttp import web


def main() -> None:
    path = Path(sys.argv[2])
    kept: tuple[int, bytes] = (0, b"")

    def current() -> bytes:
        nonlocal kept
        changed = path.stat().st_mtime_ns
        if changed != kept[0]:
            kept = (changed, path.read_bytes())
        return kept[1]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=current(), content_type="video/mp4")

    app = web.Application()
    app.add_routes([web.get("/same", answer)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
