"""Listening sockets that whoever starts the gateway hands in, as systemd does (sd_listen_fds(3)).

They are open before the gateway is and after it: a restart refuses no connection, who comes in between waits.
"""

import os
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Final

FIRST: Final = 3  # the number of the first descriptor (SD_LISTEN_FDS_START)
NAMES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class HandedInError(Exception):
    """What was handed in cannot be used; the text is for who starts the gateway."""


def taken(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets for this process, which no child of it inherits; none as a rule. Raises `HandedInError`.

    Afterwards the environment does not speak of them any more.
    """
    pid, count, _ = (environment.pop(name, "") for name in NAMES)
    if not count or pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit()):
        raise HandedInError(f"LISTEN_FDS is no number: {count!r}")
    return [_checked(number) for number in range(FIRST, FIRST + int(count))]


def reached_by(sockets: list[socket.socket], *, loopback_only: bool) -> None:
    """Raises `HandedInError` where others than this machine come in, and `http_host` says that they do not."""
    for each in sockets:
        host = str(each.getsockname()[0])
        if loopback_only and not ip_address(host.partition("%")[0]).is_loopback:
            raise HandedInError(
                f"the socket handed in listens on {host}: set http_host to that, which says who comes in"
            )


def _checked(number: int) -> socket.socket:
    try:
        handed = socket.socket(fileno=number)
    except OSError as error:
        raise HandedInError(f"LISTEN_FDS: descriptor {number} is no socket ({error.strerror})") from None
    internet = handed.family in (socket.AF_INET, socket.AF_INET6) and handed.type == socket.SOCK_STREAM
    if not internet or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        handed.detach()
        raise HandedInError(f"LISTEN_FDS: descriptor {number} is no TCP socket that listens (ListenStream=PORT)")
    handed.set_inheritable(False)
    handed.setblocking(False)
    return handed
