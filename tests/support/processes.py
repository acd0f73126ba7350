"""What the kernel says of processes, for tests that must know that one is gone."""

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from media.process.workers import Workers


def state(pid: int) -> str:
    """One letter of /proc/PID/stat (`S`, `Z`, ...), or "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


HAND_IN = """
import os, sys
numbers, count, pid, *command = sys.argv[1:]
kept = [os.dup(int(number)) for number in numbers.split(",")]
for number, each in enumerate(kept, 3):
    os.dup2(each, number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=pid or str(os.getpid()))
os.execv(command[0], command)
"""


def handing_in(sockets: Sequence[socket.socket], count: str = "", pid: str = "") -> list[str]:
    """What comes before a command so that it gets these sockets, which it is to be passed, as systemd hands them in."""
    numbers = ",".join(str(each.fileno()) for each in sockets)
    return [sys.executable, "-c", HAND_IN, numbers, count or str(len(sockets)), pid]


def below(pid: int) -> list[int]:
    """The processes below one, its children's children too; those that end just now may be among them or not."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in (task / "children").read_text().split():
                    found += [int(child), *below(int(child))]
    return found


def open_files() -> int:
    """File descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits for something that must come true within `seconds`, also on a slow machine; fails the test otherwise."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not true():
        assert loop.time() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


async def only_worker(workers: Workers) -> int:
    """The process of the one worker that is left when others have ended; the last of `pids()` is the fork server."""
    await until(lambda: workers.alive == 1 and len(workers.pids()) == 2)
    return workers.pids()[0]
