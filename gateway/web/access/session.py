"""Signing in from a browser, whose EventSource and <video> send no headers: a cookie that stands for a key."""

from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from gateway.auth.keys import Key, Scope
from gateway.jobs.failures import Failure
from gateway.kinds.kind import Params
from gateway.web import body
from gateway.web.access.access import REALM, Access
from gateway.web.access.outer import outer
from gateway.web.access.principal import SESSION
from gateway.web.context import BASE
from gateway.web.openapi.answer_models import SessionRecord
from gateway.web.problems import problem

LASTS: Final = 7 * 86400  # seconds; a key that is revoked ends it at once
FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}


class SessionParams(Params):
    """`key`: the API key to sign in with."""

    key: Annotated[str, Field(min_length=1, max_length=3072)]


def routes(access: Access) -> list[web.RouteDef]:
    """`/session`, `/session/start` and `/session/end`; for everybody, since they say who one is."""

    async def find(request: web.Request) -> web.StreamResponse:
        return _answer(access, access.signed_in(request))

    async def start(request: web.Request) -> web.StreamResponse:
        params = body.fields(request, SessionParams, await body.read_object(request))
        if not access.needed:
            return _answer(access, None)
        try:
            key = access.key_of(request, params.key)
        except Failure as failure:
            response = problem(request, failure)
            if failure.code == "unauthorized":
                response.headers[hdrs.WWW_AUTHENTICATE] = f"Bearer {REALM}"
            return response
        response = _answer(access, key)
        token = access.session_of(key, params.key, LASTS)
        # Strict: the page itself is for everybody, so a link from elsewhere needs no cookie to open it.
        response.set_cookie(SESSION, token, max_age=LASTS, **_kept(request))
        return response

    async def end(request: web.Request) -> web.StreamResponse:
        await body.read(request)
        response = _answer(access, None)
        response.del_cookie(SESSION, **_kept(request))
        return response

    return [
        web.get(f"{BASE}/session", find, allow_head=False),
        web.post(f"{BASE}/session/start", start),
        web.post(f"{BASE}/session/end", end),
    ]


def _kept(request: web.Request) -> dict[str, Any]:
    """The attributes of the cookie: where a browser sends it, and by what."""
    seen = outer(request)
    return {"path": f"{seen.prefix}/", "httponly": True, "samesite": "Strict", "secure": seen.scheme == "https"}


def _answer(access: Access, key: Key | None) -> web.Response:
    needed = access.needed
    scopes = [scope for scope in Scope if not needed or (key is not None and key.allows(scope))]
    record = SessionRecord(keys_needed=needed, name=None if key is None else key.name, scopes=scopes)
    return web.json_response(record.model_dump(mode="json", by_alias=True), headers=FRESH)
