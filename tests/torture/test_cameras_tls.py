"""Cameras over rtsps: with a certificate of their own they play, and where it is to be verified it is."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.peers.tls_front import behind_tls, certificate
from tests.support.api import Api
from tests.support.processes import until
from tests.support.torture_cameras import camera, gateway, media, record, start, warnings

pytestmark = pytest.mark.media

CA = trustme.CA()


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """A gateway that believes `CA` and nobody else."""
    file = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(file))
    return gateway(tmp_path, tls_ca=file)


@asynccontextmanager
async def encrypted(*names: str, ca: trustme.CA | None = None, **settings: Any) -> AsyncIterator[tuple[Any, int]]:
    """A camera, and the port at which it speaks TLS."""
    async with camera(**settings) as peer, behind_tls(peer.port, certificate(*names, ca=ca)) as port:
        yield peer, port


@pytest.mark.parametrize("more", [{}, {"preflight": False}, {"tlsVerify": False}])
async def test_a_camera_with_a_certificate_of_its_own_plays(api: Api, more: dict[str, Any]) -> None:
    async with encrypted("camera.factory") as (peer, port):
        opened = await start(api, f"rtsps://127.0.0.1:{port}/live", **more)
        assert (opened.status, opened.body["transport"]) == (200, "tcp")
        await media(api, 1.0)
        await api.post("/rtsp/terminate", {"localStreamName": "cam"})
        await until(lambda: peer.teardowns == 1)


@pytest.mark.parametrize("field", ["tlsVerify", "tls_verify"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_a_ca_that_is_believed_and_of_the_right_name_is_good(
    api: Api, field: str, host: str
) -> None:
    login = {"user": "u", "password": "p"}
    async with encrypted(host, ca=CA, **login) as (peer, port):
        verified: dict[str, Any] = {field: True}
        opened = await start(api, f"rtsps://u:p@{host}:{port}/live", transport="auto", **verified)
        assert opened.status == 200, opened.body
        await media(api, 1.0)
        assert (await record(api))["restarts"] == 0
        await api.post("/rtsp/terminate", {"localStreamName": "cam"})
        await until(lambda: peer.teardowns == 1)


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize(
    ("name", "ca", "why"), [("127.0.0.1", None, "issuer"), ("camera.factory", CA, "not valid for")]
)
async def test_a_certificate_of_somebody_else_or_for_another_name_is_not_trusted(
    api: Api, preflight: bool, name: str, ca: trustme.CA | None, why: str
) -> None:
    async with encrypted(name, ca=ca) as (peer, port):
        opened = await start(api, f"rtsps://127.0.0.1:{port}/live", tlsVerify=True, preflight=preflight)
        assert (opened.status, opened.body["code"]) == (502, "source-untrusted")
        assert why in opened.body["detail"]
        assert "tls_ca" in opened.body["detail"]
        assert not opened.body["retryable"]
        assert not peer.requests


async def test_an_address_without_tls_has_nothing_to_be_verified(api: Api) -> None:
    refused = await start(api, "rtsp://127.0.0.1/live", tlsVerify=True)
    assert (refused.status, refused.body["code"]) == (422, "invalid-field")
    assert refused.body["errors"][0]["field"] == "tlsVerify"


@pytest.mark.parametrize("transport", ["udp", "auto"])
async def test_what_an_encrypted_camera_sends_never_goes_by_udp(api: Api, transport: str) -> None:
    async with encrypted("camera.factory") as (peer, port):
        opened = await start(api, f"rtsps://127.0.0.1:{port}/live", transport=transport)
        assert (opened.status, opened.body["transport"]) == (200, "tcp")
        assert ("transport-changed" in await warnings(api)) == (transport == "udp")
        asked = [each.headers["transport"] for each in peer.requests if each.method == "SETUP"]
        assert asked
        assert all("interleaved" in each for each in asked)
