"""`KeptStream`: a stream is opened again after failures, waits in between, and is given up or ends in order."""

import asyncio
import itertools
from typing import Any

import pytest

from media.faults import Fault
from media.kept import STEADY, KeptStream
from media.ring import Ring
from media.stream import Identity, Status
from media.timing.backoff import FIRST_DELAY, LONGEST_DELAY, Doubling

pytestmark = pytest.mark.looptime

GIVEN_UP = "codec-unsupported"


class Scripted(KeptStream):
    """Each entry of the script is one life: how many tries it takes, how long it lasts, and the code that ends it."""

    kept_as = "scripted"

    def __init__(self, script: list[tuple[int, float, str]]) -> None:
        identity = Identity("yard", "rtsp", "rtsp://camera", False, 0.0)
        super().__init__(identity, lambda: 1_700_000_000.0, Doubling(), Status.WAITING)
        self.script = script
        self.open = False
        self.freed = 0
        self.noted: list[str] = []
        self.tries: list[float] = []

    @property
    def ring(self) -> Ring | None:
        return None

    @property
    def is_open(self) -> bool:
        return self.open

    async def reopen(self) -> Fault | None:
        self.tries.append(self._loop.time())
        failures, seconds, code = self.script[0]
        if failures:
            self.script[0] = (failures - 1, seconds, code)
            self.noted.append("source-refused")
            return Fault("source-refused", "Not now.")
        self.move(Status.LIVE)
        self.open = True
        return None

    async def watch(self) -> Fault | None:
        _, seconds, code = self.script.pop(0)
        await asyncio.sleep(seconds)
        self.open = False
        if code == "unforeseen":
            raise OSError("nobody thought of this")
        if not code:
            return None
        self.noted.append(code)
        return Fault(code, "It went away.")

    async def rest(self) -> bool:
        return bool(self.script)

    def delay(self, fault: Fault) -> float | None:
        return None if fault.code == GIVEN_UP else super().delay(fault)

    async def free(self) -> None:
        self.freed += 1
        self.open = False

    def note(self, fault: Fault) -> None:
        self.noted.append(fault.code)

    async def stop(self) -> None:
        await self.unkeep()

    def wanted(self) -> dict[str, Any]:
        return {}

    def details(self) -> dict[str, Any]:
        return {}


async def kept(*script: tuple[int, float, str]) -> Scripted:
    """A stream that was kept until its keeper had nothing more to do."""
    stream = Scripted(list(script))
    stream.keep()
    assert stream._keeper is not None
    await stream._keeper
    return stream


async def test_a_stream_is_opened_again_after_each_failure_and_counted() -> None:
    stream = await kept((0, 5.0, "source-refused"), (0, 5.0, "source-timeout"), (0, 5.0, ""))
    assert len(stream.tries) == 3
    assert stream.troubles.restarts == 2
    assert stream.noted == ["source-refused", "source-timeout"]
    assert stream.status is Status.LIVE


async def test_tries_that_fail_are_spaced_and_the_record_says_when_the_next_one_is() -> None:
    stream = Scripted([(9, 1.0, "")])
    stream.keep()
    await asyncio.sleep(0.25)
    assert stream.status is Status.WAITING
    assert stream.troubles.next_retry_at == 1_700_000_000.0 + FIRST_DELAY
    assert stream._keeper is not None
    await stream._keeper
    gaps = [later - sooner for sooner, later in itertools.pairwise(stream.tries)]
    assert gaps == pytest.approx([0.5, 1, 2, 4, 8, 16, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY])
    assert stream.troubles.next_retry_at is None


async def test_a_minute_on_air_makes_the_next_try_quick_again() -> None:
    stream = await kept((4, STEADY, "source-timeout"), (1, 1.0, ""))
    assert stream.tries[-2] - stream.tries[-3] == pytest.approx(STEADY + FIRST_DELAY)


async def test_what_cannot_get_better_is_given_up() -> None:
    stream = await kept((0, 1.0, GIVEN_UP), (0, 1.0, ""))
    assert stream.status is Status.FAILED
    assert len(stream.tries) == 1


async def test_what_nobody_has_thought_of_frees_what_was_held_and_is_tried_again() -> None:
    stream = await kept((0, 1.0, "unforeseen"), (0, 1.0, ""))
    assert stream.freed == 1
    assert stream.noted == ["internal"]
    assert len(stream.tries) == 2


async def test_a_stream_that_has_ended_is_not_opened_again() -> None:
    stream = Scripted([(0, 1.0, "")])
    stream.move(Status.STOPPED)
    stream.keep()
    assert stream._keeper is not None
    await stream._keeper
    assert stream.tries == []


async def test_nothing_is_opened_any_more_once_the_keeping_has_ended() -> None:
    stream = Scripted([(1000, 1.0, "")])
    stream.keep()
    await asyncio.sleep(10)
    await stream.unkeep()
    before = len(stream.tries)
    await asyncio.sleep(100)
    assert len(stream.tries) == before
