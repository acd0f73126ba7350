"""The HTTP application: every route, and the middleware around them."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from gateway.kinds import KINDS
from gateway.kinds.kind import Kind
from gateway.web import body, dashboard_page, docs_page, problems
from gateway.web.access import access, cors, principal, rate_limit, security, session
from gateway.web.access.outer import PROXIES, Proxies, public
from gateway.web.calls import files, jobs, streams, submit
from gateway.web.calls.media_use import MediaUse
from gateway.web.context import BASE, Context
from gateway.web.observe import events, figures, health, metrics
from gateway.web.openapi import openapi_document
from gateway.web.transport import prefix
from gateway.web.watch import play, whep
from gateway.web.watch.viewers import Viewers
from gateway.web.wcs import methods as wcs
from gateway.web.wcs.stat import Statistics
from media.channel.packages.probes import Probes

MAX_BODY: Final = 64 * 1024  # bytes of a request; control data is small


def application(
    context: Context,
    limits: play.PlayLimits,
    guard: access.Access,
    measured: figures.Figures,
    kinds: Sequence[Kind] = KINDS,
) -> web.Application:
    """An application that answers for these services; it owns nothing and cleans up nothing."""
    rate = context.parts.settings.rate_limit
    limited = [rate_limit.middleware(rate, principal.caller)] if rate else []
    app = web.Application(client_max_size=MAX_BODY)
    app._router = _Router()
    app[PROXIES] = Proxies(context.parts.settings.proxies, public(context.parts.settings.public_url))
    app[security.HSTS] = context.parts.settings.hsts_seconds
    opened = cors.open_to(app, guard.origins)
    app.middlewares.extend(
        [prefix.middleware, problems.middleware, *opened, body.plain, access.middleware(guard), *limited]
    )
    methods = [web.post(BASE + kind.path, submit.handler(kind, context)) for kind in kinds]
    settings = context.parts.settings
    use = context.media_use or MediaUse(settings.media_dir, context.parts.catalog, context.supervisor.active)
    media = files.routes(settings.media_dir, use, settings.media_max_bytes, Probes(context.parts.workers))
    records = [*streams.routes(context), *figures.routes(measured), *jobs.routes(context), *events.routes(context)]
    api = [*methods, *records, *media, *access.routes(guard), *session.routes(guard)]
    viewers = Viewers(context.parts.catalog, limits.caps)
    statistics = Statistics(context, viewers)
    pages = [*openapi_document.routes(kinds), *docs_page.routes(), *map(statistics.before, dashboard_page.routes())]
    state = [*health.routes(context), *metrics.routes(context.metrics)]
    makers = play.Makers(context.parts.stills, context.parts.broadcasts)
    watching = play.routes(context.parts.catalog, limits, makers, viewers)
    old = wcs.routes(context, viewers, kinds)
    app.add_routes([_uninvited(route) for route in (*api, *pages, *state, *watching, *old)])
    app.router.add_options(play.WHEP, whep.options)
    app.on_response_prepare.extend([security.harden, access.keep_private, access.keep_token])
    return app


class _Router(web.UrlDispatcher):
    """What no route is for is refused before its body comes, as well: aiohttp would tell the client to send it."""

    async def resolve(self, request: web.Request) -> web.UrlMappingMatchInfo:
        found = await super().resolve(request)
        if found.http_exception is not None:
            found.route._expect_handler = body.expected
        return found


def _uninvited(route: web.RouteDef) -> web.RouteDef:
    """The route, made so that nobody is told to send a body (`Expect: 100-continue`) before it is wanted."""
    kwargs = {**route.kwargs, "expect_handler": body.expected}
    return web.RouteDef(route.method, route.path, route.handler, kwargs)
