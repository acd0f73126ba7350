"""`Cursor`: a reader of any ring gets chunks that it can decode, in order, and is told what it missed."""

import asyncio
from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import given

from media.cursor import Cursor, Step, behind
from media.ring import LiveRing, RingLimits
from tests.support.feeding import Feeder, an_init

LIMIT = 2.0


def a_ring(max_bytes: int = 64 * 1024 * 1024) -> LiveRing:
    return LiveRing(RingLimits(segment=Fraction(2), window=3, spare=1, max_bytes=max_bytes), lambda: 0.0)


async def all_steps(cursor: Cursor) -> list[Step]:
    """What the reader gets until it would have to wait."""
    steps = []
    while True:
        step = await cursor.step()
        if step is not None:
            steps.append(step)
        elif cursor.waits:
            return steps


acts = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.integers(1, 20)),
        st.tuples(st.just("new init"), st.integers(1, 3)),
        st.tuples(st.just("away"), st.integers(1, 9)),
        st.tuples(st.just("lost"), st.just(0)),
    ),
    max_size=25,
)


@given(acts, st.booleans())
def test_a_reader_gets_what_it_can_decode_in_order_and_no_init_twice(
    history: list[tuple[str, int]], limited: bool
) -> None:
    async def scenario() -> None:
        ring = a_ring()
        feeder = Feeder(ring)
        feeder.feed(7)
        cursor = Cursor(ring, LIMIT if limited else None)
        last, init, needs_key = -1, "", True
        for act, count in history:
            if act == "feed":
                feeder.feed(count)
            elif act == "new init":
                feeder.init = an_init(640 + 2 * count)
            elif act == "away":
                feeder.skip(count)
            elif act == "lost":
                cursor.lost()
                needs_key = True
            for _ in range(count if act == "read" else 0):
                step = await cursor.step()
                if step is None:
                    continue
                chunk = step.chunk
                assert chunk.number > last
                assert step.resumed == (needs_key or chunk.number != last + 1)
                assert chunk.independent or not step.resumed
                assert step.new_init == (chunk.init.id != init)
                assert step.skipped is None or step.resumed
                newest = ring.newest_key()
                assert not limited or newest is None or newest <= chunk.number or behind(ring, chunk) <= LIMIT
                last, init, needs_key = chunk.number, chunk.init.id, False
        rest = await all_steps(cursor)
        assert not rest or rest[-1].chunk.number == ring.head - 1 or needs_key

    asyncio.run(scenario())


async def test_a_reader_that_keeps_up_misses_nothing() -> None:
    ring = a_ring()
    feeder = Feeder(ring)
    feeder.feed()
    cursor = Cursor(ring, LIMIT)
    got = await all_steps(cursor)
    for _ in range(50):
        feeder.feed()
        got += await all_steps(cursor)
    assert [step.chunk.number for step in got] == list(range(51))
    assert [step.resumed for step in got] == [True] + 50 * [False]
    assert all(step.skipped is None for step in got)


async def test_a_late_reader_goes_on_at_the_newest_key_frame_and_is_told_how_much_is_left_out() -> None:
    ring = a_ring()
    feeder = Feeder(ring)  # chunks of 0.4 s, a key frame every 2 s
    feeder.feed()
    cursor = Cursor(ring, LIMIT)
    await all_steps(cursor)
    feeder.feed(12)  # numbers 1 to 12, key frames at 5 and 10
    step = await cursor.step()
    assert step is not None
    assert (step.chunk.number, step.resumed, step.skipped) == (10, True, Fraction(36, 10))


async def test_a_reader_that_waited_for_what_comes_all_at_once_gets_all_of_it() -> None:
    ring = a_ring()
    feeder = Feeder(ring)  # chunks of 0.4 s, a key frame every 2 s
    feeder.feed()
    cursor = Cursor(ring, LIMIT)
    await all_steps(cursor)
    feeder.feed(12)  # the source stood still for 4.8 s
    first = await cursor.step(idle=True)
    rest = [first, *await all_steps(cursor)]
    assert [step.chunk.number for step in rest if step is not None] == list(range(1, 13))


async def test_a_reader_that_falls_further_behind_than_what_was_not_its_fault_is_late() -> None:
    ring = a_ring()
    feeder = Feeder(ring)
    feeder.feed()
    cursor = Cursor(ring, LIMIT)
    await all_steps(cursor)
    feeder.feed(9)  # 3.6 s at once
    assert await cursor.step(idle=True) is not None
    feeder.feed(5)  # and 2 s while it used 0.4 s
    step = await cursor.step()
    assert step is not None
    assert (step.chunk.number, step.skipped) == (2, None)
    feeder.feed(3)
    step = await cursor.step()
    assert step is not None
    assert step.skipped is not None
    feeder.feed(1)
    await all_steps(cursor)
    feeder.feed(12)  # what was excused before was made good since
    step = await cursor.step()
    assert step is not None
    assert step.skipped is not None


async def test_what_has_left_the_ring_is_skipped_also_for_a_reader_without_a_limit() -> None:
    ring = a_ring(max_bytes=4000)
    feeder = Feeder(ring)
    feeder.feed()
    cursor = Cursor(ring)
    await all_steps(cursor)
    feeder.feed(60)
    step = await cursor.step()
    assert step is not None
    assert step.chunk.number == ring.newest_key()
    assert step.skipped == Fraction(0)


async def test_a_reader_follows_the_stream_into_another_ring() -> None:
    one, other = a_ring(), a_ring()
    Feeder(one).feed(3)
    Feeder(other).feed(8)
    cursor = Cursor(one)
    await all_steps(cursor)
    cursor.follow(one)
    assert cursor.waits
    cursor.follow(other)
    step = await cursor.step()
    assert step is not None
    assert (step.chunk.number, step.resumed, step.new_init) == (5, True, False)
