"""A reader looks away only while it is up to date, and only until a chunk is due."""

from collections.abc import Sequence
from math import inf

from media.camera.worker.read_pauses import HELD, JITTER, LONGEST, PAUSE, WAITED, ReadPauses

FRAME = 0.04


def read(
    seconds: float, cost: float, frames: int = 8, rate: float = 0.0, lates: Sequence[float] = (0.0,)
) -> tuple[float, float, int]:
    """A camera of 25 pictures a second, each of which takes `cost` seconds to deal with, in chunks of so many.

    How late the last picture was read, how late a picture that ended a chunk was at most once there was a rhythm, and
    how often there was a nap.
    """
    pauses, now, count, latest = ReadPauses(), 0.0, 0, 0.0
    for number in range(round(seconds * 25)):
        asked, late = now, lates[number % len(lates)]
        sent = number * FRAME + late
        now = max(now, sent)
        waited = now - asked
        pauses.note(now, number * FRAME, waited)
        if number % frames == 0 and number > 25:
            latest = max(latest, now - sent)
        now += cost
        pause = pauses.due(now, waited, (frames - number % frames) * FRAME, rate)
        count += pause > 0
        now += pause
    return now - seconds, latest, count


def test_a_camera_is_looked_at_once_or_twice_for_each_chunk_which_is_not_late() -> None:
    late, latest, count = read(60, 0.001)
    assert late < LONGEST
    assert latest < JITTER * 2
    assert 60 * 25 / 8 * 0.9 < count < 2.1 * 60 * 25 / 8


def test_a_camera_that_sends_more_than_a_socket_holds_is_looked_at_more_often() -> None:
    assert read(60, 0.001, rate=HELD / PAUSE)[2] > read(60, 0.001)[2] * 1.2
    assert read(60, 0.001, rate=inf)[2] == read(60, 0.001, rate=HELD / PAUSE)[2]


def test_a_reader_that_is_busy_stays_up_to_date() -> None:
    assert read(60, 0.035)[0] < LONGEST + 0.1


def test_a_network_that_jitters_costs_a_look_or_two_and_no_more() -> None:
    lates = (0.0, 0.1, 0.02, 0.06, 0.12, 0.01, 0.09)
    _, latest, count = read(60, 0.001, lates=lates)
    assert latest < 0.15
    assert count < 5 * 60 * 25 / 8


def test_a_picture_that_is_not_waited_for_is_followed_by_the_next_at_once() -> None:
    pauses = ReadPauses()
    pauses.note(0.0, 0.0, 1.0)
    assert pauses.due(0.0, WAITED * 2, 1.0, 0.0) == LONGEST
    assert not pauses.due(0.0, WAITED / 2, 1.0, 0.0)


def test_pictures_that_come_late_are_told_until_they_have_caught_up() -> None:
    pauses = ReadPauses()
    for arrival, shown, behind in ((0.0, 0.0, False), (1.0, 0.4, True), (1.1, 1.0, False)):
        pauses.note(arrival, shown, 0.0)
        assert pauses.behind is behind


def test_a_clock_that_is_set_anew_or_a_single_wild_stamp_makes_nobody_late() -> None:
    pauses = ReadPauses()
    for number in range(100):
        at = number * FRAME
        pauses.note(at, at + (9800.0 if number == 20 else 0.0) - (3600.0 if number > 50 else 0.0), FRAME)
        assert not pauses.behind
    assert 0 < pauses.due(99 * FRAME, 1.0, 0.2, 0.0) < 0.3


def test_a_camera_whose_clock_is_slow_or_set_back_is_not_taken_for_a_reader_that_is_behind() -> None:
    for rate, back in ((0.95, 0.0), (0.0, 0.0), (1.0, 2.0)):
        pauses = ReadPauses()
        for number in range(25 * 60):
            arrival = number * FRAME
            pauses.note(arrival, arrival * rate - (back if number > 100 else 0.0), FRAME * 0.8)
            assert not pauses.behind, (rate, back, number)
