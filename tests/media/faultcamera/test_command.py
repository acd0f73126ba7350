"""The command: the ready line, the exit codes, the commands of standard input."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from media.faultcamera.process import READY, CameraProcess

pytestmark = pytest.mark.media

SMALL = ("--size", "160x120", "--fps", "10", "--no-audio", "--bitrate", "100000")
LIMIT = 60.0  # seconds


def command(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "media.faultcamera", *SMALL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraProcess]:
    with CameraProcess(*SMALL) as camera:
        yield camera


def ask(url: str, method: str) -> bytes:
    host, port = url.removeprefix("rtsp://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port)), LIMIT) as connection:
        connection.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        return connection.recv(65536)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_camera_with_code_0_and_without_a_word(number: signal.Signals) -> None:
    with command("--port", "0", "--path", "/a/b") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(READY + "rtsp://127.0.0.1:")
        assert line.endswith("/a/b\n")
        process.send_signal(number)
        out, error = process.communicate(timeout=LIMIT)

    assert (process.returncode, out, error) == (0, "", "")


def test_a_port_in_use_ends_with_code_2_and_says_which() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with command("--port", str(port)) as process:
            out, error = process.communicate(timeout=LIMIT)

    assert (process.returncode, out) == (2, "")
    assert error.startswith(f"camera: cannot listen on 127.0.0.1 port {port}: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--size", "7x7"], "size"),
        (["--size", "big"], "--size"),
        (["--fps", "1/0"], "--fps"),
        (["--fps", "1000"], "fps"),
        (["--path", "live"], "path"),
        (["--fault", "flood"], "'flood' is not known"),
        (["--fault", "silent=DANCE"], "DANCE"),
        (["--auth", "ntlm"], "--auth"),
        (["--password", "x"], "user"),
    ],
)
def test_bad_arguments_end_with_code_2_and_a_reason(arguments: list[str], reason: str) -> None:
    with command(*arguments) as process:
        out, error = process.communicate(timeout=LIMIT)

    assert (process.returncode, out) == (2, "")
    assert reason in error.splitlines()[-1]


def test_a_fault_is_in_force_when_the_command_returns_and_can_be_taken_back(camera: CameraProcess) -> None:
    before = camera.report()
    camera.do("answer=DESCRIBE:503")
    assert ask(camera.url, "DESCRIBE").startswith(b"RTSP/1.0 503 ")
    camera.do("heal")
    assert ask(camera.url, "DESCRIBE").startswith(b"RTSP/1.0 200 ")

    report = camera.report()
    assert report["connects"] - before["connects"] == 2
    seen = report["requests"][len(before["requests"]) :]
    assert [each["method"] for each in seen] == ["DESCRIBE", "DESCRIBE"]


def test_an_unknown_command_is_refused_and_the_camera_goes_on(camera: CameraProcess) -> None:
    with pytest.raises(ValueError, match="'flood' is not known"):
        camera.do("flood")
    for plain in ("drop", "expire_nonces"):
        camera.do(plain)


def test_a_camera_that_cannot_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended"), CameraProcess("--size", "1x1"):
        pass


def test_nothing_is_left_when_the_block_ends() -> None:
    with CameraProcess(*SMALL) as camera:
        pid = camera.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_end_of_standard_input_ends_a_camera_under_control() -> None:
    with command("--port", "0", "--control") as process:
        out, error = process.communicate(timeout=LIMIT)

    assert (process.returncode, error) == (0, "")
    assert out.startswith(READY)
