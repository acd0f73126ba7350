"""Tasks that must not end by an unforeseen exception, in virtual time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from media.supervision import BETTER, FAILURES, LONGEST_DELAY, STEADY, ended, guard, noted, supervise

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


class Task:
    """Fails as often as it is told to, each time after so many seconds of work; then it works for ever."""

    def __init__(self, failures: int, seconds: float = 0.0) -> None:
        self.begun: list[float] = []
        self.recovered: list[tuple[str, float]] = []
        self._failures = failures
        self._seconds = seconds

    async def run(self) -> None:
        self.begun.append(now())
        if len(self.begun) > self._failures:
            await asyncio.Event().wait()
        await asyncio.sleep(self._seconds)
        raise OSError(24, "canary: Too many open files")

    async def recover(self, error: Exception, delay: float) -> None:
        self.recovered.append((type(error).__name__, delay))
        raise ValueError("it cannot be put right either")


@asynccontextmanager
async def supervised(task: Task, name: str) -> AsyncIterator[None]:
    running = supervise("test", task.run, name, task.recover)
    yield
    await ended(running, None)
    assert running.cancelled()


async def test_a_task_that_fails_is_begun_again_later_each_time() -> None:
    task = Task(failures=9)
    async with supervised(task, "a"):
        await asyncio.sleep(200)
    gaps = [after - before for before, after in zip(task.begun, task.begun[1:], strict=False)]
    assert gaps == [0.5, 1, 2, 4, 8, 16, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY]
    assert [name for name, _ in task.recovered] == ["OSError"] * 9
    assert [delay for _, delay in task.recovered] == gaps


async def test_one_that_has_worked_for_long_is_begun_again_soon() -> None:
    task = Task(failures=3, seconds=STEADY)
    async with supervised(task, "a"):
        await asyncio.sleep(4 * STEADY)
    assert [delay for _, delay in task.recovered] == [0.5] * 3


async def test_a_failure_is_counted_and_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    before = FAILURES.counts["test"]
    async with supervised(Task(failures=1), "a"):
        await asyncio.sleep(1)
    assert FAILURES.counts["test"] == before + 2  # its own, and that of putting it right
    told = [record.__dict__ for record in caplog.records if record.message == "unforeseen"]
    assert [(each["kind"], each["task"], each["error"]) for each in told] == [
        ("test", "test-a", "OSError"),
        ("test", "test-a", "ValueError"),
    ]
    assert "test_supervision.py" in told[0]["where"][-1]
    assert "canary" not in str(told)


async def test_a_task_is_ailing_until_it_has_worked_for_a_while() -> None:
    async with supervised(Task(failures=1), "a"):
        await asyncio.sleep(0.1)
        assert FAILURES.ailing == {"test-a": "OSError"}
        await asyncio.sleep(0.5 + BETTER)
        assert FAILURES.ailing == {}


async def test_a_task_that_is_ended_is_not_ailing_any_more() -> None:
    async with supervised(Task(failures=100), "a"):
        await asyncio.sleep(10)
        assert FAILURES.ailing
    assert FAILURES.ailing == {}


async def test_a_task_that_returns_has_ended() -> None:
    async def run() -> None:
        return

    task = supervise("test", run)
    await task
    assert (task.get_name(), FAILURES.ailing) == ("test", {})


async def test_what_fails_in_a_callback_is_counted_and_its_text_stays_out(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    before, end = FAILURES.counts["callback"], guard(loop)

    def broken() -> None:
        raise OSError(24, "canary")

    loop.call_soon(broken)
    await asyncio.sleep(1)
    end()
    assert FAILURES.counts["callback"] == before + 1
    assert "canary" not in caplog.text


async def test_what_others_come_after_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    before = FAILURES.counts["listener"]
    with noted("listener", stream="x"):
        int("canary")
    assert FAILURES.counts["listener"] == before + 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
