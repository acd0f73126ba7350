"""Watching over HTTP: playlists, segments, pages."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import Handler
from pytest_aiohttp import AiohttpClient

from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import Makers, PlayLimits
from media.pictures.stills import Format, Still, Stills
from media.process.workers import Workers
from media.ring import Ring, RingLimits
from tests.support.feeding import Feeder, an_init
from tests.support.hls_checker import PlaylistChecker, parse_multivariant
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

Client = TestClient[Any, Any]


async def code_of(client: Client, path: str) -> tuple[int, str]:
    async with client.get(path) as response:
        return response.status, (await response.json())["code"]


async def test_a_client_finds_its_way_from_the_multivariant_playlist_to_the_bytes(
    client: Client, streams: FakeStreams
) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed_until(3)
    attributes, uri = parse_multivariant(await (await client.get("/live/yard/index.m3u8")).text())
    assert uri == "media.m3u8"
    assert attributes["RESOLUTION"] == "640x360"
    assert attributes["BANDWIDTH"] == attributes["AVERAGE-BANDWIDTH"] == "2000"  # 5 chunks of 100 bytes in 2 s
    playlist = PlaylistChecker().load(await (await client.get("/live/yard/media.m3u8")).text())
    assert len(playlist.entries) == 3
    init = await client.get(f"/live/yard/{playlist.entries[0].map_uri}")
    assert await init.read() == feeder.init.data
    assert init.content_type == "video/mp4"
    segment = await client.get(f"/live/yard/{playlist.entries[1].uri}")
    assert await segment.read() == b"".join(f"{number:08d}".encode().ljust(100, b".") for number in range(5, 10))
    assert segment.headers["Content-Length"] == "500"


async def test_playlists_are_never_cached_and_what_they_list_is(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard")).feed_until(1)
    for path in ("index.m3u8", "media.m3u8"):
        response = await client.get(f"/live/yard/{path}")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.content_type == "application/vnd.apple.mpegurl"
    for path in (f"init-{an_init().id}.mp4", "segment-0.m4s"):
        response = await client.get(f"/live/yard/{path}")
        assert response.headers["Cache-Control"] == "max-age=3600, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_successive_loads_of_the_playlist_agree(client: Client, streams: FakeStreams) -> None:
    ring = streams.add("yard")
    feeder, checker = Feeder(ring), PlaylistChecker()
    feeder.feed_until(1)
    for turn in range(20):
        feeder.feed(4)
        checker.load(await (await client.get("/live/yard/media.m3u8")).text())
        if turn % 6 == 5:
            feeder.skip(2)
    ring.close()
    assert checker.load(await (await client.get("/live/yard/media.m3u8")).text()).ended


async def test_a_segment_that_just_left_the_playlist_can_still_be_fetched(client: Client, streams: FakeStreams) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed_until(8)
    oldest = PlaylistChecker().load(await (await client.get("/live/yard/media.m3u8")).text()).entries[0]
    feeder.feed(5 * 4)
    assert (await client.get(f"/live/yard/{oldest.uri}")).status == 200
    feeder.feed(5 * 4)
    assert await code_of(client, f"/live/yard/{oldest.uri}") == (404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/live/nobody/index.m3u8",
        "/live/nobody/media.m3u8",
        "/live/nobody/segment-0.m4s",
        "/live/yard/segment-999.m4s",
        "/live/yard/segment-2.m4s",  # the open one
        "/live/yard/init-0123456789ab.mp4",
        "/assets/../play.py",
        "/assets/secrets.txt",
    ],
)
async def test_what_is_not_there_is_a_404(client: Client, streams: FakeStreams, path: str) -> None:
    Feeder(streams.add("yard")).feed_until(2)
    response = await client.get(path)
    assert response.status == 404


async def test_the_multivariant_playlist_is_zipped_for_who_accepts_it(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard")).feed_until(8)
    zipped = await client.get("/live/yard/media.m3u8", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/live/yard/media.m3u8", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert await zipped.text() == await plain.text()


async def test_names_are_percent_encoded_path_segments(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("Hof & Garten ä{1}%")).feed_until(1)
    quoted = "/live/Hof%20%26%20Garten%20%C3%A4%7B1%7D%25/media.m3u8"
    async with ClientSession() as session:
        response = await session.get(str(client.make_url("/")).rstrip("/") + quoted)
        assert response.status == 200


async def test_head_of_a_segment_has_its_length_and_no_bytes(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard")).feed_until(1)
    response = await client.head("/live/yard/segment-0.m4s")
    assert (response.status, response.headers["Content-Length"]) == (200, "500")
    assert (await client.get("/live/yard/segment-0.m4s")).status == 200


async def test_the_address_without_its_slash_leads_to_the_player(client: Client, streams: FakeStreams) -> None:
    streams.add("my yard")
    response = await client.get("/live/my yard?embed=1", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (308, "/live/my%20yard/?embed=1")
    assert (await client.get("/live/yard.mp4", allow_redirects=False)).status == 404


async def test_the_player_is_sent_for_any_name_with_an_honest_status(client: Client, streams: FakeStreams) -> None:
    streams.add("yard")
    for name, status in (("yard", 200), ("nobody", 404)):
        response = await client.get(f"/live/{name}/")
        assert response.status == status
        assert response.content_type == "text/html"
        assert 'src="../../assets/player.js"' in await response.text()


@pytest.mark.parametrize("path", ["/live/yard/", "/assets/player.js", "/assets/base.css", "/assets/logo.svg"])
async def test_pages_allow_no_inline_code_and_no_sniffing(client: Client, streams: FakeStreams, path: str) -> None:
    streams.add("yard")
    response = await client.get(path)
    assert response.status == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    text = await response.text()
    assert "style=" not in text or response.content_type != "text/html"
    assert "<script>" not in text


async def test_assets_have_their_own_types(client: Client) -> None:
    expected = {"player.js": "text/javascript", "base.css": "text/css", "logo.svg": "image/svg+xml"}
    for name, kind in expected.items():
        assert (await client.get(f"/assets/{name}")).content_type == kind


async def test_a_playlist_is_held_until_one_whole_segment_exists(client: Client, streams: FakeStreams) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed(4)
    held = asyncio.create_task(client.get("/live/yard/media.m3u8"))
    await until(lambda: feeder.ring.waiting > 0)
    feeder.feed(1)
    await asyncio.sleep(0)
    assert not held.done()
    feeder.feed(1)
    response = await held
    assert len(PlaylistChecker().load(await response.text()).entries) == 1


@pytest.mark.looptime
@pytest.mark.parametrize("path", ["index.m3u8", "media.m3u8"])
async def test_after_ten_seconds_the_held_playlist_is_a_503(path: str) -> None:
    streams = FakeStreams()
    ring = streams.add("yard")
    Feeder(ring).feed(2)
    loop = asyncio.get_running_loop()
    async with TestClient(Server(an_app(streams))) as client:
        began = loop.time()
        response = await client.get(f"/live/yard/{path}")
        assert response.status == 503
        assert (await response.json())["code"] == "no-keyframe-yet"
        assert response.headers["Retry-After"] == "2"
        assert loop.time() - began == pytest.approx(10, abs=0.5)
    assert ring.waiting == 0


async def test_a_held_playlist_goes_on_with_the_ring_of_a_reconnect(client: Client, streams: FakeStreams) -> None:
    old = streams.add("yard")
    held = asyncio.create_task(client.get("/live/yard/media.m3u8"))
    await until(lambda: old.waiting > 0)
    Feeder(streams.add("yard")).feed_until(1)
    old.close()
    assert (await held).status == 200


async def test_a_stream_that_comes_back_after_a_restart_is_waited_for_and_not_unknown(
    client: Client, streams: FakeStreams
) -> None:
    streams.coming.add("yard")
    assert await code_of(client, "/live/yard/segment-1.m4s") == (503, "no-keyframe-yet")
    assert (await client.get("/live/yard/")).status == 200
    held = asyncio.create_task(client.get("/live/yard/media.m3u8"))
    await until(lambda: streams.looked > 2)
    Feeder(streams.add("yard")).feed_until(3)
    assert (await held).status == 200


async def test_while_the_gateway_ends_all_that_is_asked_for_of_a_stream_is_told_so(
    client: Client, streams: FakeStreams
) -> None:
    Feeder(streams.add("yard")).feed_until(3)
    streams.leaving = True
    for path in ("index.m3u8", "media.m3u8", "segment-0.m4s", "part-0.m4s"):
        assert await code_of(client, f"/live/yard/{path}") == (503, "draining")
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect("/live/yard/mse")
    assert refused.value.status == 503
    assert (await client.get("/live/yard/")).status == 503


@pytest.mark.parametrize("cancels", [False, True])
async def test_clients_that_vanish_from_a_held_playlist_leave_no_waiter(
    aiohttp_client: AiohttpClient, streams: FakeStreams, cancels: bool
) -> None:
    under_way: list[str] = []

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        under_way.append(request.path)
        try:
            return await handler(request)
        finally:
            under_way.pop()

    app = an_app(streams, PlayLimits(hold=60, viewer=ViewerLimits(tick=0.05)))
    app.middlewares.append(counted)
    client: Client = await aiohttp_client(Server(app, cancels))
    ring = streams.add("yard")
    writers = []
    for _ in range(50):
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /live/yard/media.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
        writers.append(writer)
    await until(lambda: len(under_way) == 50)
    for writer in writers:
        writer.close()
    await until(lambda: not under_way)
    assert ring.waiting == 0


async def test_a_segment_is_sent_whole_even_when_it_leaves_the_ring_meanwhile(
    client: Client, streams: FakeStreams
) -> None:
    feeder = Feeder(streams.add("yard", RingLimits(window=1, spare=0)), payload=1_000_000)
    feeder.feed_until(1)
    response = await client.get("/live/yard/segment-0.m4s")
    feeder.feed(5 * 5)
    assert len(await response.read()) == 5_000_000


async def test_a_client_that_takes_no_segment_is_cut_off(aiohttp_client: AiohttpClient, streams: FakeStreams) -> None:
    client: Client = await aiohttp_client(Server(an_app(streams, PlayLimits(fetch=0.2))))
    Feeder(streams.add("yard"), payload=4_000_000).feed_until(1)
    reader, writer = await asyncio.open_connection(client.host, client.port, limit=1_000)
    writer.write(b"GET /live/yard/segment-0.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()
    await asyncio.sleep(0.5)
    transport.resume_reading()
    taken = 0
    with suppress(ConnectionError):
        while block := await reader.read(1 << 20):
            taken += len(block)
    writer.close()
    assert taken < 20_000_000


class Taker(Stills):
    """Takes the same picture of everything that has a key frame."""

    def __init__(self, workers: Workers, wall: Callable[[], float]) -> None:
        super().__init__(workers, wall)
        self.asked: list[tuple[int | None, str]] = []

    async def take(self, ring: Ring, format_: Format = "jpeg", width: int | None = None, viewer: str = "") -> Still:
        assert ring.newest_key() is not None
        self.asked.append((width, viewer))
        return Still(b"a picture", 640, 360, format_, 1_700_000_000.0)


async def test_pictures_come_in_few_widths_none_wider_than_what_is_asked_for(streams: FakeStreams) -> None:
    taker = Taker(Workers(), lambda: 1_700_000_001.0)
    Feeder(streams.add("yard")).feed()
    async with TestClient(Server(an_app(streams, makers=Makers(stills=taker)))) as client:
        for width in (16, 79, 80, 479, 480, 500, 3840):
            assert (await client.get(f"/live/yard.jpg?width={width}")).status == 200
        assert (await client.get("/live/yard.jpg")).status == 200
    assert [width for width, _ in taker.asked] == [16, 16, 80, 320, 480, 480, 3840, None]
    assert {viewer for _, viewer in taker.asked} == {"127.0.0.1"}  # nobody here has a key or a token


async def test_a_picture_that_is_asked_for_before_the_first_key_frame_comes_with_it(streams: FakeStreams) -> None:
    app = an_app(streams, makers=Makers(stills=Taker(Workers(), lambda: 1_700_000_001.0)))
    feeder = Feeder(streams.add("yard"))
    async with TestClient(Server(app)) as client:
        asked = asyncio.create_task(client.get("/live/yard.jpg"))
        await until(lambda: feeder.ring.waiting == 1)
        feeder.feed()
        assert await (await asked).read() == b"a picture"


@pytest.mark.looptime
async def test_a_picture_that_does_not_come_is_told_after_two_seconds(streams: FakeStreams) -> None:
    streams.add("yard")
    loop = asyncio.get_running_loop()
    app = an_app(streams, makers=Makers(stills=Taker(Workers(), lambda: 1_700_000_001.0)))
    async with TestClient(Server(app)) as client:
        began = loop.time()
        assert await code_of(client, "/live/yard.jpg") == (503, "no-keyframe-yet")
        assert loop.time() - began == pytest.approx(2, abs=0.1)
