"""Who wakes up with many others goes on in turn, and leaves turns to those who have nothing to do with it."""

import asyncio

from gateway.web.transport import herd


async def test_of_many_who_wake_up_together_few_go_on_in_one_turn_of_the_loop_and_in_their_order() -> None:
    turns, went = 0, list[tuple[int, int]]()

    async def member(number: int) -> None:
        await herd.turn()
        went.append((number, turns))

    tasks = [asyncio.create_task(member(number)) for number in range(5 * herd.AT_ONCE)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turns += 1
    assert [number for number, _ in went] == list(range(5 * herd.AT_ONCE))
    in_each = [sum(at == turn for _, at in went) for turn in range(turns)]
    assert max(in_each) <= herd.AT_ONCE
    assert turns <= 10  # nobody waits for longer than it takes


async def test_who_goes_away_while_it_waits_takes_nobodys_turn() -> None:
    went = []

    async def member(number: int) -> None:
        await herd.turn()
        went.append(number)

    tasks = [asyncio.create_task(member(number)) for number in range(3 * herd.AT_ONCE)]
    await asyncio.sleep(0)
    for task in tasks[herd.AT_ONCE : 2 * herd.AT_ONCE]:
        task.cancel()
    for _ in range(4):
        await asyncio.sleep(0)
    assert went == [*range(herd.AT_ONCE), *range(2 * herd.AT_ONCE, 3 * herd.AT_ONCE)]
