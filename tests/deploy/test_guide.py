"""Each file of the guide for a proxy does what it says: TLS, HTTP/2, sockets, events, uploads, addresses, callers."""

import asyncio
import io
import json
import re
import ssl
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from yarl import URL

from gateway.settings import Settings
from gateway.web.transport.listener import SILENCE
from tests.api.test_access import BASE, Guarded, guard
from tests.deploy.fronts import FRONTS, PORT, Served, served
from tests.deploy.outside import CALLER
from tests.peers.proxies import FOLDER, HOST
from tests.support.api import Answer

pytestmark = [pytest.mark.media, pytest.mark.debian]

CHANNEL: Final = {"uri": "vod-live://short.mp4", "localStreamName": "höhe 1", "loop": True}
NAME: Final = "h%C3%B6he%201"
ELSEWHERE: Final = {"varnish.vcl", "traefik.yml"}  # run by the tests of caches; and by none


def test_every_file_of_the_guide_is_run_and_named_in_it() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert files == set(FRONTS) | ELSEWHERE
    text = (FOLDER.parent / "deploy.md").read_text()
    assert {name for name in files if f"(deploy/{name})" not in text} == set()


@pytest.mark.parametrize("file", FRONTS)
async def test_a_gateway_behind_the_guides_proxy_is_reached_in_every_way(
    settings: Settings, tmp_path: Path, file: str
) -> None:
    async with guard(settings) as guarded, served(FRONTS[file], guarded, tmp_path) as front:
        prefix, key = FRONTS[file].prefix, {"Authorization": f"Bearer {guarded.texts['admin']}"}
        made = await call(front, "POST", f"{BASE}/vod/startup", {**key, "Prefer": "respond-async, wait=0"}, CHANNEL)
        assert made.headers.get("Location") == f"{prefix}{BASE}/jobs/{made.headers['Job-Id']}"
        stream = await live(front, key)
        assert stream["playback"]["page"] == f"{prefix}/live/{NAME}/"
        await pages_load(front, prefix)
        await sessions_are_kept_below(front, guarded, prefix)
        await answers_tell_addresses_below(front, key, prefix, made.headers["Job-Id"])
        await a_socket_and_the_events_come_at_once(front, key, prefix)
        await an_upload_is_taken(front, key)
        await callers_are_told_apart(front, guarded, key)
        await it_speaks_http_2(front)


async def call(
    front: Served, method: str, path: str, headers: Any = None, body: Any = None, data: Any = None
) -> Answer:
    content = {"data": data} if data is not None else {"json": body}
    session, url = front.outside.session, front.url + path
    async with session.request(method, url, headers=headers, allow_redirects=False, **content) as answer:
        return Answer(answer.status, answer.headers, (await answer.read()).decode(errors="replace"))


async def live(front: Served, key: dict[str, str]) -> Any:
    for _ in range(300):
        (stream,) = json.loads((await call(front, "GET", f"{BASE}/stream/find_all", key)).body) or [{}]
        if stream.get("status") == "LIVE":
            return stream
        await asyncio.sleep(0.1)
    raise AssertionError("it does not come on the air")


async def pages_load(front: Served, prefix: str) -> None:
    """What a page refers to is there, whatever the depth of the page."""
    for path in ("/", "/streams/x", "/start/file", "/jobs"):
        page = await call(front, "GET", path)
        assert page.status == 200
        found = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|svg))"', page.body)
        assert len(found) == 4
        for each in found:
            address = URL(front.url + path).join(URL(each))
            assert address.path.startswith(f"{prefix}/assets/")
            async with front.outside.session.get(address) as asset:
                assert asset.status == 200
    if prefix:
        bare = await call(Served(front.url.removesuffix(prefix), front.address, front.outside), "GET", prefix)
        assert (bare.status, bare.headers["Location"].endswith(f"{prefix}/")) == (308, True)


async def sessions_are_kept_below(front: Served, guarded: Guarded, prefix: str) -> None:
    body = {"key": guarded.texts["read"]}
    started = await call(front, "POST", f"{BASE}/session/start", {"Origin": origin(front)}, body)
    assert started.status == 200, started.body
    cookie = started.headers["Set-Cookie"]
    assert f"Path={prefix}/;" in cookie
    assert "Secure" in cookie
    assert "Strict-Transport-Security" not in started.headers
    foreign = await call(front, "POST", f"{BASE}/session/start", {"Origin": "https://other.example"}, body)
    assert foreign.status == 403


def origin(front: Served) -> str:
    return "/".join(front.url.split("/")[:3])


async def answers_tell_addresses_below(front: Served, key: dict[str, str], prefix: str, job: str) -> None:
    record = json.loads((await call(front, "GET", f"{BASE}/jobs/{job}", key)).body)
    assert set(record["links"].values()) == {f"{prefix}{BASE}/jobs/{job}", f"{prefix}{BASE}/jobs/{job}/result"}
    assert record["request"]["path"] == f"{BASE}/vod/startup"
    assert record["result"]["playback"]["hls"] == f"{prefix}/live/{NAME}/index.m3u8"
    document = json.loads((await call(front, "GET", "/openapi.json", key)).body)
    assert document["servers"] == [{"url": prefix or "/"}]
    missing = json.loads((await call(front, "GET", f"{BASE}/jobs/{'0' * 32}", key)).body)
    assert missing["instance"] == f"{prefix}{BASE}/jobs/{'0' * 32}"
    bare = await call(front, "GET", f"/live/{NAME}?a=b", key)
    assert (bare.status, bare.headers["Location"]) == (308, f"{prefix}/live/{NAME}/?a=b")
    page = await call(front, "GET", f"/live/{NAME}/", key)
    assert f"Path={prefix}/live/{NAME}/;" in page.headers["Set-Cookie"]
    token = json.loads((await call(front, "POST", f"{BASE}/stream/play_token", key, {"name": "höhe 1"})).body)
    assert token["playback"]["mp4"] == f"{prefix}/live/{NAME}.mp4?token={token['token']}"


async def a_socket_and_the_events_come_at_once(front: Served, key: dict[str, str], prefix: str) -> None:
    session = front.outside.session
    sent = {**key, "Origin": origin(front)}
    async with asyncio.timeout(20):
        async with session.ws_connect(f"{front.url}/live/{NAME}/mse", headers=sent) as socket:
            assert json.loads((await socket.receive()).data)["type"] == "init"
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
        async with session.get(f"{front.url}{BASE}/events", headers={**key, "Last-Event-ID": "0"}) as events:
            told = b""
            while b'"playback"' not in told:
                told += await events.content.readline()
            assert f'"{prefix}/live/{NAME}/"'.encode() in told
        async with session.get(f"{front.url}/live/{NAME}.mjpeg", headers=key) as pictures:
            await pictures.content.readuntil(
                b"--reelgate-picture",
            )
        async with session.get(f"{front.url}/live/{NAME}.mp4", headers=key) as film:
            assert len(await film.content.readexactly(20_000)) == 20_000


async def an_upload_is_taken(front: Served, key: dict[str, str]) -> None:
    """50 MB, of which all but the first is padding that MP4 allows (ISO/IEC 14496-12, 8.1.2)."""
    film = bytes((await front.outside.get(f"{path_of(front)}{BASE}/media/short.mp4", key, 10**9)).body)
    size = 50_000_000 - len(film)
    film += size.to_bytes(4, "big") + b"free" + bytes(size - 8)
    taken = await call(front, "PUT", f"{BASE}/media/large.mp4", key, data=io.BytesIO(film))
    assert (taken.status, json.loads(taken.body)["size"]) == (201, 50_000_000)


def path_of(front: Served) -> str:
    return front.url.removeprefix(front.outside.url)


async def callers_are_told_apart(front: Served, guarded: Guarded, key: dict[str, str]) -> None:
    """What a caller says of itself does not count: its own address does, as the proxy sees it."""
    spoofed = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Forwarded-Prefix": "/evil"}
    wrong = await call(front, "GET", f"{BASE}/stream/find_all", {**spoofed, "Authorization": "Bearer rg_wrong_key"})
    assert wrong.status == 401
    assert set(guarded.gateway.access.tries._wrong) == {CALLER}
    plain, told = [await call(front, "GET", f"/live/{NAME}", {**key, **more}) for more in ({}, spoofed)]
    assert plain.headers["Location"] == told.headers["Location"]


async def it_speaks_http_2(front: Served) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(front.address, PORT, ssl=context, server_hostname=HOST)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()


def test_no_usual_proxy_keeps_an_idle_connection_for_longer_than_the_gateway() -> None:
    """Seconds, as their documentation says: nginx's upstream, Go's transport and with it Traefik's, Caddy's."""
    assert max(60, 90, 120) < SILENCE
    for file in FRONTS:
        text = (FOLDER / file).read_text()
        told = re.findall(r"(?:keepalive_timeout|timeout http-keep-alive|ttl=)\s*(\d+)s?\b", text)
        assert all(int(each) < SILENCE for each in told), file
