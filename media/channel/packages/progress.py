"""Tells a packager that works from one that waits for its disk: by what it says, and by the processor time it takes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from media.process.workers import Worker

LOOK: Final = 0.5  # seconds between two looks
STALLED: Final = 3.0  # seconds without a word and without a tick of the processor: a hung NFS, a stopped process


async def watch(worker: Worker, told: Callable[[], int], stalled: Callable[[bool], None]) -> None:
    """Calls `stalled` with True when a worker makes no progress, and with False when it goes on; until cancelled.

    `told` counts what the worker has said. A worker that decodes for long without a word is at work: it takes time of
    the processor.
    """
    loop = asyncio.get_running_loop()
    seen, since, stands = (-1, ""), loop.time(), False
    while True:
        now = (told(), processor_time(worker.pid))
        if now != seen:
            seen, since = now, loop.time()
        if stands is not (loop.time() - since >= STALLED):
            stands = not stands
            stalled(stands)
        await asyncio.sleep(LOOK)


def processor_time(pid: int | None) -> str:
    """User and system time of a process in clock ticks (proc_pid_stat(5)), as one word; empty when it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return " ".join(stat.rpartition(")")[2].split()[11:13])
