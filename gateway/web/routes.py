"""The HTTP application: every route, and the middleware around them."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from gateway.kinds import KINDS
from gateway.kinds.kind import Kind
from gateway.web import dashboard_page, docs_page, files, jobs, problems, streams, submit
from gateway.web.access import access, cors, principal, rate_limit, security, session
from gateway.web.access.outer import PROXIES, Proxies
from gateway.web.context import BASE, Context, with_alias
from gateway.web.media_use import MediaUse
from gateway.web.observe import events, figures, health, metrics
from gateway.web.openapi import openapi_document
from gateway.web.watch import play, whep
from media.channel.packages.probes import Probes

MAX_BODY: Final = 64 * 1024  # bytes of a request; control data is small


def application(
    face: Context,
    limits: play.PlayLimits,
    guard: access.Access,
    measured: figures.Figures,
    kinds: Sequence[Kind] = KINDS,
) -> web.Application:
    """An application that answers for this face; it owns nothing and cleans up nothing."""
    rate = face.parts.settings.rate_limit
    limited = [rate_limit.middleware(rate, principal.caller)] if rate else []
    app = web.Application(client_max_size=MAX_BODY)
    app[PROXIES] = Proxies(face.parts.settings.proxies)
    opened = cors.open_to(app, guard.origins)
    app.middlewares.extend([problems.middleware, *opened, access.middleware(guard), *limited])
    methods = [web.post(BASE + kind.path, submit.handler(kind, face)) for kind in kinds]
    settings = face.parts.settings
    use = face.media_use or MediaUse(settings.media_dir, face.parts.catalog, face.supervisor.active)
    media = files.routes(settings.media_dir, use, settings.media_max_bytes, Probes(face.parts.workers))
    records = [*streams.routes(face), *figures.routes(measured), *jobs.routes(face), *events.routes(face)]
    app.add_routes(with_alias([*methods, *records, *media, *access.routes(guard), *session.routes(guard)]))
    app.add_routes(openapi_document.routes(kinds))
    app.add_routes(docs_page.routes())
    app.add_routes(dashboard_page.routes())
    app.add_routes(health.routes(face))
    app.add_routes(metrics.routes(face.metrics))
    app.add_routes(play.routes(face.parts.catalog, limits, play.Makers(face.parts.stills, face.parts.broadcasts)))
    app.router.add_options(play.WHEP, whep.options)
    app.on_response_prepare.extend([security.harden, access.keep_private, access.keep_token])
    return app
