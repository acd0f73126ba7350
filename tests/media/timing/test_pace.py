"""When frames leave: evenly though chunks come in bursts, later after a late one, and no later than need be."""

from itertools import pairwise

from media.timing.pace import BACK, MARGIN, Pace


def test_the_first_chunk_goes_out_as_it_comes_and_the_next_ones_follow_it_in_media_time() -> None:
    pace = Pace()
    assert pace.arrived(20.0, 0.4, now=100.0) == 80.0
    assert pace.arrived(20.4, 0.4, now=100.39) == 80.0  # a little early changes nothing
    assert pace.arrived(20.8, 0.4, now=100.8) == 80.0


def test_a_late_chunk_makes_all_that_follows_later_and_the_time_is_won_back_bit_by_bit() -> None:
    pace = Pace()
    pace.arrived(0.0, 0.4, now=10.0)
    assert pace.arrived(0.4, 0.4, now=10.6) == 10.0 + 0.2
    bases = [pace.arrived(0.4 * count, 0.4, now=10.0 + 0.4 * count) for count in range(2, 60)]
    steps = [before - after for before, after in pairwise(bases)]
    assert all(-1e-9 <= step <= BACK * 0.4 + 1e-9 for step in steps)
    assert abs(bases[-1] - (10.0 + MARGIN)) < 1e-6


def test_of_chunks_that_come_at_once_all_but_the_newest_are_backlog() -> None:
    pace = Pace()
    for count in range(3):
        base = pace.arrived(0.4 * count, 0.4, now=10.0 + count / 1000)
    assert base == 10.002 - 0.8


def test_what_does_not_follow_begins_anew() -> None:
    pace = Pace()
    pace.arrived(0.0, 0.4, now=10.0)
    pace.forget()
    assert pace.arrived(5000.0, 0.4, now=11.0) == 11.0 - 5000.0
