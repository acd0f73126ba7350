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


class TcpHandle:
    """A second handle on the one TCP connection of this process; `close` it, whatever FFmpeg does with its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

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
        """Whoever waits for the camera reads the end of the stream; what is said to the camera still goes out."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)

    def hear_out(self, seconds: float) -> None:
        """Reads until the camera has answered or hung up, at most so long; for after FFmpeg has sent TEARDOWN.

        FFmpeg sends it and closes at once. Media that is still unread then makes the kernel reset the connection, and a
        camera that was about to write sees the reset before it reads what was asked.
        """
        until = time.monotonic() + seconds
        tail = b""
        with suppress(OSError):
            while ANSWER not in tail and (left := until - time.monotonic()) > 0:
                self._connection.settimeout(left)
                data = self._connection.recv(READ_SIZE)
                if not data:
                    return
                tail = tail[-len(ANSWER) :] + data

    def close(self) -> None:
        self._connection.close()


def _plain(address: str) -> object:
    judged = ip_address(address)
    return (judged.ipv4_mapped or judged) if isinstance(judged, IPv6Address) else judged
