"""Caches that several people share: strangers get nothing out of them, and one request to the gateway is enough."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import hdrs

from gateway.auth.keys import KeyFile, Scope
from gateway.settings import Settings
from gateway.web.access.principal import SESSION
from gateway.web.access.scopes import scope_of
from tests.api.test_access import BASE, Guarded, guard, paths
from tests.deploy.outside import Outside, outside
from tests.peers import proxies
from tests.peers.proxies import Place
from tests.support.processes import until

pytestmark = [pytest.mark.media, pytest.mark.debian]

CHANNEL: Final = {"uri": "vod-live://short.mp4", "localStreamName": "höhe 1", "loop": True}
LIVE: Final = "/live/h%C3%B6he%201"
PLAIN: Final = 8080
TLS: Final = 8443


@asynccontextmanager
async def careless_nginx(place: Place, gateway: str) -> AsyncIterator[Outside]:
    """nginx that keeps whatever it may."""
    text = f"""
        proxy_cache_path {place.folder}/cache keys_zone=all:1m;
        server {{
            listen {place.address}:{PLAIN};
            proxy_cache all;
            proxy_cache_lock on;
            location / {{ proxy_pass http://{gateway}; }}
        }}"""
    async with proxies.nginx(place, text, PLAIN), outside(place, PLAIN, "http") as caller:
        yield caller


@asynccontextmanager
async def guided_nginx(place: Place, gateway: str) -> AsyncIterator[Outside]:
    async with proxies.guided_nginx(place, gateway, TLS), outside(place, TLS) as caller:
        yield caller


@asynccontextmanager
async def careless_varnish(place: Place, gateway: str) -> AsyncIterator[Outside]:
    """Varnish as it is, whatever it may keep."""
    host, _, port = gateway.partition(":")
    text = f'vcl 4.1; backend default {{ .host = "{host}"; .port = "{port}"; }}'
    async with proxies.varnish(place, text, PLAIN), outside(place, PLAIN, "http") as caller:
        yield caller


@asynccontextmanager
async def guided_varnish(place: Place, gateway: str) -> AsyncIterator[Outside]:
    async with proxies.guided_varnish(place, gateway, PLAIN), outside(place, PLAIN, "http") as caller:
        yield caller


CACHES: Final = (careless_nginx, guided_nginx, careless_varnish, guided_varnish)


@asynccontextmanager
async def behind(cache: Any, guarded: Guarded, folder: Path) -> AsyncIterator[Outside]:
    gateway = guarded.gateway.url.removeprefix("http://")
    made: AbstractAsyncContextManager[Outside] = cache(Place.new(folder / cache.__name__), gateway)
    async with made as caller:
        yield caller


async def addresses(guarded: Guarded) -> tuple[list[str], list[str]]:
    """One address of each kind: of watching, and of the rest."""
    made = await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)
    assert made.status == 200
    text = ""
    while "EXT-X-PART:" not in text:
        text = (await guarded.ask("GET", f"{LIVE}/media.m3u8?_HLS_msn=1", "play")).body.decode()
    newest = max(map(int, re.findall(r"segment-(\d+)", text)))
    below = [re.findall(rf'(?:URI="|\n)({kind}-[^"\n]+)', text)[-1] for kind in ("part", "segment", "init")]
    below += ["", "index.m3u8", "media.m3u8", f"media.m3u8?_HLS_msn={newest}", "access"]
    watching = [f"{LIVE}/{each}" for each in below] + [f"{LIVE}.{kind}" for kind in ("jpg", "mp4", "mjpeg")]
    rest = ["/metrics", "/openapi.json", "/docs", "/docs/docs.js", f"{BASE}/events", f"{BASE}/media/short.mp4"]
    rest += [f"{BASE}/{family}/find_all" for family in ("stream", "jobs", "media")]
    return watching, [*rest, f"{BASE}/jobs/{made.headers['Job-Id']}"]


async def session_of(guarded: Guarded, key: str) -> str:
    signed_in = await guarded.ask("POST", f"{BASE}/session/start", body={"key": key})
    cookie = str(signed_in.headers["Set-Cookie"]).partition(";")[0]
    assert cookie.startswith(SESSION)
    return cookie


def with_token(path: str, token: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}token={token}"


@pytest.mark.parametrize("cache", CACHES, ids=lambda cache: cache.__name__)
async def test_a_stranger_behind_the_same_cache_gets_nothing_of_any_kind_of_address(
    settings: Settings, tmp_path: Path, cache: Any
) -> None:
    async with guard(settings) as guarded, behind(cache, guarded, tmp_path) as caller:
        watching, rest = await addresses(guarded)
        _, key = KeyFile(settings.keys_file).make("passing", (Scope.ADMIN,))
        await until(lambda: guarded.gateway.keys.find(key) is not None)
        asked = {"name": CHANNEL["localStreamName"], "expiresIn": 600}
        token = (await guarded.ask("POST", f"{BASE}/stream/play_token", body=asked, Authorization=f"Bearer {key}")).body
        ways: list[tuple[dict[str, str], list[str]]] = [
            ({"Authorization": f"Bearer {key}"}, [*watching, *rest]),
            ({"Cookie": await session_of(guarded, key)}, [*watching, *rest]),
            ({}, [with_token(path, token["token"]) for path in watching]),
        ]
        for headers, those in ways:
            for path in those * 2:  # a second time for the cache
                answer = await caller.get(path, headers)
                assert answer.status in (200, 204), (path, answer)
        strange = [with_token(path, "p2.9999999999.aMO2aGUgMQ..x") for path in watching]
        got = [path for path in [*watching, *rest, *strange] if (await caller.get(path)).status != 401]
        assert got == []
        KeyFile(settings.keys_file).revoke("passing")
        await until(lambda: guarded.gateway.keys.find(key) is None)
        for headers, those in ways:
            got = [path for path in those if (await caller.get(path, headers)).status not in (401, 429)]
            assert got == []


async def test_where_keys_are_needed_no_answer_is_for_a_cache_that_is_shared(settings: Settings) -> None:
    async with guard(settings) as guarded:
        watching, rest = await addresses(guarded)
        routes = [(route, path) for method, route, path in paths(guarded.gateway) if method == "GET"]
        private = [path for route, path in routes if scope_of("GET", route) is not None]
        headers = {"Authorization": f"Bearer {guarded.texts['admin']}"}
        unsaid, seen = [], 0
        for path in [*watching, *rest, *private]:
            for more in ({}, {"Connection": "close"}):  # the second goes by aiohttp's own way of answering
                async with guarded.session.get(guarded.gateway.url + path, headers={**headers, **more}) as answer:
                    said = answer.headers.get(hdrs.CACHE_CONTROL, "")
                    seen += 1
                    if "private" not in said and "no-store" not in said:
                        unsaid.append((path, answer.status, said))
        assert unsaid == []
        assert seen > 50
