"""The second handle on the camera's connection: it ends a wait of FFmpeg's, and still hears the camera out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from media.camera.worker.tcp_handle import TcpHandle

LIMIT = 30.0  # seconds
FRAME = b"$\0\x10\0" + bytes(4096)


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """FFmpeg's socket and the camera's."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            yield near, far


def test_after_hanging_up_the_answer_to_teardown_is_awaited_and_nothing_is_reset() -> None:
    with connected() as (ffmpeg, camera):
        camera.settimeout(LIMIT)
        handle = TcpHandle(ffmpeg.dup())
        camera.sendall(FRAME)
        handle.hang_up()
        ffmpeg.sendall(b"TEARDOWN rtsp://c.example/ RTSP/1.0\r\n\r\n")
        ffmpeg.close()

        def hear_out() -> None:
            handle.hear_out(LIMIT)
            handle.close()

        hearing = threading.Thread(target=hear_out, daemon=True)
        hearing.start()
        hearing.join(0.1)
        assert hearing.is_alive()  # however little there is to read
        assert camera.recv(4096).startswith(b"TEARDOWN")
        camera.sendall(FRAME + b"RTSP/1.0 200 OK\r\n\r\n")
        hearing.join(LIMIT)
        assert not hearing.is_alive()
        assert camera.recv(4096) == b""  # closed, not reset


def test_a_camera_that_hangs_up_itself_is_not_waited_for() -> None:
    with connected() as (ffmpeg, camera):
        handle = TcpHandle(ffmpeg.dup())
        handle.hang_up()
        camera.close()
        hearing = threading.Thread(target=handle.hear_out, args=(LIMIT * 10,), daemon=True)
        hearing.start()
        hearing.join(LIMIT)
        assert not hearing.is_alive()
        handle.close()
