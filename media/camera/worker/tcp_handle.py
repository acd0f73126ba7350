"""The camera's RTSP connection as the kernel has it, beside FFmpeg, which shows none of it."""

import os
import socket
import time
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final, Self

ANSWER: Final = b"RTSP/1."
READ_SIZE: Final = 65536
LOOK_EVERY: Final = 0.02  # seconds between two looks for an answer after `hang_up`, when nothing can be waited for
_CLOSE_WAIT: Final = 8  # in Linux's words (tcp_states.h): the other end has hung up, and this one has not
_GONE: Final = (7, _CLOSE_WAIT)


class TcpHandle:
    """A second handle on the one TCP connection of this process; `close` it, whatever FFmpeg does with its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._hung_up = False

    @classmethod
    def find(cls) -> Self | None:
        """The connection to the camera; None without one. Only for a process that has no other."""
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError, ValueError):
                found = socket.socket(fileno=os.dup(int(entry.name)))
                if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
                    with suppress(OSError):
                        found.getpeername()
                        return cls(found)
                found.close()
        return None

    def leads_to(self, address: str) -> bool:
        """Whether the other end has this IP address."""
        with suppress(OSError):
            return _plain(self._connection.getpeername()[0]) == _plain(address)
        return False

    def hang_up(self) -> None:
        """Lets whoever waits for the camera read the end of the stream; what is said to the camera still goes out."""
        self._hung_up = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)

    def cut(self) -> None:
        """Ends the connection in both directions: whoever waits for the camera, to read or to write, goes on."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def hear_out(self, seconds: float) -> None:
        """Reads until the camera has answered or hung up, at most so long. Call it after FFmpeg has sent TEARDOWN.

        FFmpeg sends it and closes at once. If media is still unread, the kernel resets the connection, and a camera
        that was about to write sees the reset before it reads the request.
        """
        until = time.monotonic() + seconds
        tail = b""
        with suppress(OSError):
            while ANSWER not in tail and (left := until - time.monotonic()) > 0:
                self._connection.settimeout(left)
                data = self._connection.recv(READ_SIZE)
                if data:
                    tail = tail[-len(ANSWER) :] + data
                elif not self._hung_up or self._is_over():
                    return
                else:
                    time.sleep(min(left, LOOK_EVERY))

    def _is_over(self) -> bool:
        """Whether the camera has hung up; after `hang_up` each read says so, and Linux still takes what comes."""
        return self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _GONE

    def close(self) -> None:
        self._connection.close()


def _plain(address: str) -> object:
    judged = ip_address(address)
    return (judged.ipv4_mapped or judged) if isinstance(judged, IPv6Address) else judged
