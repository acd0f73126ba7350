"""How FFmpeg is asked to open a camera."""

import errno
import socket
import threading
from contextlib import suppress
from typing import Any

import pytest

from media.camera.spec import CameraSpec, Transport
from media.camera.worker import opening
from media.camera.worker.opening import OpenedCamera
from media.camera.worker.tcp_handle import TcpHandle
from media.faults import Fault


class Quiet:
    """In the place of FFmpeg's log, which a process has but one of."""

    refused = None

    def __init__(self, *_: object) -> None:
        pass

    def losses(self, *, wanted: bool) -> None:
        """There are none."""


class NoRelay:
    """In the place of a relay, which would connect."""

    url = "rtsp://127.0.0.1:1/secret"
    redirected = False

    def __init__(self, camera: CameraSpec) -> None:
        self.camera = camera

    def close(self, _: float) -> None:
        """Nothing is open."""


def asked_with(monkeypatch: pytest.MonkeyPatch, camera: CameraSpec) -> tuple[str, dict[str, str]]:
    """The address and the options with which FFmpeg is to open it."""
    asked: list[tuple[str, dict[str, str]]] = []

    def refuse(url: str, options: dict[str, str], **_: Any) -> None:
        asked.append((url, options))
        raise OSError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr("av.open", refuse)
    monkeypatch.setattr(opening, "FfmpegLog", Quiet)
    monkeypatch.setattr(opening, "Relay", NoRelay)
    with pytest.raises(Fault):
        OpenedCamera(camera, lambda: None, lambda _: None)
    return asked[0]


@pytest.mark.parametrize(("scheme", "allowed"), [("rtsp", "rtsp,rtsps,tcp,tls"), ("rtsps", "rtsps,tcp,tls")])
def test_ffmpeg_is_told_not_to_verify_a_certificate_and_may_open_no_udp(
    monkeypatch: pytest.MonkeyPatch, scheme: str, allowed: str
) -> None:
    url, options = asked_with(
        monkeypatch, CameraSpec(f"{scheme}://c.example/live", transport="tcp", address="192.0.2.7")
    )
    assert url == f"{scheme}://192.0.2.7/live"
    assert options["tls_verify"] == "0"  # FFmpeg 9 would verify by itself
    assert options["protocol_whitelist"] == allowed


@pytest.mark.parametrize(
    ("uri", "transport", "verify", "allowed"),
    [("rtsp://c.example/", "udp", False, "tcp,rtp,udp"), ("rtsps://c.example/", "tcp", True, "tcp")],
)
def test_by_udp_and_where_a_certificate_is_to_be_verified_ffmpeg_meets_the_relay_alone(
    monkeypatch: pytest.MonkeyPatch, uri: str, transport: Transport, verify: bool, allowed: str
) -> None:
    camera = CameraSpec(uri, "u", transport=transport, address="192.0.2.7", tls_verify=verify)
    url, options = asked_with(monkeypatch, camera)
    assert url == NoRelay.url
    assert options["protocol_whitelist"] == allowed  # without rtsp it follows no redirect


class Talker:
    """In the place of FFmpeg: its goodbye waits until the camera reads, which it does not."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def close(self) -> None:
        with suppress(OSError):
            while True:
                self._connection.sendall(bytes(1 << 20))


def test_a_camera_that_has_stopped_reading_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as camera, socket.create_connection(camera.getsockname()) as ffmpeg:
        monkeypatch.setattr("av.open", lambda *_, **__: Talker(ffmpeg))
        monkeypatch.setattr(opening, "FfmpegLog", Quiet)
        monkeypatch.setattr(TcpHandle, "find", lambda: TcpHandle(ffmpeg.dup()))
        spec = CameraSpec("rtsp://c.example/live", transport="tcp", address="127.0.0.1")
        opened = OpenedCamera(spec, lambda: None, lambda _: None)
        opened.check()
        closing = threading.Thread(target=opened.close, args=(0.0,), daemon=True)
        closing.start()
        closing.join(30)
        assert not closing.is_alive()
