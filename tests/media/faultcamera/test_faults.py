"""The verbs: what each does to a client."""

import asyncio
import struct
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from media.faultcamera import faults
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.media.faultcamera.test_dialogue import CLIP
from tests.support.rtsp_client import Client

pytestmark = pytest.mark.media

SILENCE = 0.7  # seconds, longer than a GOP of the clip


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        yield camera


@pytest.fixture
async def client(camera: Camera) -> AsyncIterator[Client]:
    async with Client(camera.url) as client:
        yield client


async def nothing_comes(client: Client) -> bool:
    try:
        async with asyncio.timeout(SILENCE):
            await client.reader.readexactly(1)
    except TimeoutError:
        return True
    return False


def timestamps(client: Client) -> list[int]:
    return [int(struct.unpack(">I", packet[4:8])[0]) for channel, packet in client.packets if channel == 0]


async def test_drop_closes_every_connection_and_the_camera_goes_on(camera: Camera, client: Client) -> None:
    await client.ask("OPTIONS")
    camera.drop()

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask("OPTIONS")
    async with Client(camera.url) as again:
        assert (await again.ask("OPTIONS")).status == 200
    assert camera.connects == 2


async def test_a_stalled_camera_answers_and_sends_nothing_until_it_resumes(camera: Camera, client: Client) -> None:
    await client.setup(0)
    camera.stall()
    assert (await client.ask("PLAY")).status == 200
    assert await nothing_comes(client)
    assert (await client.ask("GET_PARAMETER")).status == 200
    camera.resume()

    assert (await client.hear(1))[0][1][12] & 0x1F == 7


async def test_refused_auth_is_401_to_everything_but_options(camera: Camera, client: Client) -> None:
    camera.refuse_auth()

    assert (await client.ask("OPTIONS")).status == 200
    assert (await client.ask("DESCRIBE")).status == 401


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
async def test_silence_holds_for_its_method_alone(camera: Camera, client: Client, method: str) -> None:
    camera.silent(method)
    client.say(method)

    assert await nothing_comes(client)
    assert (await client.ask("GET_PARAMETER")).status == 200


async def test_a_delay_answers_late(camera: Camera, client: Client) -> None:
    camera.delay("OPTIONS", 0.3)
    start = asyncio.get_running_loop().time()

    assert (await client.ask("OPTIONS")).status == 200
    assert asyncio.get_running_loop().time() - start >= 0.3


@pytest.mark.parametrize("status", [404, 453, 461, 503])
async def test_an_answer_is_given_instead(camera: Camera, client: Client, status: int) -> None:
    camera.answer("describe", status)

    assert (await client.ask("DESCRIBE")).status == status
    camera.heal()
    assert (await client.ask("DESCRIBE")).status == 200


async def test_a_refused_transport_is_461_and_the_other_is_taken(camera: Camera, client: Client) -> None:
    camera.refuse_transport("tcp")

    assert (await client.setup(0)).status == 461
    assert (await client.setup(0, "RTP/AVP/TCP, RTP/AVP;client_port=40000-40001")).status == 200


async def test_one_session_too_many_is_453(camera: Camera, client: Client) -> None:
    camera.limit_sessions(1)
    assert (await client.setup(0)).status == 200
    async with Client(camera.url) as second:
        assert (await second.setup(0)).status == 453
        await client.ask("TEARDOWN")
        assert (await second.setup(0)).status == 200


async def test_a_jump_of_the_clock_shows_in_the_timestamps_alone(camera: Camera, client: Client) -> None:
    await client.setup(0)
    await client.ask("PLAY")
    await client.hear(10)
    camera.jump_clock(-3600)
    await client.hear(30)

    times = timestamps(client)
    steps = {(b - a) % (1 << 32) for a, b in pairwise(times)} - {0}
    assert steps == {9_000, (9_000 - 3600 * 90_000) % (1 << 32)}


async def test_wrap_takes_timestamps_and_sequence_numbers_over_their_ends(camera: Camera, client: Client) -> None:
    camera.wrap(0.3)
    await client.setup(0)
    await client.ask("PLAY")
    await client.hear(40)

    times = timestamps(client)
    sequences = [int.from_bytes(packet[2:4]) for channel, packet in client.packets if channel == 0]
    assert times[0] == (1 << 32) - 27_000
    assert times[-1] < 10 * 90_000
    assert sequences[0] > 65_000
    assert sequences[-1] < 1_000


async def test_muted_audio_is_declared_and_never_sent(camera: Camera, client: Client) -> None:
    camera.mute_audio()
    await client.setup(0)
    await client.setup(1, "RTP/AVP/TCP;interleaved=2-3")
    await client.ask("PLAY")

    assert {channel for channel, _ in await client.hear(30)} <= {0, 1}


async def test_drop_each_closes_a_connection_after_its_play(camera: Camera, client: Client) -> None:
    camera.drop_each(0.2)
    await client.setup(0)
    await client.ask("PLAY")

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.hear(1000)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "unknown",
            "stall=1",
            "silent",
            "silent=DANCE",
            "delay=PLAY",
            "delay=PLAY:x",
            "delay=PLAY:-1",
            "delay=PLAY:nan",
        ),
        *(
            "answer=PLAY:200",
            "answer=PLAY:x",
            "refuse_transport=sctp",
            "limit_sessions=-1",
            "jump_clock=inf",
            "refuse_sound=200",
        ),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=f"fault '{text.partition('=')[0]}"):
        faults.apply(faults.Faults(), text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("delay=FOO:x", "a number of seconds"),
        ("drip=x", "a number of seconds"),
        ("lose=x", "a percentage"),
        ("answer=PLAY:x", "a whole number"),
        ("limit_sessions=x", "a whole number"),
    ],
)
def test_a_fault_that_wants_a_number_says_which(text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"fault '{text}': 'x': must be {wanted}$"):
        faults.apply(faults.Faults(), text)


def test_every_verb_can_be_written_down_and_healed() -> None:
    examples = {
        "HOW": "no_sprop",
        "URL": "rtsp://127.0.0.1:1/there",
        "METHOD": "PLAY",
        "METHOD:SECONDS": "PLAY:2",
        "METHOD:STATUS": "PLAY:503",
        "STATUS": "415",
        "tcp|udp": "udp",
    }
    for verb in faults.FAULTS.values():
        state = faults.Faults()
        value = examples.get(verb.value, "3")
        faults.apply(state, f"{verb.name}={value}" if verb.value else verb.name)
        assert verb.text
        if verb.name not in ("resume", "unmute_audio", "heal"):
            assert state != faults.Faults()
        state.heal()
        state.clock_offset = 0.0
        assert state == faults.Faults()
