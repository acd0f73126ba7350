"""Takes something away from running processes for a while: descriptors, or further processes and threads."""

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

CGROUPS: Final = Path("/sys/fs/cgroup")


@contextmanager
def limited(pids: Iterable[int], which: int, most: int) -> Iterator[None]:
    """They may have no more than that of a resource (getrlimit(2)), until the end of the block; 0: this process."""
    before = {pid: resource.prlimit(pid, which) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, which, (most, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, which, limits)


@contextmanager
def without_descriptors(*pids: int) -> Iterator[None]:
    """Those that are open stay. With a limit of 0, poll(2) of as much as one of them fails as well."""
    with limited(pids, resource.RLIMIT_NOFILE, 0):
        yield


@contextmanager
def with_few_descriptors(*pids: int) -> Iterator[None]:
    """As many as are open, which can be waited for as before."""
    with ExitStack() as stack:
        for pid in pids:
            with suppress(FileNotFoundError, ProcessLookupError):
                count = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
                stack.enter_context(limited([pid], resource.RLIMIT_NOFILE, count))
        yield


@contextmanager
def without_processes(*pids: int) -> Iterator[None]:
    """Those that are there stay. Root is above the limit of a user (RLIMIT_NPROC): for root it is a cgroup's."""
    if os.getuid() != 0:
        with limited(pids, resource.RLIMIT_NPROC, 0):
            yield
        return
    root = _pids_controller()
    group = root / f"reelgate-test-{os.getpid()}"
    group.mkdir()
    try:
        _move(pids, group)
        (group / "pids.max").write_text("0")
        yield
    finally:
        (group / "pids.max").write_text("max")
        while left := (group / "cgroup.procs").read_text().split():
            _move(map(int, left), root)
        group.rmdir()


def _pids_controller() -> Path:
    """The root of the hierarchy of cgroups that counts processes, version 1 or 2 (cgroups(7))."""
    if (CGROUPS / "pids" / "cgroup.procs").exists():
        return CGROUPS / "pids"
    with suppress(OSError):
        (CGROUPS / "cgroup.subtree_control").write_text("+pids")
        return CGROUPS
    pytest.skip("there is no cgroup to count processes in: run it as an ordinary user")


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def limited_size(*pids: int) -> Iterator[None]:
    """No file of theirs may grow."""
    with limited(pids, resource.RLIMIT_FSIZE, 0):
        yield
