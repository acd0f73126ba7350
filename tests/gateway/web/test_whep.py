"""WHEP: what is asked for and refused, and an independent client that decodes what it is sent."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import cast

import pytest
from aiohttp import ClientSession
from aiortc import RTCRtpReceiver
from yarl import URL

from gateway.app import Gateway
from gateway.auth.keys import KeyFile, Scope
from gateway.settings import Settings
from gateway.web.watch.play import Makers
from media.chunk import Init, VideoTrack
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.process.workers import Workers
from media.ring import LiveRing, RingLimits
from media.watch import whep
from media.watch.whep import Broadcasts, Offer, Rings, WhepSession
from tests.peers import chromium
from tests.peers.whep import WhepViewer
from tests.support.processes import only_worker, until
from tests.support.watching import FakeStreams, Server, an_app

SDP = {"Content-Type": "application/sdp"}


def a_ring(codec: str, offsets: tuple[int, ...] = (0, 0), size: int = 1) -> LiveRing:
    """A ring with one chunk of a picture of that codec."""
    ring = LiveRing(RingLimits(), lambda: 1_700_000_000.0)
    unit = size.to_bytes(4) + b"\x65" * size
    samples = [Sample(unit, 3600, number == 0, offset) for number, offset in enumerate(offsets)]
    init = Init(b"an init", VideoTrack(codec, 90_000, 640, 360), None)
    ring.append(init, 0, 3600 * len(samples), True, fmp4.fragment(1, 0, 0, samples))
    return ring


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The routes without any worker: `hevc`, `reordered` and `heavy` cannot go, `yard` could."""
    rings = {
        "hevc": a_ring("hvc1.1.6.L93.90"),
        "reordered": a_ring("avc1.64001f", (7200, 0)),
        "heavy": a_ring("avc1.640033", size=2_100_000),
        "yard": a_ring("avc1.1"),
    }
    workers = Workers()
    server = Server(an_app(FakeStreams(dict(rings)), makers=Makers(broadcasts=Broadcasts(workers))))
    await server.start_server()
    yield str(server.make_url("/live/"))
    await server.close()
    await workers.close()


@pytest.mark.parametrize(
    ("name", "headers", "status", "code"),
    [
        ("hevc", SDP, 422, "codec-unsupported"),
        ("reordered", SDP, 422, "codec-unsupported"),
        ("heavy", SDP, 422, "codec-unsupported"),
        ("nobody", SDP, 404, "not-found"),
        ("yard", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ("yard", SDP, 500, "worker-crashed"),  # no worker can be forked here
        ("yard", {"Content-Type": "application/sdp; charset=bogus"}, 500, "worker-crashed"),
    ],
)
async def test_what_cannot_go_is_refused_by_a_stable_code(
    address: str, name: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with ClientSession() as http, http.post(f"{address}{name}/whep", data="v=0", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)


async def test_an_offer_that_is_no_text_is_refused_and_one_that_does_not_come_is_not_waited_for(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence() -> AsyncIterator[bytes]:
        yield b"v"
        await asyncio.Event().wait()

    async with ClientSession() as http:
        for data, status, code in ((b"\xff\xfe", 400, "bad-request"), (silence(), 408, "too-slow")):
            async with asyncio.timeout(30), http.post(f"{address}yard/whep", data=data, headers=SDP) as answer:
                assert (answer.status, (await answer.json())["code"]) == (status, code)
            monkeypatch.setattr("gateway.web.body.BODY_LIMIT", 0.1)  # for the one that does not come


class Welcoming:
    """In the place of `Broadcasts`: takes every offer."""

    async def open(self, _name: str, _rings: Rings, offer: Offer) -> WhepSession:
        loop = asyncio.get_running_loop()
        session = WhepSession("s1", loop.create_future(), loop.create_future())
        session.answer.set_result(offer.sdp)
        return session


@pytest.mark.parametrize("token", ["a", "a%0d%0aX-Evil:%201", "a%26b%20c"])
async def test_a_token_that_nobody_has_checked_gets_into_no_header(token: str) -> None:
    makers = Makers(broadcasts=cast(Broadcasts, Welcoming()))
    server = Server(an_app(FakeStreams({"yard": a_ring("avc1.1")}), makers=makers))
    await server.start_server()
    url = URL(f"{server.make_url('/live/yard/whep')}?token={token}", encoded=True)
    async with ClientSession() as http, http.post(url, data="v=0", headers=SDP) as answer:
        assert (answer.status, answer.headers["Location"]) == (201, "/live/yard/whep/s1")
    await server.close()


async def test_without_the_extra_it_says_what_to_install(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whep, "is_installed", lambda: False)
    async with ClientSession() as http, http.post(f"{address}yard/whep", data="v=0", headers=SDP) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (501, "not-installed")
    assert "reelgate[webrtc]" in problem["detail"]


@asynccontextmanager
async def on_air(folder: Path, **settings: int) -> AsyncIterator[tuple[Gateway, ClientSession]]:
    """A gateway with a camera, `yard`."""
    paths = {name: folder / name for name in ("media_dir", "data_dir", "cache_dir")}
    made = Settings(http_port=0, camera_connect_timeout=30, **paths, **settings)  # type: ignore[arg-type]
    async with Camera(CameraSettings()) as camera, Gateway(made) as gateway, ClientSession() as http:
        body = {"uri": camera.url, "localStreamName": "yard"}
        # The address without a version waits for the end, however long a busy machine takes for its first worker.
        async with http.post(f"{gateway.url}/rest-api/rtsp/startup", json=body) as response:
            assert response.status == 200, await response.text()
        yield gateway, http


def viewers(gateway: Gateway) -> int:
    return next(gateway.catalog.streams()).viewers


@pytest.mark.media
async def test_aiortc_decodes_picture_and_sound_and_is_counted_until_it_leaves(tmp_path: Path) -> None:
    async with on_air(tmp_path, max_viewers_per_stream=1) as (gateway, http):
        url = f"{gateway.url}/live/yard/whep"
        async with WhepViewer(http, url) as viewer:
            answer = await viewer.post()
            assert answer.status == 201
            assert answer.content_type == "application/sdp"
            assert set(re.findall(r"a=rtpmap:\d+ (\w+)/", viewer.answer)) == {"H264", "rtx", "opus"}
            assert set(re.findall(r"a=candidate:.* udp \d+ (\S+)", viewer.answer)) == {"127.0.0.1"}
            await until(lambda: len(viewer.received["video"]) > 60 and len(viewer.received["audio"]) > 60, 30)
            frame, sound = viewer.received["video"][-1], viewer.received["audio"][-1]
            assert (frame.width, frame.height, sound.sample_rate) == (640, 360, 48_000)
            # A backlog at first, and then a picture every 40 ms but for what is late or won back.
            times = [each.time for each in viewer.received["video"]]
            steps = sorted(later - earlier for earlier, later in pairwise(times))
            assert steps[0] > 0
            assert 0.038 < median(steps[len(times) // 5 :]) < 0.042
            assert viewers(gateway) == 1
            async with WhepViewer(http, url) as second:
                refused = await second.post()
                assert (refused.status, (await refused.json())["code"]) == (503, "capacity-exceeded")
            async with http.delete(gateway.url + viewer.location) as deleted:
                assert deleted.status == 200
            await until(lambda: viewers(gateway) == 0)
            async with http.delete(gateway.url + viewer.location) as again:
                assert again.status == 404
        async with WhepViewer(http, url, kinds=("video",)) as silent:
            assert (await silent.post()).status == 201
            await until(lambda: len(silent.received["video"]) > 10, 30)
        # Gone without a DELETE: the camera's worker alone is left.
        await until(lambda: viewers(gateway) == 0 and gateway.workers.alive == 1, 60)


@pytest.mark.media
async def test_offers_that_make_no_sense_are_told_so_and_the_next_viewer_gets_his_picture(tmp_path: Path) -> None:
    async with on_air(tmp_path) as (gateway, http):
        camera = await only_worker(gateway.workers)
        url = f"{gateway.url}/live/yard/whep"
        for text in ("", "v=0", "\0" * 1000, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 50):
            async with http.post(url, data=text, headers=SDP) as answer:
                assert (answer.status, (await answer.json())["code"]) == (400, "bad-request"), text
        async with http.post(url, data="a" * 70_000, headers=SDP) as answer:
            assert answer.status == 413
        for method in ("GET", "PUT", "PATCH"):
            async with http.request(method, url) as answer:
                assert answer.status == 405
                assert "POST" in answer.headers["Allow"]
        async with http.options(url) as answer:
            assert (answer.status, answer.headers["Accept-Post"]) == (204, "application/sdp")
        async with WhepViewer(http, url) as viewer:
            capabilities = RTCRtpReceiver.getCapabilities("video")
            assert capabilities is not None
            only = [each for each in capabilities.codecs if each.mimeType == "video/VP8"]
            viewer.peer.getTransceivers()[0].setCodecPreferences(only)
            answer = await viewer.post()
            assert (answer.status, (await answer.json())["code"]) == (422, "codec-unsupported")
        assert viewers(gateway) == 0
        async with WhepViewer(http, url) as viewer:
            assert (await viewer.post()).status == 201
            await until(lambda: len(viewer.received["video"]) > 10, 30)
            # It may be the one that has refused VP8; its pid may come after its first pictures.
            await until(lambda: gateway.workers.alive == 2 and len(gateway.workers.pids()) == 3)
            (sender,) = set(gateway.workers.pids()[:-1]) - {camera}
            os.kill(sender, signal.SIGKILL)
            await until(lambda: viewers(gateway) == 0)
        async with WhepViewer(http, url) as viewer:
            assert (await viewer.post()).status == 201
            await until(lambda: len(viewer.received["video"]) > 10, 30)
            async with http.post(f"{gateway.url}/rest-api/v3/stream/terminate", json={"name": "yard"}) as stopped:
                assert stopped.status == 200
            await until(lambda: gateway.workers.alive == 0)


# What a client may get wrong of the parts of an offer and how they belong together (RFC 8843, RFC 8829).
INCOHERENT = {
    "no names of its parts": (r"a=mid:.*\r\n", ""),
    "no names and no group": (r"a=(mid|group):.*\r\n", ""),
    "one name twice": (r"a=mid:.*\r\n", "a=mid:0\r\n"),
    "a group of what is not there": (r"a=group:.*\r\n", "a=group:BUNDLE x 0 1\r\n"),
    "a group twice over": (r"a=group:.*\r\n", "a=group:BUNDLE 0 0 1\r\n"),
    "no login": (r"a=ice-.*\r\n", ""),
    "no certificate": (r"a=fingerprint.*\r\n", ""),
    "no role": (r"a=setup.*\r\n", ""),
}


@pytest.mark.media
@pytest.mark.parametrize("kinds", [("video", "audio"), ("video",)])
async def test_every_place_comes_back_of_offers_that_make_no_sense_in_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]
) -> None:
    monkeypatch.setattr(whep, "PEERS", 3)
    monkeypatch.setattr(whep, "SEATS", 3)  # none may be on its way out for ever
    async with on_air(tmp_path) as (gateway, http):
        camera = await only_worker(gateway.workers)
        url = f"{gateway.url}/live/yard/whep"
        async with WhepViewer(http, url, kinds) as good, WhepViewer(http, url, kinds) as model:
            assert (await good.post()).status == 201
            await until(lambda: gateway.workers.alive == 2 and len(gateway.workers.pids()) == 3)
            (sender,) = set(gateway.workers.pids()[:-1]) - {camera}
            sdp, sockets = await model.offer(), open_sockets(sender)
            for what, (pattern, instead) in INCOHERENT.items():
                for _ in range(2):
                    async with http.post(url, data=re.sub(pattern, instead, sdp), headers=SDP) as answer:
                        assert answer.status in (201, 400), (what, await answer.text())
                        location = answer.headers.get("Location")
                    if location:
                        async with http.delete(gateway.url + location) as deleted:
                            assert deleted.status in (200, 404), what
                    await until(lambda: viewers(gateway) == 1, 30)
                    await until(lambda: open_sockets(sender) <= sockets, 30)
            await until(lambda: len(good.received["video"]) > 10, 30)
            async with WhepViewer(http, url, kinds) as late:
                assert (await late.post()).status == 201
                await until(lambda: len(late.received["video"]) > 10, 30)


def open_sockets(pid: int) -> int:
    """How many sockets a process has."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(each.readlink()).startswith("socket:")
    return found


@pytest.mark.media
async def test_with_keys_on_a_play_token_in_the_address_opens_and_ends_a_session(tmp_path: Path) -> None:
    async with on_air(tmp_path) as (gateway, http):
        KeyFile(gateway.settings.keys_file).make("control", (Scope.CONTROL,))
        gateway.reload()
        url = f"{gateway.url}/live/yard/whep"
        async with WhepViewer(http, url) as stranger:
            assert (await stranger.post()).status == 401
        token = gateway.access.tokens.sign("yard", 2_000_000_000)
        async with WhepViewer(http, f"{url}?token={token}") as viewer:
            assert (await viewer.post()).status == 201
            await until(lambda: len(viewer.received["video"]) > 10, 30)
            http.cookie_jar.clear()
            async with http.delete(gateway.url + viewer.location.partition("?")[0]) as answer:
                assert answer.status == 401
            async with http.delete(gateway.url + viewer.location) as answer:
                assert answer.status == 200


@pytest.mark.media
@pytest.mark.debian
async def test_chromium_plays_the_page_by_webrtc_where_it_has_no_mse_and_when_asked(tmp_path: Path) -> None:
    async with on_air(tmp_path) as (gateway, _), chromium.viewer(f"{gateway.url}/live/yard/?via=webrtc") as viewer:
        await viewer.plays_on(1, limit=40)
        await viewer.page.wait_for_selector("#badge:text('Live')")
        assert await viewer.page.inner_text("#transport") == "WebRTC"
        await viewer.page.wait_for_selector("#codec:text-is('H264, opus')")
        await viewer.page.wait_for_selector("#latency:text-matches('[0-9] s$')")
        assert viewer.complaints == []
        await viewer.page.click("#play")
        await until(lambda: viewers(gateway) == 0, 30)
        await viewer.page.click("#play")
        await viewer.plays_on(1, limit=40)
        await viewer.page.context.add_init_script("delete window.MediaSource")
        await viewer.page.goto(f"{gateway.url}/live/yard/")
        await viewer.plays_on(1, limit=40)
        assert await viewer.page.inner_text("#transport") == "WebRTC"
        await viewer.page.goto("about:blank")
        # It says goodbye; where that is lost with the page, it is missed after half a minute.
        await until(lambda: viewers(gateway) == 0, 60)


@pytest.mark.media
@pytest.mark.debian
async def test_with_keys_on_the_page_hands_its_token_to_all_that_it_fetches_until_that_ends(tmp_path: Path) -> None:
    async with on_air(tmp_path) as (gateway, _):
        keys = KeyFile(gateway.settings.keys_file)
        keys.make("control", (Scope.CONTROL,))
        portal, _ = keys.make("portal", (Scope.PLAY,))
        gateway.reload()
        token = gateway.access.token("yard", 2_000_000_000, portal)
        asked: list[str] = []
        async with chromium.viewer("about:blank") as viewer:
            viewer.page.on("request", lambda request: asked.append(request.url))
            viewer.page.on("websocket", lambda socket: asked.append(socket.url))
            for way in ("webrtc", "mse"):
                await viewer.page.goto(f"{gateway.url}/live/yard/?token={token}&via={way}")
                await viewer.plays_on(1, limit=40)
            assert viewer.complaints == []
            # There is a cookie too, but a frame of another site has none.
            fetched = [url for url in asked if "/live/yard/" in url]
            ways = {url.partition("?")[0].partition("/live/yard/")[2].partition("/")[0] for url in fetched}
            assert ways == {"", "mse", "whep"}  # a session's own address counts as whep: where it was lost, it is ended
            assert all(f"?token={token}" in url for url in fetched)
            keys.revoke("portal")
            gateway.reload()
            await viewer.page.wait_for_selector("#badge:text('Locked')")
            await until(lambda: viewers(gateway) == 0, 60)


@pytest.mark.media
@pytest.mark.soak
async def test_who_vanishes_without_a_word_or_never_comes_is_given_up(tmp_path: Path) -> None:
    async with on_air(tmp_path) as (gateway, http):
        url = f"{gateway.url}/live/yard/whep"
        never = WhepViewer(http, url)
        async with never:
            async with http.post(url, data=await never.offer(), headers=SDP) as answer:
                assert answer.status == 201
            async with WhepViewer(http, url) as viewer:
                assert (await viewer.post()).status == 201
                await until(lambda: len(viewer.received["video"]) > 10, 30)
                assert viewers(gateway) == 2
                await until(lambda: viewers(gateway) == 1, 30)
                sender = viewer.peer.getTransceivers()[0].receiver.transport.transport
                for protocol in sender._connection._protocols:
                    protocol.transport.abort()
                await until(lambda: viewers(gateway) == 0, 60)
