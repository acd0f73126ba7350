"""Tests of media/camera/preflight.py against scripted peers: every way a camera can answer, or not."""

import asyncio
import errno
import gc
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from media.camera.preflight import Described, preflight
from media.camera.spec import CameraSpec
from media.faults import CAMERA_PHASES
from media.net.addresses import AddressPolicy
from media.rtsp.sdp import MediaDescription
from tests.support.camera_peers import (
    HERE,
    Asked,
    Reply,
    answer,
    camera,
    fault_of,
    fault_with,
    go,
    peer_that,
    resolver_of,
    spec_for,
)
from tests.support.processes import open_files

SHORT = 0.15  # seconds; for peers that never answer


async def describe(reply: Reply) -> Described:
    async with peer_that(reply) as peer:
        return await go(spec_for(peer))


async def test_a_healthy_camera_is_described() -> None:
    phases: list[str] = []
    async with peer_that(camera) as peer:
        described = await preflight(spec_for(peer), HERE, phases.append)
        await peer.gone()
    assert phases == ["resolving", "connecting", "options", "describing"] == list(CAMERA_PHASES[:4])
    assert [(track.media, track.codec) for track in described.tracks] == [("video", "h264"), ("audio", "pcma")]
    assert (described.address, described.port) == ("127.0.0.1", peer.port)
    assert described.uri == f"rtsp://127.0.0.1:{peer.port}/live?channel=1"
    assert (described.redirected, described.credentials, described.warnings) == (False, False, ())
    assert described.authentication == ""
    assert described.public == ("OPTIONS", "DESCRIBE", "SETUP", "PLAY")
    assert described.server == "Peer/1.0"
    assert list(described.timings) == phases
    assert all(0 <= milliseconds < 5000 for milliseconds in described.timings.values())
    assert peer.methods == ["OPTIONS", "DESCRIBE"]
    assert [asked.headers["cseq"] for asked in peer.asked] == ["1", "2"]
    assert peer.asked[1].headers["accept"] == "application/sdp"
    assert "authorization" not in peer.asked[1].headers


async def test_audio_that_is_off_is_not_in_the_tracks() -> None:
    async with peer_that(camera) as peer:
        described = await go(replace(spec_for(peer), audio=False))
    assert [track.media for track in described.tracks] == ["video"]


# --- resolving -------------------------------------------------------------------------------------------------------


async def test_a_name_that_does_not_resolve_is_a_dns_fault() -> None:
    # The system may ask one DNS server after another for longer than a camera may take.
    fault = await fault_of(CameraSpec("rtsp://no-such-camera.invalid/live", connect_timeout=60.0))
    assert (fault.code, fault.phase) == ("source-dns", "resolving")
    assert "no-such-camera.invalid" in fault.detail


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "."])
async def test_a_name_that_cannot_be_looked_up_is_a_dns_fault(host: str) -> None:
    assert (await fault_of(CameraSpec(f"rtsp://{host}/live"))).code == "source-dns"


async def test_a_name_with_no_address_is_a_dns_fault() -> None:
    resolve, _ = resolver_of()
    assert (await fault_of(CameraSpec("rtsp://empty.example/"), resolve=resolve)).code == "source-dns"


@pytest.mark.parametrize(
    "uri", ["rtsp:///live", "http://10.0.0.1/", "rtsp://cam:99999/", "rtsp://cam:0/", "rtsp://[::1/", "", "rtsp://a b/"]
)
async def test_what_is_no_address_of_a_camera_is_refused_before_anything_is_asked(uri: str) -> None:
    resolve, asked = resolver_of("127.0.0.1")
    assert (await fault_of(CameraSpec(uri), resolve=resolve)).code == "unsupported-scheme"
    assert asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"])
async def test_a_denied_address_is_never_connected_to(host: str) -> None:
    async with peer_that(camera) as peer:
        fault = await fault_of(CameraSpec(f"rtsp://{host}:{peer.port}/"), AddressPolicy())
        assert peer.connects == 0
    assert (fault.code, fault.phase) == ("source-forbidden", "resolving")


async def test_a_pinned_address_is_checked_too_and_asks_no_resolver() -> None:
    resolve, asked = resolver_of("127.0.0.1")
    async with peer_that(camera) as peer:
        spec = CameraSpec(f"rtsp://camera.example:{peer.port}/", address="127.0.0.1")
        described = await go(spec, resolve)
        assert (await fault_of(spec, AddressPolicy(), resolve)).code == "source-forbidden"
        assert peer.connects == 1
    assert described.address == "127.0.0.1"
    assert asked == []


async def test_a_name_is_resolved_once_and_what_was_checked_is_what_is_pinned() -> None:
    resolve, asked = resolver_of("169.254.169.254", "127.0.0.1", "10.255.255.1")
    async with peer_that(camera) as peer:
        spec = CameraSpec(f"rtsp://Camera.Example:{peer.port}/live")
        described = await go(spec, resolve)
        pinned = described.pin(spec)
        uris = [request.uri for request in peer.asked]
    assert asked == ["camera.example"]
    assert (pinned.address, pinned.url()) == ("127.0.0.1", f"rtsp://127.0.0.1:{peer.port}/live")
    assert uris == [f"rtsp://camera.example:{peer.port}/live"] * 2


async def test_a_name_with_only_denied_addresses_is_forbidden() -> None:
    resolve, _ = resolver_of("169.254.169.254", "::")
    assert (await fault_of(CameraSpec("rtsp://rebound.example/"), resolve=resolve)).code == "source-forbidden"


async def test_a_resolver_that_hangs_ends_as_a_timeout_while_resolving() -> None:
    async def hang(_host: str, _port: int) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    fault = await fault_of(CameraSpec("rtsp://camera.example/", connect_timeout=SHORT), resolve=hang)
    assert (fault.code, fault.phase) == ("source-timeout", "resolving")


# --- connecting ------------------------------------------------------------------------------------------------------


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else comes to listen meanwhile."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose backlog is full: a SYN to it is dropped."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        waiting = [socket.socket() for _ in range(8)]
        try:
            for client in waiting:
                client.setblocking(False)
                assert client.connect_ex(("127.0.0.1", port)) in (0, errno.EINPROGRESS)
            yield port
        finally:
            for client in waiting:
                client.close()


async def test_a_closed_port_refuses() -> None:
    with closed_port() as port:
        fault = await fault_of(CameraSpec(f"rtsp://127.0.0.1:{port}/"))
    assert (fault.code, fault.phase) == ("source-refused", "connecting")
    assert str(port) in fault.detail


async def test_a_black_hole_ends_as_a_timeout_while_connecting() -> None:
    loop = asyncio.get_running_loop()
    with black_hole() as port:
        began = loop.time()
        fault = await fault_of(CameraSpec(f"rtsp://127.0.0.1:{port}/", connect_timeout=SHORT))
        took = loop.time() - began
    assert (fault.code, fault.phase) == ("source-timeout", "connecting")
    assert SHORT <= took < SHORT + 5  # the system alone would try for minutes


async def test_an_address_that_cannot_be_routed_is_unreachable() -> None:
    # No TCP connection goes to a broadcast address; the kernel says so at once.
    policy = AddressPolicy.parse(allow=["255.255.255.255"])
    fault = await fault_of(CameraSpec("rtsp://255.255.255.255:8554/"), policy)
    assert (fault.code, fault.phase) == ("source-unreachable", "connecting")


async def test_a_second_address_is_tried_when_the_first_refuses() -> None:
    async with peer_that(camera, "127.0.0.2") as peer:
        resolve, _ = resolver_of("127.0.0.3", "127.0.0.2")
        described = await go(CameraSpec(f"rtsp://two.example:{peer.port}/"), resolve)
    assert described.address == "127.0.0.2"


async def test_a_first_address_that_hangs_leaves_time_for_the_second() -> None:
    with black_hole() as port:
        resolve, _ = resolver_of("127.0.0.1", "127.0.0.9")
        spec = CameraSpec(f"rtsp://two.example:{port}/", connect_timeout=4.0)
        fault = await fault_of(spec, resolve=resolve)
    assert (fault.code, fault.phase) == ("source-refused", "connecting")  # the second one's word


# --- what the answer says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "source-not-found"),
        (453, "source-busy"),
        (503, "source-busy"),
        (454, "source-protocol-error"),
        (400, "source-protocol-error"),
        (403, "source-protocol-error"),
        (461, "source-protocol-error"),
        (500, "source-protocol-error"),
        (304, "source-protocol-error"),
    ],
)
async def test_a_refused_describe_has_a_reason_that_names_the_status(status: int, code: str) -> None:
    fault = await fault_with(lambda asked: camera(asked) if asked.method == "OPTIONS" else answer(asked, status))
    assert (fault.code, fault.phase) == (code, "describing")
    assert str(status) in fault.detail


@pytest.mark.parametrize("status", [404, 405, 454, 500, 501, 503])
async def test_options_answered_badly_is_no_veto(status: int) -> None:
    described = await describe(lambda asked: answer(asked, status) if asked.method == "OPTIONS" else camera(asked))
    assert described.warnings == ("options-refused",)
    assert len(described.tracks) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "nothing"),
        (b"v=0\r\no=- 0 0 IN IP4 0\r\ns=x\r\n", "nothing"),
        (b"v=0\r\nm=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n", "application"),
        (b"v=0\r\nm=audio 0 RTP/AVP 0\r\na=sendonly\r\n", "backchannel"),
    ],
)
async def test_a_description_with_nothing_to_take_is_no_media(body: bytes, said: str) -> None:
    fault = await fault_with(lambda asked: camera(asked, body))
    assert (fault.code, fault.phase) == ("source-no-media", "describing")
    assert said in fault.detail


async def test_audio_alone_is_media_unless_it_is_off() -> None:
    async with peer_that(lambda asked: camera(asked, b"o=\r\nm=audio 0 RTP/AVP 8\r\n")) as peer:
        described = await go(spec_for(peer))
        assert described.tracks == (MediaDescription("audio", "pcma", 8000, 1),)
        assert (await fault_of(replace(spec_for(peer), audio=False))).code == "source-no-media"


async def test_oddities_of_the_description_become_warnings() -> None:
    described = await describe(lambda asked: camera(asked, b"m=video 0 RTP/AVP 96\na=rtpmap:96 H264 \n"))
    assert described.warnings == ("sdp-no-origin", "sdp-bad-rtpmap")


# --- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["options", "describing"])
async def test_a_cancelled_preflight_closes_its_connection_at_once(phase: str) -> None:
    reached = asyncio.Event()

    def stuck(asked: Asked) -> bytes | None:
        return camera(asked) if phase == "describing" and asked.method == "OPTIONS" else None

    async with peer_that(stuck) as peer:
        task = asyncio.create_task(
            preflight(spec_for(peer), HERE, lambda word: reached.set() if word == phase else None)
        )
        await reached.wait()
        while not peer.asked or (phase == "describing") != (peer.methods[-1] == "DESCRIBE"):
            peer.heard.clear()
            await peer.heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.gone()


async def test_a_cancelled_connect_leaves_no_socket_behind() -> None:
    with black_hole() as port:
        reached = asyncio.Event()
        spec = CameraSpec(f"rtsp://127.0.0.1:{port}/")
        gc.collect()  # what others have left goes before, and not meanwhile
        before = open_files()
        task = asyncio.create_task(
            preflight(spec, HERE, lambda phase: reached.set() if phase == "connecting" else None)
        )
        await reached.wait()
        assert open_files() == before + 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_files() == before
