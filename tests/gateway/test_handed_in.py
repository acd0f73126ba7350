"""Sockets that whoever starts the gateway hands in: taken where they are TCP and listen, and refused in words else."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway import handed_in
from gateway.handed_in import HandedInError
from tests.support.processes import handing_in

TAKING = """
import os
from gateway import handed_in
try:
    taken = handed_in.taken()
except handed_in.HandedInError as error:
    print("refused", error)
else:
    inherited = [each.get_inheritable() for each in taken]
    print([each.getsockname()[:2] for each in taken], inherited, "LISTEN_FDS" in os.environ)
"""


def taking(sockets: Sequence[socket.socket], count: str, pid: str = "") -> str:
    """What a process says that was started with these sockets from descriptor 3 on."""
    run = subprocess.run(
        [*handing_in(sockets, count, pid), sys.executable, "-c", TAKING],
        pass_fds=[each.fileno() for each in sockets], capture_output=True, text=True, timeout=60, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return run.stdout.strip()


def test_each_listening_socket_is_taken_and_kept_from_children() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        where = [one.getsockname(), other.getsockname()]
        assert taking([one, other], "2") == f"{where} [False, False] False"


def test_what_is_for_another_process_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert taking([one], "1", pid="1") == "[] [] False"
    assert handed_in.taken({}) == []


def test_what_does_not_listen_for_tcp_is_refused_by_its_number() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix, socket.socket() as idle:
        for each in (unix, idle):
            assert taking([each], "1").startswith("refused LISTEN_FDS: descriptor 3 is no TCP socket that listens")
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert taking([one], "x") == "refused LISTEN_FDS is no number: 'x'"


def test_a_socket_that_others_reach_is_refused_where_the_settings_know_of_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as here, socket.create_server(("0.0.0.0", 0)) as everywhere:
        handed_in.reached_by([here], loopback_only=True)
        handed_in.reached_by([everywhere], loopback_only=False)
        with pytest.raises(HandedInError, match=r"listens on 0\.0\.0\.0"):
            handed_in.reached_by([here, everywhere], loopback_only=True)
