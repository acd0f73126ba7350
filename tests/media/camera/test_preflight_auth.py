"""Tests of camera/preflight.py and rtsp/auth.py: credentials, to whom they go, and that nobody reads them."""

import asyncio
import hashlib
import logging
import traceback
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.camera.spec import CameraSpec
from media.faults import Fault
from media.net.secrets import Secret
from media.rtsp.auth import Authenticator, read_challenges
from tests.support.camera_peers import (
    Asked,
    Guard,
    Peer,
    Reply,
    answer,
    camera,
    fault_of,
    go,
    peer_that,
    raw_peer,
    redirect_to,
)

CANARY = 'p@ss:w/ö%r#d?"\\&ключ'

BASIC = 'Basic realm="Cam"'
MD5_OLD = 'Digest realm="Cam", nonce="{nonce}"'
MD5 = 'Digest realm="Cam, \\"north\\"", nonce="{nonce}", opaque="abc", algorithm=MD5, qop="auth,auth-int"'
MD5_SESS = 'Digest realm="Cam", nonce="{nonce}", algorithm=MD5-sess, qop="auth"'
SHA256 = 'Digest realm="Büro", qop="auth", algorithm=SHA-256, nonce="{nonce}"'
SHA256_SESS = 'Digest realm="Cam", qop="auth", algorithm=SHA-256-sess, nonce="{nonce}"'
AUTH_INT = 'Digest realm="Cam", nonce="{nonce}", qop="auth-int"'
UNKNOWN = 'Digest realm="Cam", nonce="{nonce}", algorithm=SHA-512-256, qop="auth"'


def spec_with_login(peer: Peer, password: str = CANARY, username: str = "admin") -> CameraSpec:
    return CameraSpec(f"rtsp://127.0.0.1:{peer.port}/live", username, Secret(password))


# --- challenges ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard_options", [False, True])
@pytest.mark.parametrize(
    ("challenges", "scheme"),
    [
        ((BASIC,), "Basic"),
        ((MD5_OLD,), "MD5"),
        ((MD5_SESS,), "MD5-sess"),
        ((SHA256,), "SHA-256"),
        ((SHA256_SESS,), "SHA-256-sess"),
        ((BASIC, MD5_OLD, SHA256), "SHA-256"),
        ((SHA256, MD5_OLD, BASIC), "SHA-256"),
        ((f"{BASIC}, {MD5_SESS}, {MD5_OLD}",), "MD5-sess"),
        ((UNKNOWN, AUTH_INT, BASIC), "Basic"),
    ],
)
async def test_the_strongest_known_challenge_is_answered(
    challenges: tuple[str, ...], scheme: str, guard_options: bool
) -> None:
    guard = Guard("admin", CANARY, challenges, guard_options=guard_options)
    async with peer_that(guard) as peer:
        described = await go(spec_with_login(peer))
        assert len(peer.asked) <= 3
    assert guard.schemes == [scheme]
    assert described.credentials
    assert described.authentication == scheme.lower()
    assert len(described.tracks) == 2


async def test_a_realm_with_quotes_and_commas_goes_back_as_it_came() -> None:
    seen: list[str] = []

    def reply(asked: Asked) -> bytes:
        seen.append(asked.headers.get("authorization", ""))
        return (
            camera(asked) if seen[-1] or asked.method == "OPTIONS" else answer(asked, 401, ["WWW-Authenticate: " + MD5])
        )

    async with peer_that(reply) as peer:
        await go(spec_with_login(peer, username='a"b'))
    assert 'realm="Cam, \\"north\\""' in seen[-1]
    assert 'username="a\\"b"' in seen[-1]
    assert 'opaque="abc"' in seen[-1]


async def test_a_realm_in_latin_1_goes_back_byte_for_byte() -> None:
    lines: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            lines.extend(line for line in request.split(b"\r\n") if line.startswith(b"Authorization"))
            challenge = 'WWW-Authenticate: Digest realm="Büro", nonce="1"\r\n'.encode("latin-1")
            writer.write(b"RTSP/1.0 401 No\r\n" + challenge + b"\r\n")

    async with raw_peer(script) as peer:
        await fault_of(spec_with_login(peer))
    secret = hashlib.md5(b"admin:B\xfcro:" + CANARY.encode()).hexdigest()
    request = hashlib.md5(f"DESCRIBE:rtsp://127.0.0.1:{peer.port}/live".encode()).hexdigest()
    assert len(lines) == 1
    assert 'realm="Büro"'.encode("latin-1") in lines[0]
    assert hashlib.md5(f"{secret}:1:{request}".encode()).hexdigest().encode() in lines[0]


async def test_a_stale_nonce_is_not_a_wrong_password() -> None:
    guard = Guard("admin", CANARY, (MD5_SESS,), stale=1)
    async with peer_that(guard) as peer:
        assert (await go(spec_with_login(peer))).credentials
        assert peer.methods == ["OPTIONS", "DESCRIBE", "DESCRIBE", "DESCRIBE"]


async def test_a_nonce_that_is_always_stale_ends_after_three_describes() -> None:
    async with peer_that(Guard("admin", CANARY, (MD5_SESS,), stale=100)) as peer:
        assert (await fault_of(spec_with_login(peer))).code == "source-auth-failed"
        assert peer.methods.count("DESCRIBE") == 3


@pytest.mark.parametrize("guard_options", [False, True])
@pytest.mark.parametrize("challenge", [BASIC, MD5_OLD, SHA256])
async def test_a_wrong_password_is_sent_once(challenge: str, guard_options: bool) -> None:
    guard = Guard("admin", "another", (challenge,), guard_options=guard_options)
    async with peer_that(guard) as peer:
        fault = await fault_of(spec_with_login(peer))
        await peer.gone()
        assert (fault.code, fault.phase) == ("source-auth-failed", "describing")
        assert len(peer.asked) <= 3
        assert len(guard.schemes) == 1


async def test_without_credentials_a_camera_that_asks_for_some_is_not_asked_again() -> None:
    async with peer_that(Guard("admin", CANARY, (MD5_OLD,), guard_options=True)) as peer:
        fault = await fault_of(spec_with_login(peer, password="", username=""))
        assert (fault.code, fault.phase) == ("source-auth-failed", "describing")
        assert peer.methods == ["OPTIONS", "DESCRIBE"]


@pytest.mark.parametrize("challenge", [AUTH_INT, UNKNOWN, "Bearer", 'Digest realm="Cam"', "", "Negotiate abc=="])
async def test_a_challenge_that_cannot_be_answered_is_an_auth_fault(challenge: str) -> None:
    async with peer_that(Guard("admin", CANARY, (challenge,))) as peer:
        assert (await fault_of(spec_with_login(peer))).code == "source-auth-failed"
        assert peer.methods == ["OPTIONS", "DESCRIBE"]


async def test_options_may_be_guarded_where_describe_is_open() -> None:
    def reply(asked: Asked) -> bytes:
        return answer(asked, 401, [f"WWW-Authenticate: {BASIC}"]) if asked.method == "OPTIONS" else camera(asked)

    async with peer_that(reply) as peer:
        assert (await go(spec_with_login(peer, password="", username=""))).warnings == ()


@pytest.mark.parametrize(("username", "password"), [("ad\r\nmin", "x"), ("admin", "half\ud800"), ("half\udc80", "x")])
async def test_credentials_that_cannot_be_sent_are_an_auth_fault(username: str, password: str) -> None:
    async with peer_that(Guard("admin", CANARY, (MD5_OLD,))) as peer:
        fault = await fault_of(spec_with_login(peer, password, username))
        assert fault.code == "source-auth-failed"
        assert fault.__context__ is None
        assert len(peer.asked) == 2


@given(st.text(max_size=200) | st.text(alphabet='Digestbac"\\=, nonce', max_size=200))
def test_no_text_breaks_the_reading_of_challenges(text: str) -> None:
    auth = Authenticator("admin", Secret(CANARY))
    challenges = read_challenges([text, text])
    try:
        auth.accept([text])
    except Fault as fault:
        refused = fault.code == "source-auth-failed"
        assert refused
        assert not any(challenge.strength for challenge in challenges)
    else:
        assert auth.authorization("DESCRIBE", "rtsp://x/").startswith(("Basic ", "Digest "))


# --- secrecy ---------------------------------------------------------------------------------------------------------


def forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1], secret.encode().hex()}


ECHO = f"Server: {CANARY}"


@pytest.mark.parametrize(
    "reply",
    [
        Guard("admin", "another", (BASIC,)),
        Guard("admin", "another", (SHA256,)),
        Guard("admin", CANARY, (AUTH_INT,)),
        redirect_to(f"rtsp://admin:{quote(CANARY, safe='')}@169.254.169.254/?password={quote(CANARY, safe='')}"),
        redirect_to("/live"),
        lambda asked: answer(asked, 454, [ECHO]),
        lambda asked: answer(asked, 200, [ECHO]),
        lambda asked: f"{CANARY}\r\n\r\n".encode(),
        lambda asked: f"RTSP/1.0 200 {CANARY}\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
        lambda asked: None,
    ],
)
async def test_a_fault_never_tells_the_password(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with peer_that(reply) as peer:
        spec = replace(spec_with_login(peer), connect_timeout=0.15)
        fault = await fault_of(replace(spec, uri=f"{spec.uri}?password={quote(CANARY, safe='')}"))
    told = (
        "".join(traceback.format_exception(fault)) + repr(fault) + str(fault) + fault.detail + repr(spec) + caplog.text
    )
    assert not [form for form in forms(CANARY) if form in told]


async def test_a_camera_that_echoes_the_password_does_not_get_it_into_the_result() -> None:
    def echo(asked: Asked) -> bytes:
        return camera(asked).replace(b"Peer/1.0", CANARY.encode())

    async with peer_that(echo) as peer:
        described = await go(spec_with_login(peer))
    assert described.server == "***"
    assert not [form for form in forms(CANARY) if form in repr(described)]


async def test_a_userinfo_left_in_the_uri_goes_nowhere() -> None:
    async with peer_that(camera) as peer:
        described = await go(CameraSpec(f"rtsp://admin:{quote(CANARY, safe='')}@127.0.0.1:{peer.port}/live"))
        told = repr(described) + repr(peer.asked)
    assert not [form for form in forms(CANARY) if form in told]


async def test_the_request_line_holds_what_it_can_hold() -> None:
    async with peer_that(camera) as peer:
        spec = CameraSpec(f"rtsp://127.0.0.1:{peer.port}/a b/ö%20/?x=1&y=[2]\r\nX: 1#frag")
        await go(spec)
        assert peer.asked[0].uri == f"rtsp://127.0.0.1:{peer.port}/a%20b/%C3%B6%20/?x=1&y=[2]X:%201"
