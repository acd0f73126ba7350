"""Tests of media/camera/preflight.py: where redirects may lead, and cameras behind TLS."""

import asyncio
import ssl
import subprocess
import warnings
from dataclasses import replace

import pytest

from media.camera.preflight import MAX_REDIRECTS
from media.camera.spec import CameraSpec
from media.net.secrets import Secret
from tests.peers.tls_front import certificate
from tests.support.camera_peers import Guard, Peer, camera, fault_of, go, peer_that, raw_peer, redirect_to, resolver_of

BASIC = 'Basic realm="Cam"'
DIGEST = 'Digest realm="Cam", qop="auth", algorithm=SHA-256, nonce="{nonce}"'


def spec_with_password(peer: Peer) -> CameraSpec:
    return CameraSpec(f"rtsp://127.0.0.1:{peer.port}/live", "admin", Secret("pw"))


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
async def test_a_redirect_to_itself_ends_after_three(method: str) -> None:
    async with peer_that(redirect_to("/live", method)) as peer:
        fault = await fault_of(spec_with_password(peer))
        await peer.gone()
        assert fault.code == "source-protocol-error"
        assert "redirects" in fault.detail
        assert peer.connects == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_on_the_same_host_keeps_the_credentials(status: int) -> None:
    guard = Guard("admin", "pw", (DIGEST,))
    async with peer_that(guard) as second:
        first_reply = redirect_to(f"rtsp://127.0.0.1:{second.port}/other", status=status)
        async with peer_that(first_reply) as first:
            spec = spec_with_password(first)
            described = await go(spec)
    assert (described.redirected, described.credentials, described.port) == (True, True, second.port)
    assert described.uri == f"rtsp://127.0.0.1:{second.port}/other"
    assert described.pin(spec) == replace(spec, uri=described.uri, address="127.0.0.1", relay=True)


async def test_a_redirect_from_a_name_to_its_own_address_keeps_the_credentials() -> None:
    resolve, asked = resolver_of("127.0.0.1")
    async with (
        peer_that(Guard("admin", "pw", (DIGEST,))) as second,
        peer_that(redirect_to(f"rtsp://127.0.0.1:{second.port}/")) as first,
    ):
        described = await go(replace(spec_with_password(first), uri=f"rtsp://camera.example:{first.port}/"), resolve)
    assert described.credentials
    assert asked == ["camera.example"]


async def test_another_host_never_sees_the_credentials() -> None:
    async with peer_that(Guard("admin", "pw", (BASIC,)), "127.0.0.2") as other:
        async with peer_that(redirect_to(f"rtsp://127.0.0.2:{other.port}/")) as first:
            fault = await fault_of(spec_with_password(first))
        assert fault.code == "source-auth-failed"
        assert other.methods == ["OPTIONS", "DESCRIBE"]
        assert not any("authorization" in asked.headers for asked in other.asked)


async def test_an_open_camera_on_another_host_is_described_and_pinned_without_credentials() -> None:
    async with (
        peer_that(camera, "127.0.0.2") as other,
        peer_that(redirect_to(f"rtsp://user:pw@127.0.0.2:{other.port}/x")) as first,
    ):
        spec = spec_with_password(first)
        described = await go(spec)
    pinned = described.pin(spec)
    assert described.uri == f"rtsp://127.0.0.2:{other.port}/x"
    assert (pinned.address, pinned.username, pinned.password) == ("127.0.0.2", "", Secret())


async def test_credentials_do_not_come_back_after_a_detour() -> None:
    async with (
        peer_that(Guard("admin", "pw", (BASIC,))) as home,
        peer_that(redirect_to(f"rtsp://127.0.0.1:{home.port}/"), "127.0.0.2") as other,
        peer_that(redirect_to(f"rtsp://127.0.0.2:{other.port}/")) as first,
    ):
        assert (await fault_of(spec_with_password(first))).code == "source-auth-failed"
        assert home.methods == ["OPTIONS", "DESCRIBE"]
        assert not any("authorization" in asked.headers for asked in home.asked)


async def test_another_host_does_not_get_the_credentials_by_sending_on_to_itself() -> None:
    async with (
        peer_that(Guard("admin", "pw", (BASIC,)), "127.0.0.2") as last,
        peer_that(redirect_to(f"rtsp://127.0.0.2:{last.port}/"), "127.0.0.2") as other,
        peer_that(redirect_to(f"rtsp://127.0.0.2:{other.port}/")) as first,
    ):
        assert (await fault_of(spec_with_password(first))).code == "source-auth-failed"
        assert last.methods == ["OPTIONS", "DESCRIBE"]
        assert not any("authorization" in asked.headers for asked in last.asked)


@pytest.mark.parametrize(
    "target", ["rtsp://169.254.169.254/latest", "rtsp://[::ffff:169.254.169.254]/", "rtsp://[::]/"]
)
async def test_a_redirect_to_a_denied_address_is_refused(target: str) -> None:
    async with peer_that(redirect_to(target)) as peer:
        fault = await fault_of(spec_with_password(peer))
    assert (fault.code, fault.phase) == ("source-forbidden", "resolving")


@pytest.mark.parametrize(
    "target", ["", "http://127.0.0.1/", "file:///etc/passwd", "rtsp://", "rtsp://[x/", "live", "//"]
)
async def test_a_redirect_to_no_camera_breaks_the_protocol(target: str) -> None:
    async with peer_that(redirect_to(target)) as peer:
        assert (await fault_of(spec_with_password(peer))).code == "source-protocol-error"


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a camera has: a certificate that it signed itself, for another name."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=factory"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_an_encrypted_camera_is_described_without_a_look_at_its_certificate(tls: ssl.SSLContext) -> None:
    async with peer_that(Guard("admin", "pw", (BASIC,)), tls=tls) as peer:
        described = await go(replace(spec_with_password(peer), uri=f"rtsps://127.0.0.1:{peer.port}/live"))
        await peer.gone()
    assert described.uri == f"rtsps://127.0.0.1:{peer.port}/live"


async def test_a_redirect_never_gives_up_encryption(tls: ssl.SSLContext) -> None:
    async with peer_that(camera) as plain:
        async with peer_that(redirect_to(f"rtsp://127.0.0.1:{plain.port}/"), tls=tls) as peer:
            fault = await fault_of(replace(spec_with_password(peer), uri=f"rtsps://127.0.0.1:{peer.port}/live"))
        assert fault.code == "source-protocol-error"
        assert plain.connects == 0


async def test_tls_to_a_plain_camera_and_the_other_way_round_break_the_protocol(tls: ssl.SSLContext) -> None:
    async with peer_that(lambda asked: None) as plain:
        spec = replace(spec_with_password(plain), uri=f"rtsps://127.0.0.1:{plain.port}/live", connect_timeout=0.15)
        fault = await fault_of(spec)  # the plain peer waits for the end of a request
        assert (fault.code, fault.phase) == ("source-timeout", "connecting")
    async with peer_that(camera, tls=tls) as peer:
        fault = await fault_of(spec_with_password(peer))
        assert (fault.code, fault.phase) == ("source-protocol-error", "options")


@pytest.mark.parametrize(("newest", "name"), [("TLSv1", "TLS 1.0"), ("TLSv1_1", "TLS 1.1")])
@pytest.mark.parametrize("verify", [False, True])
async def test_a_camera_of_an_older_tls_is_told_what_it_speaks_and_that_it_is_too_old(
    newest: str, name: str, verify: bool
) -> None:
    async with peer_that(camera, tls=old_tls(newest)) as peer:
        fault = await fault_of(
            replace(spec_with_password(peer), uri=f"rtsps://127.0.0.1:{peer.port}/live", tls_verify=verify)
        )
        assert not peer.asked
    assert (fault.code, fault.phase) == ("source-protocol-error", "connecting")
    assert f"speaks {name} at the most, which is too old to be trusted" in fault.detail


async def test_a_camera_that_speaks_no_tls_at_all_is_told_so() -> None:
    async with raw_peer(hang_up_after_a_word) as peer:
        fault = await fault_of(replace(spec_with_password(peer), uri=f"rtsps://127.0.0.1:{peer.port}/live"))
    assert (fault.code, fault.phase) == ("source-protocol-error", "connecting")
    assert "does not speak TLS" in fault.detail


async def hang_up_after_a_word(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What an RTSP server makes of the bytes of a handshake."""
    writer.write(b"RTSP/1.0 400 Bad Request\r\n\r\n")
    await writer.drain()


def old_tls(newest: str) -> ssl.SSLContext:
    """A server of years ago."""
    context = certificate("factory")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion[newest]
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
