"""Signing in from a browser: a cookie stands for the key, says nothing of it, and ends with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.auth.keys import KeyFile, Scope
from gateway.settings import Settings

BASE = "/rest-api/v3"
ALL = ["read", "control", "admin", "play"]


@pytest.fixture
def guarded(tmp_path: Path) -> Settings:
    return Settings(http_port=0, media_dir=tmp_path / "media", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


class Browser:
    """Calls with a jar of cookies."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        async with self.session.request(method, self.gateway.url + BASE + path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def browser(guarded: Settings) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)  # 127.0.0.1 is no name
    async with Gateway(guarded) as gateway, aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(gateway, session)


async def test_without_keys_everybody_has_every_scope_and_needs_no_cookie(browser: Browser) -> None:
    assert await browser.call("GET", "/session") == (200, {"keysNeeded": False, "name": None, "scopes": ALL})
    assert (await browser.call("POST", "/session/start", {"key": "any"}))[0] == 200
    assert len(browser.session.cookie_jar) == 0


async def test_a_cookie_stands_for_the_key_until_it_signs_out_or_the_key_is_revoked(
    browser: Browser, guarded: Settings
) -> None:
    file = KeyFile(guarded.keys_file)
    _, text = file.make("desk", (Scope.CONTROL,))
    browser.gateway.reload()
    stranger: tuple[int, object] = (200, {"keysNeeded": True, "name": None, "scopes": []})
    assert await browser.call("GET", "/session") == stranger
    assert (await browser.call("GET", "/stream/find_all"))[0] == 401

    desk = {"keysNeeded": True, "name": "desk", "scopes": ["read", "control", "play"]}
    assert await browser.call("POST", "/session/start", {"key": text}) == (200, desk)
    assert await browser.call("GET", "/session") == (200, desk)
    assert (await browser.call("GET", "/stream/find_all"))[0] == 200
    cookie = next(iter(browser.session.cookie_jar))
    assert text not in cookie.value
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")

    await browser.call("POST", "/session/end")
    assert await browser.call("GET", "/session") == stranger
    await browser.call("POST", "/session/start", {"key": text})
    file.revoke("desk")
    browser.gateway.reload()
    assert await browser.call("GET", "/session") == stranger
    assert (await browser.call("GET", "/stream/find_all"))[0] == 401


async def test_a_wrong_key_and_a_play_token_sign_nobody_in(browser: Browser, guarded: Settings) -> None:
    key, _ = KeyFile(guarded.keys_file).make("desk", (Scope.CONTROL,))
    browser.gateway.reload()
    assert (await browser.call("POST", "/session/start", {"key": "rg_wrong"}))[0] == 401
    forged = browser.gateway.access.tokens.sign(key.id, 2_000_000_000)
    browser.session.cookie_jar.update_cookies({"reelgate_session": forged})
    assert (await browser.call("GET", "/stream/find_all"))[0] == 401
