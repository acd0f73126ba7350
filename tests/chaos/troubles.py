"""What a round of chaos takes away for a while, and whom it kills meanwhile."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.chaos.process import Kept
from tests.support.shortages import limited_size, with_few_descriptors, without_descriptors, without_processes

DISK: Final = 96 * 1024 * 1024  # bytes of the file system that gets full
PIECE: Final = 1024 * 1024


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Makes the folder: a file system of its own until the end of the block, if this is root; whether it is."""
    folder.mkdir()
    if os.getuid() != 0:
        yield False
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _full(gateway: Kept) -> Iterator[None]:
    """Nothing more can be written. Who may not mount a small disk has files that may not grow instead."""
    if not gateway.folder.is_mount():
        with limited_size(*gateway.every()):
            yield
        return
    filler = gateway.folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(PIECE))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _no_descriptors(gateway: Kept) -> Iterator[None]:
    makers = [pid for pid in (gateway.pid, gateway.server()) if pid is not None]
    with with_few_descriptors(*gateway.workers()), without_descriptors(*makers):
        yield


@contextmanager
def _no_processes(gateway: Kept) -> Iterator[None]:
    with without_processes(*gateway.every()):
        yield


TROUBLES: Final[dict[str, Callable[[Kept], AbstractContextManager[None]]]] = {
    "full disk": _full,
    "no descriptors": _no_descriptors,
    "no processes": _no_processes,
}
VICTIMS: Final = ("gateway", "fork server", "worker")


def victim(gateway: Kept, who: str, which: int) -> int | None:
    """The process to be killed; `which` chooses among workers. None when there is none just now."""
    if who == "gateway":
        return gateway.pid
    if who == "fork server":
        return gateway.server()
    workers = sorted(gateway.workers())
    return workers[which % len(workers)] if workers else None
