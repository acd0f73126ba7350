"""Who asks, and for which address: a trusted proxy's word counts, and of anybody else no header does."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.web.access.outer import PROXIES, Outer, Proxies, outer

TRUSTED = Proxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
Headers = list[tuple[str, str]]


def seen(peer: str, headers: Headers, proxies: Proxies = TRUSTED) -> Outer:
    """The outer side of a request that comes from `peer`, to the host `inner:8081` over plain HTTP."""
    app = Application()
    app[PROXIES] = proxies
    transport = SimpleNamespace(
        get_extra_info=lambda name, default=None: (peer, 50_000) if name == "peername" else default,
        is_closing=lambda: False,
    )
    sent = CIMultiDict([("Host", "inner:8081"), *headers])
    return outer(make_mocked_request("GET", "/", headers=sent, app=app, transport=cast(Any, transport)))


XFF, XFP, XFH, XFX = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([], "10.0.0.1"),
        ([(XFF, "192.0.2.7")], "192.0.2.7"),
        ([(XFF, "203.0.113.9, 192.0.2.7")], "192.0.2.7"),  # the first is what the caller has sent itself
        ([(XFF, "203.0.113.9"), (XFF, "192.0.2.7")], "192.0.2.7"),
        ([(XFF, "192.0.2.7, 10.0.0.5, 10.9.9.9")], "192.0.2.7"),  # two more proxies of ours in between
        ([(XFF, "10.0.0.5, 10.9.9.9")], "10.0.0.5"),
        ([(XFF, "192.0.2.7:4711")], "192.0.2.7"),
        ([(XFF, "2001:db8::1")], "2001:db8::1"),
        ([(XFF, "[2001:db8::1]:4711")], "2001:db8::1"),
        ([(XFF, "::ffff:192.0.2.7")], "192.0.2.7"),
        ([(XFF, "unknown")], "10.0.0.1"),
        ([(XFF, "192.0.2.7, ")], "10.0.0.1"),
        ([("Forwarded", "for=192.0.2.7")], "192.0.2.7"),
        ([("Forwarded", 'for=203.0.113.9, For="[2001:db8::1]:4711";proto=https;by=10.0.0.1')], "2001:db8::1"),
        ([("Forwarded", "for=203.0.113.9"), ("Forwarded", "for=192.0.2.7, for=10.0.0.5")], "192.0.2.7"),
        ([("Forwarded", "for=_hidden")], "10.0.0.1"),
        ([("Forwarded", 'for="192.0.2.7')], "10.0.0.1"),
        ([("Forwarded", "nonsense")], "10.0.0.1"),
        ([(XFF, "192.0.2.7"), ("Forwarded", "for=203.0.113.9")], "192.0.2.7"),  # many proxies pass that one on unseen
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxys_is_the_callers(headers: Headers, address: str) -> None:
    assert seen("10.0.0.1", headers).address == address


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], ("http", "inner:8081", "")),
        ([(XFP, "https"), (XFH, "cams.example:8443"), (XFX, "/cams/")], ("https", "cams.example:8443", "/cams")),
        ([(XFP, "http, https"), (XFH, "evil, cams.example"), (XFX, "/a, /b")], ("https", "cams.example", "/b")),
        ([(XFP, "wss")], ("https", "inner:8081", "")),
        ([(XFP, "gopher"), (XFH, "a b"), (XFX, "//evil.example")], ("http", "inner:8081", "")),
        ([(XFX, '/a"b')], ("http", "inner:8081", "")),
        ([(XFX, "/a;b")], ("http", "inner:8081", "")),
        ([(XFX, "a")], ("http", "inner:8081", "")),
        ([(XFX, "/")], ("http", "inner:8081", "")),
        ([("Forwarded", 'for=1.2.3.4;proto=https;host="cams.example:8443"')], ("https", "cams.example:8443", "")),
    ],
)
def test_the_address_that_was_asked_for_is_the_last_one_told_if_it_can_be_one(
    headers: Headers, found: tuple[str, str, str]
) -> None:
    told = seen("fd00::1", headers)
    assert ((told.scheme, told.host, told.prefix), told.proxied) == (found, True)


def test_the_public_address_counts_more_than_what_a_proxy_tells_of_itself() -> None:
    proxies = Proxies(TRUSTED.networks, ("https", "cams.example", "/cams"))
    headers = [(XFP, "http"), (XFH, "inner"), (XFX, ""), (XFF, "192.0.2.7")]
    assert seen("10.0.0.1", headers, proxies) == Outer("192.0.2.7", "https", "cams.example", "/cams", True)
    assert seen("192.0.2.1", headers, proxies) == Outer("192.0.2.1", "http", "inner:8081", "", False)


values = st.sampled_from(
    [
        "",
        "127.0.0.1",
        "10.0.0.1",
        "192.0.2.7, 10.0.0.1",
        "https",
        "evil.example",
        "/evil",
        "for=10.0.0.1;proto=https",
        "é",
    ]
) | st.text(max_size=20)
names = st.sampled_from([XFF, XFP, XFH, XFX, "Forwarded", "X-Real-IP", "X-Forwarded-Port", "Via"])


@given(
    headers=st.lists(st.tuples(names, values), max_size=8),
    peer=st.sampled_from(["192.0.2.1", "::1", "", "::ffff:192.0.2.1"]),
)
def test_no_header_of_a_peer_that_is_not_trusted_changes_anything(headers: Headers, peer: str) -> None:
    assert seen(peer, headers) == Outer(peer, "http", "inner:8081", "", False)


@given(headers=st.lists(st.tuples(names, values), max_size=8))
def test_whatever_a_trusted_proxy_sends_is_read_to_something_that_is_safe_in_a_header(headers: Headers) -> None:
    found = seen("10.0.0.1", headers)
    assert found.scheme in ("http", "https")
    assert not set(found.host + found.prefix) & set(' "\r\n;,<>')
    assert not found.prefix.startswith("//")
