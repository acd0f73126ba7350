"""The HTTP application: every route, and the middleware around them."""

from typing import Final

from aiohttp import web

from gateway.kinds import KINDS
from gateway.web import health, jobs, play, problems, streams, submit
from gateway.web.face import BASE, Face

MAX_BODY: Final = 64 * 1024  # bytes of a request; control data is small


def application(face: Face, limits: play.PlayLimits) -> web.Application:
    """An application that answers for this face; it owns nothing and cleans up nothing."""
    app = web.Application(middlewares=[problems.middleware], client_max_size=MAX_BODY)
    app.add_routes([web.post(BASE + kind.path, submit.handler(kind, face)) for kind in KINDS])
    app.add_routes(streams.routes(face))
    app.add_routes(jobs.routes(face))
    app.add_routes(health.routes(face))
    app.add_routes(play.routes(face.parts.catalog, limits))
    return app
