"""Who gets in: a stranger sees nothing, each scope opens what it should and no more, and jobs are their owner's."""

import asyncio
import base64
import hmac
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from gateway.app import Gateway
from gateway.auth import keys_command
from gateway.auth.keys import IMPLIED, LOOK_AGAIN, KeyFile, Keys, KeysError, Scope
from gateway.auth.play_tokens import PlayTokens, Ticket
from gateway.settings import Settings
from gateway.web.access.access import TRIES, WINDOW, Tries
from gateway.web.access.principal import SESSION
from gateway.web.access.scopes import PUBLIC, STAT, scope_of
from gateway.web.dashboard_page import ASSET, PAGES
from tests.api.test_bad_input import check_problem
from tests.support.api import Answer

ROOT = Path(__file__).parents[2]
BASE = "/rest-api/v3"


class Guarded:
    """A gateway with keys on: one key for each scope, and a second one for `control`."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession, texts: dict[str, str]) -> None:
        self.gateway = gateway
        self.session = session
        self.texts = texts

    async def ask(self, method: str, path: str, who: str | None = None, body: Any = None, **headers: str) -> Answer:
        """A request with the key of that name, or none."""
        if who is not None:
            headers["Authorization"] = f"Bearer {self.texts[who]}"
        url = self.gateway.url + path
        async with self.session.request(method, url, json=body, headers=headers, allow_redirects=False) as response:
            json_like = "json" in response.content_type
            content = await (response.json() if json_like else response.read())
            return Answer(response.status, response.headers, content)

    async def status(self, method: str, path: str, who: str) -> int:
        """How a request is answered, without waiting for the end of an answer that has none."""
        headers = {"Authorization": f"Bearer {self.texts[who]}"}
        async with self.session.request(
            method, self.gateway.url + path, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status


@asynccontextmanager
async def guard(settings: Settings) -> AsyncIterator[Guarded]:
    file = KeyFile(settings.keys_file)
    texts = {str(scope): file.make(str(scope), (scope,))[1] for scope in Scope}
    texts["other"] = file.make("other", (Scope.CONTROL,))[1]
    async with Gateway(settings) as gateway, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Guarded(gateway, session, texts)


@pytest.fixture
async def guarded(settings: Settings) -> AsyncIterator[Guarded]:
    async with guard(settings) as found:
        yield found


def paths(gateway: Gateway) -> list[tuple[str, str, str]]:
    """Method, route and a path that it has, of every route."""
    found = []
    for route in gateway.application.router.routes():
        assert route.resource is not None
        canonical = route.resource.canonical
        path = canonical.replace("{id}", "0" * 32).replace("{msn}", "1").replace("{number}", "1").replace("{file}", "x")
        found.append((route.method, canonical, path.replace("{name}", "nobody")))
    return found


async def test_a_stranger_gets_nothing_but_health_and_the_static_page(guarded: Guarded) -> None:
    opened = set()
    for method, route, path in paths(guarded.gateway):
        answer = await guarded.ask(method, path)
        if answer.status == 401:
            assert answer.headers.getall("WWW-Authenticate")[0].startswith("Bearer")
        else:
            opened.add(route)
    assert opened == PUBLIC
    sessions = {f"{BASE}/session", f"{BASE}/session/start", f"{BASE}/session/end"}
    assert {"/livez", "/readyz", "/assets/{file}", "/favicon.ico", ASSET, *PAGES, *sessions} == PUBLIC
    for path in ("/no/such/thing", f"{BASE}/no/such/method", "/metrics", "/openapi.json", "/docs", "/live/x/mse", STAT):
        check_problem(await guarded.ask("GET", path), 401, "unauthorized")
    assert "key is needed" in (await guarded.ask("GET", f"{BASE}/stream/find_all")).body["detail"]


async def test_the_table_of_scopes_holds_cell_by_cell(guarded: Guarded) -> None:
    cells = 0
    for method, route, path in paths(guarded.gateway):
        needed = scope_of(method, route)
        for scope in Scope:
            allowed = needed is None or needed in IMPLIED[scope]
            status = await guarded.status(method, path, scope)
            assert (status != 403) == allowed, (method, route, scope, status)
            assert status != 401
            cells += 1
    assert cells > 4 * 40


@pytest.mark.parametrize(
    ("method", "route", "scope"),
    [
        ("GET", "/livez", None),
        ("GET", "/metrics", Scope.READ),
        ("GET", "/docs", Scope.READ),
        ("GET", f"{BASE}/events", Scope.READ),
        ("POST", f"{BASE}/stream/find_all", Scope.READ),
        ("POST", "/rest-api/stream/find", Scope.READ),
        ("GET", f"{BASE}/jobs/{{id}}", Scope.READ),
        ("DELETE", f"{BASE}/jobs/{{id}}", Scope.CONTROL),
        ("POST", f"{BASE}/jobs/terminate", Scope.CONTROL),
        ("POST", f"{BASE}/rtsp/startup", Scope.CONTROL),
        ("POST", "/rest-api/vod/terminate", Scope.CONTROL),
        ("POST", "/rest-api/rtsp/startup", Scope.CONTROL),
        ("GET", "/rest-api/stream/find_all", Scope.READ),
        ("POST", "/rest-api/{absent}", Scope.READ),
        ("GET", STAT, Scope.READ),
        ("GET", f"{BASE}/media/{{name}}", Scope.READ),
        ("PUT", f"{BASE}/media/{{name}}", Scope.CONTROL),
        ("DELETE", f"{BASE}/media/{{name}}", Scope.CONTROL),
        ("POST", f"{BASE}/stream/play_token", Scope.PLAY),
        ("GET", "/live/{name}/mse", Scope.PLAY),
        ("POST", f"{BASE}/of/tomorrow", Scope.CONTROL),
    ],
)
def test_a_route_needs_its_scope(method: str, route: str, scope: Scope | None) -> None:
    assert scope_of(method, route) == scope


async def test_a_key_comes_as_bearer_or_as_basic_and_in_no_other_way(guarded: Guarded) -> None:
    key, path = guarded.texts["read"], f"{BASE}/jobs/find_all"

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    for good in (f"Bearer {key}", f"bearer  {key}", basic(f"wcs:{key}"), basic(f"{key}:"), basic(f"{key}")):
        assert (await guarded.ask("GET", path, Authorization=good)).status == 200, good
    for bad in ("", key, f"Token {key}", f"Bearer {key[:-1]}", f"Bearer {key}x", "Basic !", basic(":"), basic("wcs:x")):
        check_problem(await guarded.ask("GET", path, Authorization=bad), 401, "unauthorized")
    check_problem(await guarded.ask("GET", f"{path}?key={key}"), 401, "unauthorized")


async def test_a_browser_asks_its_user_where_a_page_is_opened_and_not_for_scripts(guarded: Guarded) -> None:
    page = await guarded.ask("GET", "/docs", **{"Sec-Fetch-Mode": "navigate"})
    assert any(each.startswith("Basic") for each in page.headers.getall("WWW-Authenticate"))
    script = await guarded.ask("GET", f"{BASE}/stream/find_all", **{"Sec-Fetch-Mode": "cors"})
    assert not any(each.startswith("Basic") for each in script.headers.getall("WWW-Authenticate"))


@pytest.mark.parametrize("origins", [("https://portal.example",), ("*",)])
async def test_a_page_of_a_site_that_is_let_in_brings_its_own_key_and_cannot_use_its_visitors(
    settings: Settings, origins: tuple[str, ...]
) -> None:
    async with guard(settings.model_copy(update={"cors_origins": origins})) as guarded:
        key = guarded.texts["control"]
        basic = {"Authorization": aiohttp.encode_basic_auth("visitor", key)}
        signed_in = await guarded.ask("POST", f"{BASE}/session/start", body={"key": key})
        cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
        assert cookie["Cookie"].startswith(f"{SESSION}=")
        path, portal = f"{BASE}/stream/find_all", {"Origin": "https://portal.example", "Sec-Fetch-Site": "cross-site"}
        for own in (basic, cookie):
            assert (await guarded.ask("POST", path, body={}, **own)).status == 200
            check_problem(await guarded.ask("POST", path, body={}, **portal, **own), 401, "unauthorized")
        wrong = {**cookie, "Authorization": "Bearer rg_wrong_key"}
        check_problem(await guarded.ask("POST", path, body={}, **portal, **wrong), 401, "unauthorized")
        assert (await guarded.ask("POST", path, "control", {}, **portal)).status == 200
        assert (await guarded.ask("GET", path, **portal, **basic)).status == 200  # the browser shows it to no script


async def test_a_job_is_its_owners_and_an_admins(guarded: Guarded) -> None:
    made = await guarded.ask("POST", f"{BASE}/watermark/startup", "control", {"watermark": "logo.png"})
    job = made.headers["Job-Id"]
    for who, status in (("control", 200), ("admin", 200), ("other", 404), ("read", 404)):
        seen = await guarded.ask("GET", f"{BASE}/jobs/{job}", who)
        assert seen.status == status, who
        assert (await guarded.ask("GET", f"{BASE}/jobs/{job}/result", who)).status == status
        assert (await guarded.ask("POST", f"{BASE}/jobs/find", who, {"id": job})).status == status
        own = [job] if status == 200 else []
        for body in ({"ids": [job]}, {}, {"state": "DONE"}):
            found = (await guarded.ask("POST", f"{BASE}/jobs/find", who, body)).body
            assert [each["id"] for each in found] == own, (who, body)
        assert [each["id"] for each in (await guarded.ask("GET", f"{BASE}/jobs/find_all", who)).body] == own
    for who, code in (("other", "job-unknown"), ("admin", "job-already-finished")):
        answer = await guarded.ask("POST", f"{BASE}/jobs/terminate", who, {"id": job})
        assert answer.body["code"] == code
    check_problem(await guarded.ask("DELETE", f"{BASE}/jobs/{job}", "other"), 404, "job-unknown")
    assert (await guarded.ask("DELETE", f"{BASE}/jobs/{job}", "control")).status == 204


async def test_the_same_idempotency_key_of_two_callers_is_two(guarded: Guarded) -> None:
    body, words = {"watermark": "logo.png"}, {"Idempotency-Key": '"mine"'}
    jobs = [
        (await guarded.ask("POST", f"{BASE}/watermark/startup", who, body, **words)).headers["Job-Id"]
        for who in ("control", "other", "control")
    ]
    assert jobs[0] == jobs[2] != jobs[1]


async def test_the_events_of_another_callers_job_are_not_told(guarded: Guarded) -> None:
    seen: dict[str, str] = {}
    for who in ("control", "other"):
        made = await guarded.ask("POST", f"{BASE}/watermark/startup", who, {"watermark": "logo.png"})
        seen[who] = made.headers["Job-Id"]
    headers = {"Authorization": f"Bearer {guarded.texts['other']}", "Last-Event-ID": "0"}
    told = b""
    async with (
        asyncio.timeout(60),
        guarded.session.get(f"{guarded.gateway.url}{BASE}/events", headers=headers) as events,
    ):
        while b'"state":"DONE"' not in told:
            told += await events.content.readline()
    assert seen["other"].encode() in told
    assert seen["control"].encode() not in told


async def test_the_events_end_when_their_key_is_revoked(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.observe.events.PING", 0.05)
    headers = {"Authorization": f"Bearer {guarded.texts['other']}"}
    async with (
        asyncio.timeout(60),
        guarded.session.get(f"{guarded.gateway.url}{BASE}/events", headers=headers) as events,
    ):
        await events.content.readuntil(b": still here")
        KeyFile(guarded.gateway.settings.keys_file).revoke("other")
        await events.read()  # to the end


async def test_a_play_token_opens_one_stream_for_a_while(guarded: Guarded) -> None:
    for name in ("one", "two"):
        body = {"uri": "vod-live://sample.mp4", "localStreamName": name, "loop": True}
        assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", body)).status == 200
    made = await guarded.ask("POST", f"{BASE}/stream/play_token", "play", {"name": "one", "expiresIn": 60})
    token, hls = made.body["token"], made.body["playback"]["hls"]
    opened = await guarded.ask("GET", hls)
    assert opened.status == 200
    for path in (
        f"/live/two/index.m3u8?token={token}",
        f"{BASE}/stream/find_all?token={token}",
        "/live/one/index.m3u8",
    ):
        check_problem(await guarded.ask("GET", path), 401, "unauthorized")
    forged = token[:-2] + ("AA" if token[-2] != "A" else "BA")  # not the last one alone: all of it need not count
    check_problem(await guarded.ask("GET", f"/live/one/index.m3u8?token={forged}"), 401, "unauthorized")
    late = guarded.gateway.access.tokens.sign("one", 1)
    check_problem(await guarded.ask("GET", f"/live/one/index.m3u8?token={late}"), 401, "unauthorized")
    check_problem(await guarded.ask("POST", f"{BASE}/stream/play_token", "read", {"name": "one"}), 403, "forbidden")


def addresses(playlist: bytes) -> list[str]:
    """Every address in a playlist, found in another way than the gateway writes them."""
    found = []
    for line in playlist.decode().splitlines():
        found += [line] if line and not line.startswith("#") else line.split('URI="')[1:]
    return [each.partition('"')[0] for each in found]


async def test_a_playlist_that_is_asked_for_with_a_token_carries_it_in_every_address_and_is_nobody_elses(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    body = {"uri": "vod-live://short.mp4", "localStreamName": "a b", "loop": True}
    assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", body)).status == 200
    made = [
        await guarded.ask("POST", f"{BASE}/stream/play_token", "play", {"name": "a b", "expiresIn": 60 + viewer})
        for viewer in range(2)
    ]
    tokens, reloads = [each.body["token"] for each in made], set()
    for token in tokens:
        index = await guarded.ask("GET", f"/live/a%20b/index.m3u8?token={token}")
        (media,) = addresses(index.body)
        reload = await guarded.ask("GET", f"/live/a%20b/{media}&_HLS_msn=1")
        found = addresses(reload.body)
        assert {each.partition("-")[0] for each in found} == {"init", "segment", "part"}
        for each in found:  # the hint too: it is there soon
            answer = await guarded.ask("GET", f"/live/a%20b/{each}")
            assert (answer.status, "Set-Cookie" in answer.headers) == (200, False), each
        for playlist in (index, reload, await guarded.ask("GET", f"/live/a%20b/{media}")):
            assert playlist.headers["Cache-Control"] == "private, no-store"
            assert "Set-Cookie" not in playlist.headers
            assert playlist.headers["Referrer-Policy"] == "no-referrer"
            assert all(each.endswith(f"token={token}") for each in addresses(playlist.body))
        reloads.add(reload.body)
    assert len(reloads) == 2
    for headers in ({"Authorization": f"Bearer {guarded.texts['play']}"}, {"Cookie": f"reelgate_play={tokens[0]}"}):
        for path in ("index.m3u8", "media.m3u8", "media.m3u8?_HLS_msn=1"):
            shared = await guarded.ask("GET", f"/live/a%20b/{path}", **headers)
            assert (shared.status, b"token" in shared.body) == (200, False)
    assert caplog.records
    assert not [record for record in caplog.records if any(token in str(vars(record)) for token in tokens)]


async def test_a_login_of_a_proxy_in_front_neither_hides_a_session_nor_counts_as_a_wrong_key(guarded: Guarded) -> None:
    proxys = {"Authorization": aiohttp.encode_basic_auth("visitor", "of the proxy")}
    for _ in range(TRIES + 5):
        answer = await guarded.ask("GET", f"{BASE}/session", **proxys)
        assert (answer.body["keysNeeded"], answer.body["name"]) == (True, None)
        assert (await guarded.ask("GET", f"{BASE}/stream/find_all", **proxys)).status == 401
    signed_in = await guarded.ask("POST", f"{BASE}/session/start", body={"key": guarded.texts["read"]}, **proxys)
    assert signed_in.body["name"] == "read"
    cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
    assert (await guarded.ask("GET", f"{BASE}/session", **proxys, **cookie)).body["name"] == "read"
    assert (await guarded.ask("POST", f"{BASE}/stream/find_all", None, {}, **proxys, **cookie)).status == 200
    # A key that is sent along counts before the session, and a wrong one does not hide it.
    assert (await guarded.ask("GET", f"{BASE}/session", "admin", **cookie)).body["name"] == "admin"
    wrong = {"Authorization": "Bearer rg_wrong_key"}
    assert (await guarded.ask("GET", f"{BASE}/session", **wrong, **cookie)).body["name"] == "read"


async def test_a_proxy_may_ask_whether_a_request_is_let_in(guarded: Guarded) -> None:
    """By key, session, token or the cookie of a page; of a stream that is there or not, without a word of which."""
    key, path = guarded.texts["play"], "/live/one/access"
    tokens = guarded.gateway.access.tokens
    token, late = tokens.sign("one", 2**40), tokens.sign("one", 1)
    signed_in = await guarded.ask("POST", f"{BASE}/session/start", body={"key": key})
    cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
    for good in ({"Authorization": f"Bearer {key}"}, {"Cookie": cookie}, {"Cookie": f"reelgate_play={token}"}):
        answer = await guarded.ask("GET", path, **good)
        assert (answer.status, answer.body, answer.headers["Cache-Control"]) == (204, b"", "no-store")
    assert (await guarded.ask("GET", f"{path}?token={token}&s=x")).status == 204
    for bad in (path, f"{path}?token={late}", f"/live/two/access?token={token}", f"{path}?token="):
        check_problem(await guarded.ask("GET", bad), 401, "unauthorized")
    assert (await guarded.ask("GET", path, "read")).status == 403


async def test_a_player_page_that_is_opened_with_a_key_may_fetch_its_stream_for_an_hour(guarded: Guarded) -> None:
    body = {"uri": "vod-live://sample.mp4", "localStreamName": "one", "loop": True}
    assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", body)).status == 200
    opened = await guarded.ask("GET", "/live/one/", "play")
    cookie = opened.headers["Set-Cookie"]
    assert "Path=/live/one/" in cookie
    kept = cookie.partition(";")[0]
    assert (await guarded.ask("GET", "/live/one/media.m3u8", Cookie=kept)).status == 200
    assert (await guarded.ask("GET", "/live/two/media.m3u8", Cookie=kept)).status == 401
    now, tokens = guarded.gateway.access.wall(), guarded.gateway.access.tokens
    ticket = tokens.check(kept.partition("=")[2], now + 3500)
    assert ticket is not None
    assert (ticket.name, ticket.key) == ("one", guarded.texts["play"].split("_")[1])
    assert tokens.check(kept.partition("=")[2], now + 3601) is None
    assert "Set-Cookie" not in (await guarded.ask("GET", "/live/one/media.m3u8", "play")).headers
    assert "Set-Cookie" not in (await guarded.ask("GET", "/live/one/")).headers


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "p1.9999999999.b25l.",
        "p1.x.y.z",
        "p2.9999999999.b25l.k.",
        "p2.x.y.z.",
        "\ud800.a",
        "é.é",
        "a" * 5000,
    ],
)
def test_a_token_that_is_none_opens_nothing(token: str) -> None:
    assert PlayTokens(b"secret").check(token, 0.0) is None


def test_a_token_is_for_its_name_and_its_time_and_its_secret(tmp_path: Path) -> None:
    tokens = PlayTokens.kept_in(tmp_path / "play.secret")
    token = tokens.sign("Lobby ü/", 1000)
    assert tokens.check(token, 999.9) == Ticket("Lobby ü/", 1000)
    assert tokens.check(token, 1000.0) is None
    assert PlayTokens.kept_in(tmp_path / "play.secret").check(token, 0.0) == Ticket("Lobby ü/", 1000)
    assert PlayTokens(bytes(32)).check(token, 0.0) is None
    assert (tmp_path / "play.secret").stat().st_mode & 0o777 == 0o600
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert tokens.check(changed, 0.0) is None or changed[:-1] == token[:-1], at


# Keys.


def test_a_key_is_kept_as_a_hash_in_a_file_of_its_owners(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, text = file.make("portal", (Scope.READ,))
    kept = (tmp_path / "keys.json").read_text()
    start = f"rg_{key.id}_"
    assert text.startswith(start)
    secret = text.removeprefix(start)
    assert len(secret) == 43  # 32 bytes in base64url, which has "_" among its letters
    assert secret not in kept
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert Keys(tmp_path / "keys.json").find(text) == key
    with pytest.raises(KeysError, match="already"):
        file.make("portal", (Scope.READ,))


def test_what_is_secret_is_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    plain = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((one, other))
        return plain(one, other)

    monkeypatch.setattr("gateway.auth.keys.hmac.compare_digest", noted)
    _, text = KeyFile(tmp_path / "keys.json").make("portal", (Scope.READ,))
    keys = Keys(tmp_path / "keys.json")
    assert keys.find(text) is not None
    assert keys.find(text + "x") is None
    assert keys.find("rg_unknown_x") is None
    assert [len(a) == len(b) == 64 for a, b in compared] == [True] * 3


def test_a_change_of_the_keys_is_noticed_within_a_second_and_an_expired_key_is_none(tmp_path: Path) -> None:
    now, day = [0.0], [1_000_000.0]
    file = KeyFile(tmp_path / "keys.json", lambda: day[0])
    keys = Keys(tmp_path / "keys.json", lambda: now[0], lambda: day[0])
    needed = [keys.needed]
    key, text = file.make("portal", (Scope.READ,), seconds=60)
    now[0] += LOOK_AGAIN
    needed.append(keys.needed)
    assert keys.find(text) == key
    day[0] += 60
    assert keys.find(text) is None
    day[0] -= 60
    file.revoke("portal")
    assert keys.find(text) is not None
    now[0] += LOOK_AGAIN
    assert keys.find(text) is None
    (tmp_path / "keys.json").unlink()
    now[0] += LOOK_AGAIN
    assert [*needed, keys.needed] == [False, True, True]


def test_as_long_as_no_thread_can_be_had_the_keys_that_were_read_last_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    file = KeyFile(tmp_path / "keys.json")
    keys = Keys(tmp_path / "keys.json", lambda: now[0])
    key, text = file.make("portal", (Scope.READ,))
    assert keys.find(text) == key
    file.revoke("portal")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more)
        now[0] += LOOK_AGAIN
        assert (keys.find(text), keys.needed) == (key, True)
    now[0] += LOOK_AGAIN
    assert keys.find(text) is None


def _no_more(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"id": 1}]}']
)
def test_a_file_of_keys_that_is_none_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    keys = Keys(tmp_path / "keys.json")
    assert keys.needed
    assert not len(keys)
    assert keys.trouble


def test_an_address_that_tries_wrong_keys_is_held_up_and_others_are_not() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(TRIES):
        assert not tries.wait("1.1.1.1")
        tries.wrong("1.1.1.1")
    assert tries.wait("1.1.1.1") == WINDOW
    assert not tries.wait("2.2.2.2")
    now[0] += WINDOW
    assert not tries.wait("1.1.1.1")


async def test_brute_force_is_told_to_wait_and_holds_up_nobody_else_behind_the_same_address(guarded: Guarded) -> None:
    path = f"{BASE}/jobs/find_all"
    answers = [await guarded.ask("GET", path, Authorization=f"Bearer rg_{n}_x") for n in range(TRIES + 5)]
    assert [answer.status for answer in answers] == [401] * TRIES + [429] * 5
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= WINDOW + 1
    check_problem(answers[-1], 429, "rate-limited")
    assert (await guarded.ask("GET", path, "read")).status == 200


async def test_each_key_has_a_rate_of_its_own(settings: Settings) -> None:
    async with guard(settings.model_copy(update={"rate_limit": 1.0})) as guarded:
        statuses = {
            who: [(await guarded.ask("GET", f"{BASE}/jobs/find_all", who)).status for _ in range(4)]
            for who in ("read", "other")
        }
    for each in statuses.values():
        assert each[0] == 200
        assert 429 in each


# The command line.


async def command(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_keys_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    where = {"DATA_DIR": str(tmp_path)}
    status, text, said = await command("keys", "make", "portal", "--scope", "read", "--scope", "play", **where)
    assert status == 0
    assert "not shown again" in said
    key = Keys(tmp_path / "keys.json").find(text.strip())
    assert key is not None
    assert key.scopes == (Scope.READ, Scope.PLAY)
    listed = (await command("keys", "list", **where))[1]
    assert f"{key.id}  portal  read,play" in listed
    assert text.strip() not in listed
    assert (await command("keys", "make", "portal", "--scope", "read", **where))[0] == 2
    assert (await command("keys", "revoke", key.id, **where))[0] == 0
    assert (await command("keys", "revoke", key.id, **where))[0] == 2
    assert Keys(tmp_path / "keys.json").find(text.strip()) is None


@pytest.mark.parametrize("days", ["0", "-5", "0.5", "36501", "99999999999", "nan", "long"])
def test_a_key_is_made_for_a_day_to_a_hundred_years(
    settings: Settings, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        keys_command.run(["make", "portal", "--scope", "read", "--days", days], settings)
    assert ended.value.code == 2
    assert f"argument --days: '{days}' is not a number of days from 1 to 36500" in capsys.readouterr().err
    assert not settings.keys_file.exists()


@pytest.mark.parametrize("name", ["", " ", "   "])
def test_a_key_without_a_name_is_refused(settings: Settings, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys_command.run(["make", name, "--scope", "read"], settings) == 2
    assert "not blanks alone" in capsys.readouterr().err


def test_a_key_for_longer_than_any_calendar_is_listed_with_the_last_date(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds in (1e16, 1e300, float("inf"), float("nan"), -1e16):
        KeyFile(settings.keys_file).make(f"for {seconds}", (Scope.READ,), seconds)
    assert keys_command.run(["list"], settings) == 0
    ends = [line.rpartition("good until ")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends == ["9999-12-31T00:00:00Z"] * 4 + ["1970-01-01T00:00:00Z"]


async def test_a_wider_address_needs_keys_and_tls(tmp_path: Path) -> None:
    wide = {"HTTP_HOST": "0.0.0.0", "HTTP_PORT": "0", "DATA_DIR": str(tmp_path)}
    status, _, said = await command("serve", **wide)
    assert (status, "no API keys" in said) == (2, True)
    KeyFile(tmp_path / "keys.json").make("portal", (Scope.READ,))
    status, _, said = await command("serve", **wide)
    assert (status, "in the clear" in said) == (2, True)


# TLS.


def certificate(folder: Path, authority: trustme.CA) -> dict[str, str]:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return {"TLS_CERT": str(folder / "cert.pem"), "TLS_KEY": str(folder / "key.pem")}


async def serial(port: int, context: ssl.SSLContext) -> Any:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return found


async def test_tls_takes_a_new_certificate_and_new_keys_at_a_sighup_and_keeps_the_old_one_if_it_is_none(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    folders = {f"{name}_DIR": str(tmp_path / name.lower()) for name in ("MEDIA", "DATA", "CACHE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve",
        env={**os.environ, **folders, **certificate(tmp_path, authority), "HTTP_PORT": "0", "HSTS_SECONDS": "60"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(90):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("reelgate ready https://127.0.0.1:"), line
        port = int(line.rpartition(":")[2])
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"https://127.0.0.1:{port}/livez", ssl=context)
            assert answer.headers["Strict-Transport-Security"] == "max-age=60"
            before = await serial(port, context)
            certificate(tmp_path, authority)
            process.send_signal(signal.SIGHUP)
            while b"reloaded" not in await process.stderr.readline():
                pass
            after = await serial(port, context)
            assert after != before
            (tmp_path / "cert.pem").write_bytes(b"none")
            process.send_signal(signal.SIGHUP)
            while b"tls-not-reloaded" not in await process.stderr.readline():
                pass
            assert await serial(port, context) == after
        process.terminate()
        assert await process.wait() == 0


async def test_a_certificate_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(b"none")
    file = str(tmp_path / "x.pem")
    status, _, said = await command(
        "serve", TLS_CERT=file, TLS_KEY=file, HTTP_PORT="0", DATA_DIR=str(tmp_path / "data")
    )
    assert status == 2
    assert "no certificate" in said
    assert "Traceback" not in said
