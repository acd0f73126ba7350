"""A camera does not choose where the gateway sends: what its answer to SETUP says of hosts is not followed."""

import random
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

import pytest

from media.faultcamera.rtsp.message import CameraResponse as Said
from media.faultcamera.rtsp.message import Request
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from tests.support.api import Api
from tests.support.processes import until
from tests.support.torture_cameras import start, status_becomes

pytestmark = pytest.mark.media

CAMERA, GATEWAY, STRANGER = "127.0.0.3", "127.0.0.1", "127.0.0.2"
SETTINGS = CameraSettings(host=CAMERA, clip=ClipSettings(160, 120, audio=False))

Ears = dict[str, list[socket.socket]]


@contextmanager
def ears() -> Iterator[tuple[int, Ears]]:
    """A pair of UDP ports, free on three addresses, and sockets that listen there."""
    for _ in range(50):
        port = random.randrange(20_000, 60_000, 2)
        with ExitStack() as stack:
            found: Ears = {host: [] for host in (CAMERA, GATEWAY, STRANGER)}
            try:
                for host, sockets in found.items():
                    for each in (port, port + 1):
                        ear = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                        ear.setblocking(False)
                        ear.bind((host, each))
                        sockets.append(ear)
            except OSError:
                continue
            yield port, found
            return
    raise AssertionError("no ports are free")


def heard(sockets: list[socket.socket]) -> int:
    """How many of them have something to read."""
    count = 0
    for each in sockets:
        try:
            each.recv(2048, socket.MSG_PEEK)
            count += 1
        except BlockingIOError:
            continue
    return count


@asynccontextmanager
async def camera_that_says(transport: Callable[[str], str]) -> AsyncIterator[Camera]:
    """A camera whose Transport headers are changed on their way out."""
    async with Camera(SETTINGS) as camera:
        honest = camera._methods.answer

        async def answer(request: Request, owner: object) -> Said:
            said = await honest(request, owner)  # type: ignore[arg-type]
            headers = [(name, transport(value) if name == "Transport" else value) for name, value in said.headers]
            return replace(said, headers=tuple(headers))

        camera._methods.answer = answer  # type: ignore[method-assign]
        yield camera


@pytest.mark.parametrize("lie", ["", f";source={STRANGER}", f";source={STRANGER};destination={STRANGER}"])
async def test_by_udp_rtcp_goes_to_the_checked_address_whatever_the_camera_calls_its_source(api: Api, lie: str) -> None:
    with ears() as (port, found):

        def says(value: str) -> str:
            return re.sub(r"server_port=\S+?(?=;)", f"server_port={port}-{port + 1}", value) + lie

        async with camera_that_says(says) as peer:
            opened = await start(api, peer.url, transport="udp")
            assert (opened.status, opened.body["transport"]) == (200, "udp")
            await until(lambda: heard(found[CAMERA]) == 2)
            assert (heard(found[STRANGER]), heard(found[GATEWAY])) == (0, 0)
            await api.post("/rtsp/terminate", {"localStreamName": "cam"})
            await until(lambda: peer.teardowns == 1)


@pytest.mark.parametrize("asked", ["tcp", "udp"])
@pytest.mark.parametrize(
    "way",
    [
        "RTP/AVP;unicast;client_port=5000-5001;source={host};server_port={port}-{more}",
        "RTP/AVP;multicast;destination={host};port={port}-{more};ttl=1;source={host}",
        "RTP/AVP/TCP;unicast;interleaved=0-1;source={host},RTP/AVP;unicast;source={host};server_port={port}-{more}",
        "RAW/RAW/UDP;unicast;source={host};server_port={port}-{more}",
    ],
)
async def test_a_way_that_was_not_asked_for_is_not_taken_and_nothing_is_sent_by_it(
    api: Api, asked: str, way: str
) -> None:
    with ears() as (port, found):
        text = way.format(host=STRANGER, port=port, more=port + 1)
        async with camera_that_says(lambda _: text) as peer:
            opened = await start(api, peer.url, transport=asked)
            assert opened.status in (200, 502, 504, 422), opened.body
            if opened.status == 200:
                await status_becomes(api, "LIVE")
                await api.post("/rtsp/terminate", {"localStreamName": "cam"})
            assert (heard(found[STRANGER]), heard(found[GATEWAY])) == (0, 0)


async def test_a_camera_of_ipv6_is_opened_by_udp_and_by_tcp(api: Api) -> None:
    async with Camera(replace(SETTINGS, host="::1")) as peer:
        for way in ("udp", "tcp"):
            opened = await start(api, f"rtsp://[::1]:{peer.port}/live", way, transport=way)
            assert (opened.status, opened.body["transport"]) == (200, way)
            await api.post("/rtsp/terminate", {"localStreamName": way})
