"""What protects browsers and the gateway itself: other sites' pages, headers, odd requests, many idle connections."""

import asyncio
import contextlib
import email
import gzip
import json
import re
import resource
import ssl
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme

from gateway.app import Gateway
from gateway.settings import Settings
from gateway.web.access.cors import EXPOSED
from tests.api.test_bad_input import check_problem
from tests.support.api import Answer, Api
from tests.support.listening import ask, listening
from tests.support.processes import until
from tests.support.served import gateway_process

FIND = "/rest-api/v3/stream/find_all"
MEDIA = "/rest-api/v3/media/find_all"
PORTAL = "https://portal.example"


@pytest.mark.parametrize("path", ["/", "/livez", FIND, "/openapi.json", "/docs", "/metrics", "/no/such/path"])
async def test_every_answer_is_hardened_and_names_no_server(api: Api, path: str) -> None:
    headers = (await api.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in headers
    assert "Access-Control-Allow-Origin" not in headers
    if "json" in headers["Content-Type"]:
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://proxied.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": PORTAL}, 403),
    ],
)
async def test_a_page_of_another_site_cannot_act_through_its_visitors_browser(
    api: Api, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.format(own=api.gateway.url) for name, value in headers.items()}
    url = f"{api.gateway.url}{FIND}"
    async with api.session.post(url, data="{}", headers=sent) as answer:
        assert answer.status == status
    sent |= {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with api.session.get(f"{api.gateway.url}/live/x/mse", headers=sent) as answer:
        assert (answer.status == 403) == (status == 403)


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Api]:
    """A gateway that pages of one other site may call."""
    settings = settings.model_copy(update={"cors_origins": (PORTAL,)})
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)


async def test_a_site_that_is_let_in_may_call_and_read_the_headers_of_jobs(opened: Api) -> None:
    url = f"{opened.gateway.url}/rest-api/v3/watermark/startup"
    asks = {"Origin": PORTAL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "prefer"}
    async with opened.session.options(url, headers=asks) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
        assert "PREFER" in answer.headers["Access-Control-Allow-Headers"].upper()
    async with opened.session.post(url, json={"watermark": "logo.png"}, headers={"Origin": PORTAL}) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
        assert set(EXPOSED) == set(answer.headers["Access-Control-Expose-Headers"].split(","))
        assert "Access-Control-Allow-Credentials" not in answer.headers
    async with opened.session.options(url, headers={**asks, "Origin": "https://evil.example"}) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
    async with opened.session.post(url, json={}, headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 403


CACHED = ["/", "/livez", FIND, "/no/such/path", "/live/x/", "/live/x/media.m3u8", "/assets/player.js"]


@pytest.mark.parametrize("path", CACHED)
async def test_a_cache_keeps_apart_what_each_site_was_told(opened: Api, path: str) -> None:
    for origin, told in ((None, None), (PORTAL, PORTAL), ("https://evil.example", None)):
        headers = {"Origin": origin} if origin else {}
        async with opened.session.get(opened.gateway.url + path, headers=headers) as answer:
            assert "Origin" in answer.headers.getall("Vary")
            assert answer.headers.get("Access-Control-Allow-Origin") == told


@pytest.mark.parametrize("path", CACHED)
async def test_where_any_site_is_let_in_all_of_them_are_told_the_same(settings: Settings, path: str) -> None:
    settings = settings.model_copy(update={"cors_origins": ("*",)})
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        for headers in ({}, {"Origin": PORTAL}):
            async with session.get(gateway.url + path, headers=headers) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert "Origin" not in answer.headers.get("Vary", "")
                assert "ETag" in answer.headers["Access-Control-Expose-Headers"].split(",")


async def raw(api: Api, data: bytes) -> bytes:
    """What comes back for bytes on the wire, until the gateway closes the connection, as it is to do here."""
    host, port = api.gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    got = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            while piece := await reader.read(65536):
                got += piece
    writer.close()
    return got


POST = b"POST " + FIND.encode() + b" HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
        POST + b" Folded: line\r\n\r\n" + SMUGGLED,
        POST + b"X: " + b"a" * 100_000 + b"\r\n\r\n" + SMUGGLED,
        POST + b"X: a\x00b\r\n\r\n" + SMUGGLED,
        b"GET /livez\r\nHTTP/1.1\r\n\r\n" + SMUGGLED,
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_is_refused_and_ends_the_connection(
    api: Api, request_: bytes
) -> None:
    got = await raw(api, request_)
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), got[:200]
    assert len(re.findall(rb"^HTTP/1\.\d \d{3} ", got, re.MULTILINE)) == 1, got  # one answer, and no second one


@pytest.mark.parametrize(
    "path", ["/x%0d%0aSet-Cookie:%20a=b", "/live/%0d%0aX:%20y/index.m3u8", "//evil.example/live/x"]
)
async def test_no_address_gets_into_a_header(api: Api, path: str) -> None:
    got = await raw(api, b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head = got.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nset-cookie" not in head
    assert b"\r\nx:" not in head
    assert b"location" not in head


async def test_a_malformed_request_is_told_so_by_a_problem_that_quotes_nothing_and_names_no_server(api: Api) -> None:
    head, _, body = (await raw(api, b"GET /evil\r\nHTTP/9.9\r\n\r\n")).partition(b"\r\n\r\n")
    headers = email.message_from_bytes(head.partition(b"\r\n")[2])
    check_problem(Answer(400, headers, json.loads(body)), 400, "bad-request")
    assert "Server" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"evil" not in body


@pytest.mark.parametrize("encoding", ["gzip", "Deflate", "br", "zstd", "x-none", "identity, gzip"])
@pytest.mark.parametrize(
    "line",
    [
        "POST /rest-api/v3/vod/startup",
        "POST /rest-api/v3/session/start",
        f"POST {FIND}",
        "PUT /rest-api/v3/media/a.png",
        "POST /no/such/path",
        "PATCH /rest-api/v3/vod/startup",
        "POST /live/x/whep",
        "GET /livez",
    ],
)
async def test_an_encoded_body_is_refused_on_every_route_and_nothing_of_it_is_decoded(
    api: Api, line: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders = ("ZLibDecompressor", "BrotliDecompressor", "ZSTDDecompressor")
    for decoder in decoders:
        monkeypatch.setattr(f"aiohttp.http_parser.{decoder}", None)  # to call it would be an error
    body = gzip.compress(bytes(100_000))
    head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(30):
        refused, _, rest = (await raw(api, head.encode() + body + last)).partition(b"\r\n\r\n")
    assert refused.split()[1] == b"415"
    assert b"\r\nAccept-Encoding: identity" in refused
    assert b'"code": "unsupported-media-type"' in rest
    assert b"HTTP/1.1 200 OK" in rest  # the connection goes on


async def test_a_body_that_says_it_is_as_it_is_is_taken(api: Api) -> None:
    async with api.session.post(f"{api.gateway.url}{FIND}", data=b"{}", headers={"Content-Encoding": ""}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", [FIND, "/rest-api/v3/watermark/startup", "/rest-api/v3/jobs/find", MEDIA])
async def test_a_body_that_does_not_come_is_not_waited_for(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.body.BODY_LIMIT", 0.1)
    host, port = api.gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b'"code": "too-slow"')).startswith(b"HTTP/1.1 408 ")
    writer.close()


# Connections.


async def test_a_connection_is_ended_when_the_head_of_a_request_does_not_come_the_first_or_the_next() -> None:
    async with listening(100, silence=0.3) as (port, crowd), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        for path in ("/", "/hold"):
            reader, writer = await ask(port, path)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            if path == "/":
                assert (await reader.read()).endswith(b"hello")
                assert not len(crowd)
            else:  # this one waits for its answer, and is not idle
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 1.0)
                assert len(crowd) == 1
            writer.close()


async def test_of_too_many_connections_the_longest_silent_one_goes_and_who_waits_for_an_answer_stays() -> None:
    async with listening(8, silence=60.0) as (port, crowd), asyncio.timeout(20):
        busy = [await ask(port, "/hold") for _ in range(4)]
        await until(lambda: len(crowd) == 4)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        await until(lambda: crowd.dropped == 46)
        assert len(crowd) == 8
        for reader, _ in silent[:46]:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        for path in ("/", "/"):
            reader, writer = await ask(port, path)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        held = [await ask(port, "/hold") for _ in range(4)]  # now all have asked
        await until(lambda: crowd.dropped >= 50)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert not any(writer.transport.is_closing() for _, writer in busy)
        for each in [*busy, *silent, *held, (reader, writer)]:
            each[1].close()


async def test_who_has_got_an_answer_and_asks_nothing_more_gives_way_to_a_newcomer() -> None:
    async with listening(4, silence=60.0) as (port, crowd), asyncio.timeout(20):
        answered = [await ask(port, "/") for _ in range(3)]
        for reader, _ in answered:
            await reader.readuntil(b"hello")
        busy, writer = await ask(port, "/")
        writer.write(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")  # at once, or while the first answer is on its way
        await busy.readuntil(b"hello")
        answered[0][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # it is no longer the longest silent one
        await answered[0][0].readuntil(b"hello")
        newcomers = []
        for _ in range(2):
            newcomers.append(await ask(port, "/"))
            await newcomers[-1][0].readuntil(b"hello")
        for reader, _ in answered[1:]:
            assert await reader.read() == b""
        newcomers += [await ask(port, "/hold") for _ in range(3)]
        await until(lambda: crowd.dropped == 5)  # all that were answered have gone
        assert len(crowd) == 4
        assert not busy.at_eof()
        for each in [*answered, *newcomers, (busy, writer)]:
            each[1].close()


async def test_connections_that_never_begin_with_tls_count_too() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with listening(3, silence=60.0, context=context) as (port, crowd), asyncio.timeout(20):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        await until(lambda: crowd.dropped == 17)
        assert len(crowd) == 3
        for reader, _ in silent[:17]:
            assert await reader.read() == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        silent[-1][1].write(b"GET / HTTP/1.1\r\n\r\n")  # no TLS
        with contextlib.suppress(ConnectionResetError):
            await silent[-1][0].read()
        await until(lambda: len(crowd) == 2)
        for each in [*silent, (reader, writer)]:
            each[1].close()


async def run_idle(settings: Settings, count: int) -> dict[str, float]:
    """So many idle connections to a gateway of its own, while a stream is watched. Gives what was measured."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    writers: list[asyncio.StreamWriter] = []
    try:
        async with gateway_process(settings) as (_, url), aiohttp.ClientSession() as session:
            port = int(url.rpartition(":")[2])
            channel = {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True}
            async with session.post(f"{url}/rest-api/v3/vod/startup", json=channel) as answer:
                assert answer.status == 200
            async with session.get(f"{url}/live/c.mp4") as watching:
                for _ in range(count // 100):
                    opened = await asyncio.gather(
                        *(asyncio.open_connection("127.0.0.1", port) for _ in range(100)), return_exceptions=True
                    )
                    writers += [each[1] for each in opened if not isinstance(each, BaseException)]
                asked = time.monotonic()
                async with session.get(f"{url}{FIND}") as answer:
                    assert answer.status == 200
                    (stream,) = await answer.json()
                took = time.monotonic() - asked
                assert stream["status"] == "LIVE"
                seen = 0
                async with asyncio.timeout(60):
                    while seen < 500_000:  # pictures of more time than has passed
                        seen += len(await watching.content.readany())
                async with session.get(f"{url}/metrics") as answer:
                    figures = dict(re.findall(r"^(gateway_connections\w*) (\S+)$", await answer.text(), re.MULTILINE))
        return {
            "opened": len(writers),
            "here": float(figures["gateway_connections"]),
            "dropped": float(figures["gateway_connections_dropped_total"]),
            "answer": took,
        }
    finally:
        for writer in writers:
            writer.transport.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.media
async def test_a_thousand_idle_connections_are_bounded_while_a_stream_plays_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_MAX_CONNECTIONS", "500")
    found = await run_idle(settings, 1000)
    assert found["opened"] == 1000
    assert found["here"] <= 500
    assert found["dropped"] >= 500
    assert found["answer"] < 5


@pytest.mark.soak
@pytest.mark.media
async def test_ten_thousand_idle_connections_are_held_while_a_stream_plays_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await run_idle(settings, 10_000)
    with capsys.disabled():
        print(f"\n{found}")
    assert found["opened"] == 10_000
    assert found["here"] + found["dropped"] >= 10_000
    assert found["answer"] < 5
