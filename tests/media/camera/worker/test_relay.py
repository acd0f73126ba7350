"""The relay between FFmpeg and a camera: nobody else gets in, and messages are cut where they end."""

import asyncio
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from media.camera.spec import CameraSpec
from media.camera.worker import relay
from media.camera.worker.relay import Relay
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings, ClipSettings
from media.net.secrets import Secret
from tests.support.processes import open_files, until

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
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
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


class Tls:
    """The camera's end of TLS 1.3, whose records can be sent in pieces."""

    def __init__(self, wire: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        self._wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def greet(self) -> None:
        """The handshake, and session tickets behind it."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._wire.sendall(self._out.read())
                self._take()
        self._wire.sendall(self._out.read())

    def record(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def hear(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._take()

    def _take(self) -> None:
        data = self._wire.recv(65536)
        assert data, "the relay has hung up"
        self._in.write(data)


def test_requests_pass_while_a_camera_behind_tls_has_sent_half_a_record() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor(1) as pool:
        uri = f"rtsps://127.0.0.1:{door.getsockname()[1]}/live"
        making = pool.submit(Relay, CameraSpec(uri, "u", Secret("p"), address="127.0.0.1", relay=True))
        wire, _ = door.accept()
        with wire:
            wire.settimeout(30)
            camera = Tls(wire)
            camera.greet()
            made = making.result(30)
            place = urlsplit(made.url)
            with socket.create_connection(("127.0.0.1", place.port or 0), 30) as viewer:
                whole, cut = camera.record(FRAME), camera.record(ANSWER)
                wire.sendall(whole + cut[:20])
                assert viewer.recv(len(FRAME), socket.MSG_WAITALL) == FRAME
                for number in (1, 2):  # the first may have come before the half was looked at
                    viewer.sendall(f"OPTIONS {made.url} RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
                    assert camera.hear() == f"OPTIONS {uri} RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode()
                wire.sendall(cut[20:])
                assert viewer.recv(len(ANSWER), socket.MSG_WAITALL) == ANSWER
            made.close(1.0)
