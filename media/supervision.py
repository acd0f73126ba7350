"""Runs the tasks that must never end by an unforeseen exception: each is told, counted, waited out and begun again."""

import asyncio
import contextlib
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

FIRST_DELAY: Final = 0.5  # seconds before a task that failed is begun again; twice that the next time
LONGEST_DELAY: Final = 30.0
STEADY: Final = 60.0  # seconds of work after which the delay begins anew
BETTER: Final = 5.0  # seconds of work after which a task that had failed is no longer told of

log = logging.getLogger(__name__)

TaskRun = Callable[[], Awaitable[None]]
Recover = Callable[[Exception, float], Awaitable[None]]


class Failures:
    """What went wrong unforeseen in this process. `counts`: how often since its start, by the kind of task.

    `ailing` gives the exception's type by the name of each task that failed and is not yet known to work again.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.ailing: dict[str, str] = {}

    def note(self, kind: str, error: BaseException, **fields: object) -> None:
        """Counts one failure, and logs where it was. Its text stays out of the log: it may hold an address with a
        password.
        """
        self.counts[kind] += 1
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        log.error("unforeseen", extra={"kind": kind, **fields, "error": type(error).__name__, "where": where})


FAILURES: Final = Failures()  # of the process, like its log


async def _nothing(_: Exception, __: float) -> None:
    """Does nothing: most tasks have nothing to put right."""


def supervise(kind: str, run: TaskRun, name: str = "", recover: Recover = _nothing) -> asyncio.Task[None]:
    """A task that awaits `run()` until that returns or the task is cancelled. After an exception it awaits `run()`
    again.

    `kind` is a word of a small set, for the figures; `name` says which one of that kind. After each exception `recover`
    is awaited with the exception and the seconds until the next try, to put the state right; it may fail as well.
    """
    full = f"{kind}-{name}" if name else kind
    return asyncio.get_running_loop().create_task(_supervised(kind, full, run, recover), name=full)


async def _supervised(kind: str, name: str, run: TaskRun, recover: Recover) -> None:
    loop, delay = asyncio.get_running_loop(), FIRST_DELAY
    better: asyncio.TimerHandle | None = None
    try:
        while True:
            began = loop.time()
            try:
                await run()
                return
            except Exception as error:
                delay = FIRST_DELAY if loop.time() - began >= STEADY else delay
                if better is not None:
                    better.cancel()
                FAILURES.ailing[name] = type(error).__name__
                FAILURES.note(kind, error, task=name, again_in_s=delay)
                await _recovered(kind, name, recover(error, delay))
            await asyncio.sleep(delay)
            delay = min(LONGEST_DELAY, 2 * delay)
            better = loop.call_later(BETTER, FAILURES.ailing.pop, name, None)
    finally:
        if better is not None:
            better.cancel()
        FAILURES.ailing.pop(name, None)


async def _recovered(kind: str, name: str, recovery: Awaitable[None]) -> None:
    try:
        await recovery
    except Exception as error:
        FAILURES.note(kind, error, task=name, recovering=True)


def guard(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Counts from now on the exceptions of callbacks, and of tasks that nobody awaits, too. Returns a function that
    ends that.

    asyncio itself goes on after such an exception and would only print it.
    """
    before = loop.get_exception_handler()

    def unforeseen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            loop.default_exception_handler(context)
        else:
            FAILURES.note("callback", error, reason=context.get("message", ""))

    loop.set_exception_handler(unforeseen)
    return lambda: loop.set_exception_handler(before)


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancels these tasks, leaving out those that are None, and returns when they have ended."""
    there = {task for task in tasks if task is not None}
    for task in there:
        task.cancel()
    if there:
        await asyncio.wait(there)


@contextlib.contextmanager
def noted(kind: str, **fields: object) -> Iterator[None]:
    """A context in which an exception is told and counted, and goes no further: for callbacks that others come
    after.
    """
    try:
        yield
    except Exception as error:
        FAILURES.note(kind, error, **fields)
