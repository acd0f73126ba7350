"""What the camera says to each request, over a real socket."""

import asyncio
import struct
from collections.abc import AsyncIterator
from fractions import Fraction
from itertools import pairwise

import pytest

from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from tests.support.rtsp_client import TCP, Client

CLIP = ClipSettings(width=160, height=120, fps=Fraction(10), gop=0.5, bitrate=100_000)

pytestmark = pytest.mark.media


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        yield camera


@pytest.fixture
async def client(camera: Camera) -> AsyncIterator[Client]:
    async with Client(camera.url) as client:
        yield client


async def test_the_way_from_options_to_teardown(camera: Camera, client: Client) -> None:
    assert "DESCRIBE" in (await client.ask("OPTIONS")).headers["public"]
    described = await client.ask("DESCRIBE", Accept="application/sdp")
    assert described.headers["content-base"] == camera.url + "/"
    assert b"a=rtpmap:96 H264/90000\r\n" in described.body
    assert b"a=rtpmap:97 MPEG4-GENERIC/48000/1\r\n" in described.body
    assert (await client.setup(0)).headers["session"].endswith(";timeout=60")
    assert (await client.setup(1, "RTP/AVP/TCP;interleaved=2-3")).status == 200
    assert [list(session.legs) for session in camera.sessions] == [[0, 1]]
    assert (await client.ask("PLAY")).headers["range"] == "npt=now-"
    assert (await client.ask("GET_PARAMETER")).status == 200
    assert (await client.ask("TEARDOWN")).status == 200

    assert not camera.sessions
    assert (camera.connects, camera.teardowns) == (1, 1)
    assert [seen.method for seen in camera.requests] == [
        *("OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "GET_PARAMETER", "TEARDOWN")
    ]


async def test_rtp_begins_at_a_key_frame_with_the_numbers_that_play_named(client: Client) -> None:
    await client.setup(0)
    info = (await client.ask("PLAY")).headers["rtp-info"]
    first, second = (await client.hear(4))[:2]

    sequence, timestamp = struct.unpack(">HI", first[1][2:8])
    assert first[0] == 0
    assert first[1][12] & 0x1F == 7
    assert second[1][12] & 0x1F == 8
    assert info == f"url={client.url}/trackID=0;seq={sequence};rtptime={timestamp}"


async def test_a_sender_report_follows_the_first_picture(client: Client) -> None:
    await client.setup(0)
    await client.ask("PLAY")

    packets = await client.hear(8)

    assert 200 in [packet[1] for channel, packet in packets if channel == 1]


async def test_two_clients_see_the_same_picture_with_numbers_of_their_own(camera: Camera) -> None:
    async with Client(camera.url) as one, Client(camera.url) as two:
        for client in (one, two):
            await client.setup(0)
        await asyncio.gather(one.ask("PLAY"), two.ask("PLAY"))
        heard = await asyncio.gather(one.hear(5), two.hear(5))

    payloads = [[packet[12:] for channel, packet in packets if channel == 0] for packets in heard]
    assert payloads[0] == payloads[1]
    assert heard[0][0][1][8:12] != heard[1][0][1][8:12]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("DESCRIBE", "/other", {}, 404),
        ("SETUP", "/live/trackID=2", {"Transport": TCP}, 404),
        ("SETUP", "/live/trackID=x", {"Transport": TCP}, 404),
        ("SETUP", "/live", {"Transport": TCP}, 459),
        ("SETUP", "/live/trackID=0", {"Transport": "RTP/AVP;multicast"}, 461),
        ("SETUP", "/live/trackID=0", {}, 461),
        ("PLAY", "/live", {}, 454),
        ("PLAY", "/live", {"Session": "unknown"}, 454),
        ("TEARDOWN", "/live", {}, 454),
        ("DESCRIBE", "/live", {"Accept": "text/html"}, 406),
        ("DESCRIBE", "/live", {"Require": "x"}, 551),
        ("DESCRIBE", "/live", {"CSeq": ""}, 400),
        ("ANNOUNCE", "/live", {}, 405),
        ("NONSENSE", "/live", {}, 501),
    ],
)
async def test_what_cannot_be_done_has_its_status(
    camera: Camera, client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    url = camera.url.removesuffix("/live") + path

    assert (await client.ask(method, url, **headers)).status == status


async def test_a_track_cannot_be_set_up_while_the_session_plays(client: Client) -> None:
    await client.setup(0)
    await client.ask("PLAY")

    assert (await client.setup(1)).status == 455


async def test_pause_stops_the_packets_and_play_goes_on(camera: Camera, client: Client) -> None:
    await client.setup(0)
    await client.ask("PLAY")
    await client.hear(3)
    assert (await client.ask("PAUSE")).status == 200
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await client.hear(1)
    await client.ask("PLAY")

    assert (await client.hear(1))[0][1][12] & 0x1F == 7


async def test_nonsense_is_answered_and_the_connection_closed(camera: Camera, client: Client) -> None:
    client.writer.write(b"GET / HTTP/1.1\r\n\r\n")

    assert (await client.reply()).status == 400
    assert await client.reader.read() == b""


async def test_a_client_that_does_not_read_is_dropped_and_another_sees_every_packet() -> None:
    fat = ClipSettings(640, 480, Fraction(25), 0.5, 20_000_000, audio=False)
    async with Camera(CameraSettings(clip=fat, backlog_limit=10_000)) as camera:
        async with Client(camera.url) as slow, Client(camera.url) as quick:
            for client in (slow, quick):
                await client.setup(0)
                await client.ask("PLAY")
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stream's own transport
            async with asyncio.timeout(30):
                while camera.clients == 2:
                    await quick.hear(20)

        sequences = [int.from_bytes(packet[2:4]) for channel, packet in quick.packets if channel == 0]
        assert all((b - a) % 65536 == 1 for a, b in pairwise(sequences))


async def test_a_session_without_a_sign_of_life_ends_and_a_kept_one_lives() -> None:
    settings = CameraSettings(clip=CLIP, session_timeout=2)  # longer than this process ever stands still
    async with Camera(settings) as camera, Client(camera.url) as kept, Client(camera.url) as left:
        await kept.setup(0)
        await left.setup(0)
        async with asyncio.timeout(30):
            while camera.clients == 2:
                assert (await kept.ask("GET_PARAMETER")).status == 200

        assert await left.reader.read() == b""
        assert (await kept.ask("GET_PARAMETER")).status == 200


async def test_a_port_in_use_cannot_be_had(camera: Camera) -> None:
    with pytest.raises(OSError, match="in use"):
        async with Camera(CameraSettings(port=camera.port, clip=CLIP)):
            pass
