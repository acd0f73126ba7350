"""Whose turn it is: one place and one caller after the other, whatever the others ask for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from media.pictures.turns import Full, TurnLimits, Turns


class Theatre:
    """What happens with turns: whose came, in that order; `end` lets the oldest one go."""

    def __init__(self, limits: TurnLimits) -> None:
        self.turns = Turns(limits)
        self.came: list[str] = []
        self._ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, place: str, caller: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._have(place, caller))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def _have(self, place: str, caller: str) -> None:
        async with self.turns.turn(place, caller):
            self.came.append(f"{place}-{caller}")
            self._ends.append(asyncio.Event())
            await self._ends[-1].wait()

    async def end(self) -> None:
        """Ends the oldest turn, if there is one."""
        if self._ends:
            self._ends.pop(0).set()
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def theatre() -> AsyncIterator[Theatre]:
    theatre = Theatre(TurnLimits(at_once=2, of_place=6, of_caller=3, patience=60.0))
    yield theatre
    for task in theatre.tasks:
        task.cancel()
    await asyncio.gather(*theatre.tasks, return_exceptions=True)
    assert not theatre.turns._waiting
    assert not theatre.turns._taken


async def test_who_asks_for_much_waits_for_his_own_and_others_do_not(theatre: Theatre) -> None:
    for _ in range(4):
        await theatre.ask("yard", "eager")
    await theatre.ask("yard", "modest")
    await theatre.ask("gate", "modest")
    assert theatre.came == ["yard-eager", "gate-modest"]  # one of each place, though two are possible
    await theatre.ask("lane", "other")
    await theatre.end()
    assert theatre.came[2:] == ["lane-other"]  # a place that has just had its turn comes last
    for _ in range(2):
        await theatre.end()
    assert theatre.came[3:] == ["yard-modest"]
    for _ in range(5):
        await theatre.end()
    assert theatre.came[4:] == ["yard-eager"] * 3


async def test_a_callers_queue_and_a_places_are_bounded(theatre: Theatre) -> None:
    first = await theatre.ask("yard", "eager")
    for _ in range(3):
        await theatre.ask("yard", "eager")
    with pytest.raises(Full, match="this caller"):
        await (await theatre.ask("yard", "eager"))
    for _ in range(3):
        await theatre.ask("yard", "modest")
    with pytest.raises(Full, match="too many"):
        await (await theatre.ask("yard", "third"))
    await theatre.ask("gate", "eager")  # elsewhere he has room
    assert theatre.came == ["yard-eager", "gate-eager"]
    assert not first.done()


async def test_who_gives_up_leaves_the_queue_and_holds_up_nobody(theatre: Theatre) -> None:
    await theatre.ask("yard", "first")
    gone = await theatre.ask("yard", "gone")
    await theatre.ask("yard", "last")
    gone.cancel()
    await asyncio.wait({gone})
    await theatre.end()
    assert theatre.came == ["yard-first", "yard-last"]


async def test_a_turn_that_comes_as_its_caller_gives_up_goes_to_the_next(theatre: Theatre) -> None:
    first = await theatre.ask("yard", "first")
    gone = await theatre.ask("yard", "gone")
    await theatre.ask("yard", "last")
    first.cancel()
    await asyncio.sleep(0)  # the turn is given to the second, who has not woken up
    gone.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert theatre.came == ["yard-first", "yard-last"]


@pytest.mark.looptime
async def test_nobody_waits_for_a_turn_for_ever() -> None:
    turns = Turns(TurnLimits(at_once=1, of_place=2, of_caller=1, patience=5.0))
    async with turns.turn("yard", "first"):
        began = asyncio.get_running_loop().time()
        with pytest.raises(Full, match="in time"):
            async with turns.turn("gate", "second"):
                pass
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0)
    async with turns.turn("gate", "second"):
        pass
