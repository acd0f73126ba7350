"""Calls that touch the media folder: in threads of their own, and waited for only so long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from gateway.jobs.failures import Failure

T = TypeVar("T")

THREADS: Final = 8
LOOK: Final = 5.0  # seconds that a look may take
CHANGE: Final = 30.0  # seconds that a change may take, and
WRITTEN: Final = 4_000_000  # bytes a second that a disk writes at least


class MediaThreads:
    """A folder that hangs holds up these threads and nobody else's; who waits for them is told `media-failing`."""

    def __init__(self, look: float = LOOK, change: float = CHANGE) -> None:
        self.change = change
        self._look = look
        self._pool = ThreadPoolExecutor(THREADS, "media-calls")

    async def look(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs a call that changes nothing, and waits for it. Raises `Failure` `media-failing`."""
        running = self.begin(call, *arguments)
        return await waited_for(running, self._look)

    def begin(self, call: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        """Runs a call. The caller waits for it with `waited_for`, or not at all."""
        return asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)


class Steps:
    """Calls that change one file: one after another, each to its end, also when nobody waits for it any more."""

    def __init__(self, threads: MediaThreads) -> None:
        self._threads = threads
        self._last: asyncio.Task[Any] | None = None

    async def run(self, call: Callable[..., T], *arguments: object, size: int = 0) -> T:
        """Runs the next step, in which `size` bytes get to the disk. Raises `Failure`: `media-failing`, or its own."""
        self._last = step = asyncio.create_task(self._after(self._last, call, *arguments), name="media-step")
        return await waited_for(step, self._threads.change + size / WRITTEN, begun=True)

    def then(self, call: Callable[[], None]) -> None:
        """Calls this as soon as the steps so far are done."""
        if self._last is None or self._last.done():
            call()
        else:
            self._last.add_done_callback(lambda _: call())

    async def finish(self, call: Callable[[], None]) -> None:
        """Runs the last step, which raises nothing. It is not waited for when the step before it still hangs."""
        hangs = self._last is not None and not self._last.done()
        self._last = step = asyncio.create_task(self._after(self._last, call), name="media-step")
        if not hangs:
            await asyncio.wait({step}, timeout=self._threads.change)

    async def _after(self, before: "asyncio.Task[Any] | None", call: Callable[..., T], *arguments: object) -> T:
        if before is not None:
            await asyncio.wait({before})
        return await self._threads.begin(call, *arguments)


async def waited_for(running: "asyncio.Future[T]", seconds: float, *, begun: bool = False) -> T:
    """Returns the result, or raises `Failure` `media-failing` after so many seconds.

    A call that no thread has taken yet is then not run at all, unless it is `begun`.
    """
    try:
        done, _ = await asyncio.wait({running}, timeout=seconds)
    except asyncio.CancelledError:
        running.add_done_callback(_forget)
        raise
    if done:
        return running.result()
    if not begun:
        running.cancel()
    running.add_done_callback(_forget)
    raise Failure("media-failing", f"The media folder has not answered for {seconds:.3g} s.", retry_after=5)


def _forget(running: "asyncio.Future[Any]") -> None:
    """Takes note of an error that comes too late for anybody."""
    if not running.cancelled():
        running.exception()
