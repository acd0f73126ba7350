"""A proxy that is trusted speaks for its callers; of anybody else no such word counts, in anything."""

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any, Final

import pytest

from gateway.settings import Settings
from gateway.web.access.access import TRIES
from tests.api.test_access import BASE, Guarded, guard
from tests.support.api import Answer

pytestmark = pytest.mark.media

FIND: Final = f"{BASE}/stream/find_all"
CHANNEL: Final = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}
OTHERS: Final = (ip_network("192.0.2.0/24"),)  # not those that the tests come from


def of(address: str, **more: str) -> dict[str, str]:
    """What a proxy says that asks for somebody at that address."""
    names = {"proto": "X-Forwarded-Proto", "host": "X-Forwarded-Host", "prefix": "X-Forwarded-Prefix"}
    return {"X-Forwarded-For": address} | {names[name]: value for name, value in more.items()}


@asynccontextmanager
async def behind(settings: Settings, *, trusted: bool, **changes: Any) -> AsyncIterator[Guarded]:
    """A gateway whose callers all come from one proxy, which it trusts or not."""
    proxies = None if trusted else OTHERS
    async with guard(settings.model_copy(update={"trusted_proxies": proxies, **changes})) as guarded:
        yield guarded


both = pytest.mark.parametrize("trusted", [True, False])


@both
async def test_the_rate_of_calls_is_that_of_each_caller_behind_a_trusted_proxy(
    settings: Settings, trusted: bool
) -> None:
    async with behind(settings, trusted=trusted, rate_limit=0.01) as guarded:
        path = f"{BASE}/session"
        statuses = [(await guarded.ask("GET", path, **of(f"203.0.113.{each}"))).status for each in range(5)]
        assert statuses == ([200] * 5 if trusted else [200] + [429] * 4)


@both
async def test_wrong_keys_are_counted_for_each_caller_behind_a_trusted_proxy(settings: Settings, trusted: bool) -> None:
    async with behind(settings, trusted=trusted) as guarded:
        wrong = {"Authorization": "Bearer rg_wrong_key"}
        for _ in range(TRIES):
            assert (await guarded.ask("GET", FIND, **wrong, **of("203.0.113.1"))).status == 401
        assert (await guarded.ask("GET", FIND, **wrong, **of("203.0.113.1"))).status == 429
        assert (await guarded.ask("GET", FIND, **wrong, **of("203.0.113.2"))).status == (401 if trusted else 429)


@both
async def test_equal_players_are_viewers_of_their_own_behind_a_trusted_proxy_and_up_to_the_cap(
    settings: Settings, trusted: bool
) -> None:
    async with behind(settings, trusted=trusted, max_viewers_per_stream=3) as guarded:
        assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)).status == 200
        statuses = [
            (await guarded.ask("GET", "/live/c/index.m3u8", "play", **of(f"203.0.113.{each}"))).status
            for each in range(4)
        ]
        assert statuses == ([200] * 3 + [503] if trusted else [200] * 4)
        (stream,) = (await guarded.ask("GET", FIND, "read")).body
        assert stream["viewers"] == (3 if trusted else 1)


@both
async def test_a_pages_own_site_is_the_one_that_the_browser_asked_a_trusted_proxy_for(
    settings: Settings, trusted: bool
) -> None:
    async with behind(settings, trusted=trusted) as guarded:
        told = {"Origin": "https://cams.example:8443", **of("203.0.113.1", host="cams.example:8443")}
        answer = await guarded.ask("POST", FIND, "read", {}, **told)
        assert answer.status == (200 if trusted else 403)
        told["X-Forwarded-Host"] = "other.example"
        assert (await guarded.ask("POST", FIND, "read", {}, **told)).status == 403


@both
async def test_a_host_without_its_port_is_compared_without_it_where_a_trusted_proxy_passes_it_on(
    settings: Settings, trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with behind(settings, trusted=trusted) as guarded:
        for origin, host, status in (
            ("http://cams.lan:8090", "cams.lan", 200 if trusted else 403),
            ("http://cams.lan:8090", "cams.lan:8090", 200),
            ("http://CAMS.lan", "cams.lan", 403),  # no browser writes it so
            ("http://cams.lan", "CAMS.lan", 200),
            ("http://cams.lan:8090", "cams.lan:8081", 403),
            ("http://cams.lan", "cams.lan:8081", 403),
            ("http://other.lan:8090", "cams.lan", 403),
            ("http://[fd00::1]:8090", "[fd00::1]", 200 if trusted else 403),
            ("null", "cams.lan", 403),
        ):
            caplog.clear()
            answer = await guarded.ask("POST", "/live/c/access", "play", Origin=origin, Host=host)
            assert answer.status == (204 if status == 200 else 403), (origin, host)
            if status == 403 and origin != "null":
                assert origin in answer.body["detail"]
                assert host in answer.body["detail"]
                assert "$http_host" in answer.body["detail"]
                assert [record.message for record in caplog.records] == ["page-of-another-site"]
        cross = {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}
        answer = await guarded.ask("POST", "/live/c/access", "play", **cross)
        assert answer.body["detail"] == "Pages of other sites may not call this gateway; cors_origins can allow it."


@both
async def test_cookies_are_for_tls_alone_where_a_trusted_proxy_was_asked_by_it(
    settings: Settings, trusted: bool
) -> None:
    async with behind(settings, trusted=trusted) as guarded:
        for proto in ("https", "http"):
            secure = trusted and proto == "https"
            told = of("203.0.113.1", proto=proto)
            body = {"key": guarded.texts["play"]}
            for path in ("/session/start", "/session/end"):
                session = await guarded.ask("POST", f"{BASE}{path}", body=body, **told)
                assert ("; Secure" in session.headers["Set-Cookie"]) == secure
            page = await guarded.ask("GET", "/live/c/", "play", **told)
            assert ("SameSite=None; Secure" in page.headers["Set-Cookie"]) == secure


@both
async def test_the_public_address_tells_a_prefix_that_no_proxy_does(settings: Settings, trusted: bool) -> None:
    public = "https://portal.example/cams/"
    async with behind(settings, trusted=trusted, public_url=public, hsts_seconds=60) as guarded:
        prefix = "/cams" if trusted else ""
        made = await guarded.ask(
            "POST", f"{BASE}/watermark/startup", "control", {"watermark": "logo.png"}, Prefer="respond-async, wait=0"
        )
        record = f"{prefix}{BASE}/jobs/{made.headers['Job-Id']}"
        assert made.headers["Link"] == f'<{record}>; rel="monitor"'
        listed = (await guarded.ask("GET", f"{BASE}/jobs/find_all", "control")).body
        assert [each["links"]["self"] for each in listed] == [record]
        session = await guarded.ask("POST", f"{BASE}/session/start", body={"key": guarded.texts["read"]})
        assert f"Path={prefix}/;" in session.headers["Set-Cookie"]
        assert ("Secure" in session.headers["Set-Cookie"]) == trusted
        assert session.headers.get("Strict-Transport-Security") == ("max-age=60" if trusted else None)
        own = {"Origin": "https://portal.example"}
        assert (await guarded.ask("POST", FIND, "read", {}, **own)).status == (200 if trusted else 403)


@pytest.mark.parametrize("url", ["portal.example", "https://a.example/b?c", "ftp://a.example", "https://a.example//b"])
def test_a_public_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Settings(public_url=url)
    assert Settings(public_url="https://a.example/b/").public_url


VALUES: Final = {
    "X-Forwarded-For": ("127.0.0.1", "203.0.113.9, ::1"),
    "X-Forwarded-Proto": ("https",),
    "X-Forwarded-Host": ("evil.example",),
    "X-Forwarded-Prefix": ("/evil",),
    "Forwarded": ("for=127.0.0.1;proto=https;host=evil.example",),
}


def combinations() -> list[dict[str, str]]:
    """Every way to send some of these headers."""
    choices = [[None, *values] for values in VALUES.values()]
    found = itertools.product(*choices)
    return [{name: value for name, value in zip(VALUES, one, strict=True) if value} for one in found]


def constant(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
    """What is the same in two answers to the same request."""
    changing = r'rg_\w+|p2\.[\w.-]+|[0-9a-f]{32}|[0-9-]+T[0-9:.]+Z|"(elapsedMs|revision|ms|position)":\s*[0-9.]+'
    headers = [(name, re.sub(changing, "*", value)) for name, value in answer.headers.items() if name != "Date"]
    text = answer.body.decode() if isinstance(answer.body, bytes) else repr(answer.body)
    return answer.status, headers, re.sub(changing, "*", text)


async def test_spoofed_headers_of_a_peer_that_is_not_trusted_change_no_answer(settings: Settings) -> None:
    async with behind(settings, trusted=False) as guarded:
        key = guarded.texts["admin"]
        calls: list[tuple[str, str, str | None, Any, dict[str, str]]] = [
            ("POST", f"{BASE}/session/start", None, {"key": key}, {}),
            ("POST", f"{BASE}/stream/play_token", "play", {"name": "c"}, {}),
            ("POST", f"{BASE}/watermark/startup", "control", {"watermark": "logo.png"}, {}),
            ("POST", FIND, "read", {}, {"Origin": "https://evil.example"}),
            ("GET", "/live/c/", "play", None, {}),
            ("GET", "/live/c", "play", None, {}),
            ("GET", "/openapi.json", "read", None, {}),
            ("GET", "/", None, None, {}),
            ("GET", f"{BASE}/jobs/{'0' * 32}", "read", None, {}),
        ]
        plain = [constant(await guarded.ask(how, path, who, body, **more)) for how, path, who, body, more in calls]
        assert [status for status, _, _ in plain] == [200, 200, 200, 403, 404, 308, 200, 200, 404]
        assert len(combinations()) == 48
        for spoofed in combinations():
            for (how, path, who, body, more), before in zip(calls, plain, strict=True):
                answer = await guarded.ask(how, path, who, body, **more, **spoofed)
                assert constant(answer) == before, (path, spoofed)


async def test_who_listens_wider_than_loopback_trusts_nobody_unless_told(settings: Settings) -> None:
    wide = settings.model_copy(update={"http_host": "0.0.0.0"})
    assert wide.proxies == ()
    assert wide.model_copy(update={"trusted_proxies": OTHERS}).proxies == OTHERS
    assert [str(each) for each in settings.proxies] == ["127.0.0.0/8", "::1/128"]
    assert settings.model_copy(update={"trusted_proxies": ()}).proxies == ()
