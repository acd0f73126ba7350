"""The relay between FFmpeg and a camera: nobody else gets in, and messages are cut where they end."""

import asyncio
import socket
import threading
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import relay
from media.camera.server import Camera
from media.camera.settings import CameraSettings, ClipSettings
from media.relay import Relay
from media.spec import CameraSpec, Secret
from tests.media.processes import open_files, until

FRAME = b"$\0\0\4RTP!"
ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\n$body"
BARE = b"RTSP/1.0 200 OK\nCSeq: 2\n\n"
MESSAGES = st.lists(st.sampled_from([FRAME, ANSWER, BARE, b"$\1\0\0"]), max_size=6)


@given(MESSAGES, st.integers(0, 200))
def test_only_whole_messages_are_passed_on(messages: list[bytes], cut: int) -> None:
    stream = b"".join(messages)
    part = stream[:cut]
    found = []
    at = 0
    while end := relay._message_end(part, at):
        found.append(part[at:end])
        at = end
    assert found == messages[: len(found)]
    assert len(part) - at < max(map(len, messages), default=1)  # what is left is less than a message


def test_what_means_nothing_is_passed_on_up_to_what_may() -> None:
    assert relay._message_end(b"\r\n\r\n" + FRAME) == 4
    assert relay._message_end(b"\0\1\2\3\4") == 5


@pytest.mark.parametrize(
    "flood", [b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 4000, b"RTSP/1.0 200 OK\r\nContent-Length: 99999\r\n\r\n"]
)
def test_a_message_over_the_limit_is_the_end(flood: bytes) -> None:
    with pytest.raises(relay._Over):
        relay._message_end(flood)


@pytest.mark.media
async def test_a_stranger_on_this_machine_gets_nothing_of_the_camera() -> None:
    settings = CameraSettings(user="u", password="p", auth="digest-sha256", clip=ClipSettings(audio=False))
    async with Camera(settings) as camera:
        spec = CameraSpec(camera.url, "u", Secret("p"), address="127.0.0.1", relay=True)
        await asyncio.to_thread(int)  # its thread stays
        files = open_files()
        made = await asyncio.to_thread(Relay, spec)
        port = urlsplit(made.url).port
        assert port is not None

        def stranger() -> bytes:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(f"OPTIONS rtsp://127.0.0.1:{port}/guess RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
                try:
                    return connection.recv(100)
                except ConnectionError:
                    return b""

        assert await asyncio.to_thread(stranger) == b""
        await asyncio.to_thread(made.close, 1.0)
        assert not camera.requests
        await until(lambda: open_files() <= files)  # the camera sees the end a moment later
        assert not any(each.name == "relay" for each in threading.enumerate())
