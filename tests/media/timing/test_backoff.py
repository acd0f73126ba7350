"""When a camera is tried again: by class of failure, never in a hurry, and not for ever."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.net.hosts import SPACING, HostTurns
from media.timing.backoff import HOPELESS, LONGEST_DELAY, SLOW, Backoff


def test_the_first_retry_is_quick_and_later_ones_spread_up_to_the_longest() -> None:
    backoff = Backoff(spread=lambda _low, high: high)
    delays = [backoff.after("source-refused", 0.0) for _ in range(8)]
    assert delays == [0.5, 1.5, 4.5, 13.5, 30.0, 30.0, 30.0, 30.0]
    backoff.steady()
    assert backoff.after("source-refused", 0.0) == 0.5


@given(st.lists(st.sampled_from(["source-refused", "source-timeout", *SLOW]), max_size=30))
def test_no_delay_is_under_its_class_or_over_the_longest(codes: list[str]) -> None:
    backoff = Backoff()
    for code in codes:
        delay = backoff.after(code, 0.0)
        if delay is None:
            return
        least = SLOW.get(code, 0.5)
        assert least <= delay <= max(LONGEST_DELAY, least * 1.2)


@pytest.mark.parametrize("code", sorted(HOPELESS))
def test_what_no_retry_can_help_is_given_up(code: str) -> None:
    assert Backoff().after(code, 0.0) is None


def test_the_fifth_refused_login_in_a_row_is_the_last() -> None:
    backoff = Backoff()
    first = [backoff.after("source-auth-or-busy", 0.0), *(backoff.after("source-auth-failed", 0.0) for _ in range(3))]
    assert all(delay is not None and delay >= 60 for delay in first)
    assert backoff.after("source-auth-failed", 0.0) is None


def test_another_failure_between_refused_logins_starts_the_count_anew() -> None:
    backoff = Backoff()
    for code in ("source-auth-failed",) * 4 + ("source-refused",) + ("source-auth-failed",) * 4:
        assert backoff.after(code, 0.0) is not None


def test_five_crashes_in_ten_minutes_are_a_crash_loop_and_five_in_an_hour_are_not() -> None:
    often, seldom = Backoff(), Backoff()
    assert [often.after("worker-crashed", 100.0 * n) is None for n in range(5)] == [False] * 4 + [True]
    assert all(seldom.after("worker-hung", 700.0 * n) is not None for n in range(20))


@pytest.mark.looptime
async def test_a_host_is_connected_to_under_four_times_a_second_and_others_do_not_wait() -> None:
    turns, loop = HostTurns(), asyncio.get_running_loop()
    at: list[float] = []

    async def connect() -> None:
        await turns.turn("recorder")
        at.append(loop.time())

    began = loop.time()
    await asyncio.gather(*(connect() for _ in range(40)))
    assert all(later - earlier > 1.0 for earlier, later in zip(at, at[4:], strict=False))
    assert at[-1] - began == pytest.approx(39 * SPACING, abs=0.1)
    began = loop.time()
    await turns.turn("another")
    assert loop.time() == began
