"""What protects browsers and the gateway itself: other sites' pages, headers, odd requests, many idle connections."""

import asyncio
import contextlib
import re
import resource
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.settings import Settings
from gateway.web.security import EXPOSED
from tests.api.conftest import Api
from tests.api.test_bad_input import check_problem

FIND = "/rest-api/v3/stream/find_all"
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


async def raw(api: Api, data: bytes) -> bytes:
    """What comes back for bytes on the wire, until the gateway closes or two seconds have passed."""
    host, port = api.gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    got = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2):
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


async def test_a_thousand_idle_connections_do_not_keep_a_caller_waiting(api: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    host, port = api.gateway.url.removeprefix("http://").split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(1000)]
    try:
        async with asyncio.timeout(5):
            assert (await api.get("/livez")).status == 200
        check_problem(await api.post("/stream/find", {"name": "nobody"}), 404, "not-found")
    finally:
        for _, writer in idle:
            writer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
