"""A reader looks away only while it is up to date, and only until a chunk is due."""

from math import inf

from media.naps import HELD, JITTER, LONGEST, NAP, WAITED, Naps

FRAME = 0.04


def read(seconds: float, cost: float, frames: int = 8, rate: float = 0.0) -> tuple[float, float, int]:
    """A camera of 25 pictures a second, each of which takes `cost` seconds to deal with, in chunks of so many.

    How late the last picture was read, how late a picture that ended a chunk was at most once there was a rhythm, and
    how often there was a nap.
    """
    naps, now, count, latest = Naps(), 0.0, 0, 0.0
    for number in range(round(seconds * 25)):
        asked, sent = now, number * FRAME
        now = max(now, sent)
        naps.note(now, sent)
        if number % frames == 0 and number > 25:
            latest = max(latest, now - sent)
        waited = now - asked
        now += cost
        nap = naps.due(now, waited, (frames - number % frames) * FRAME, rate)
        count += nap > 0
        now += nap
    return now - seconds, latest, count


def test_a_camera_is_looked_at_once_or_twice_for_each_chunk_which_is_not_late() -> None:
    late, latest, count = read(60, 0.001)
    assert late < LONGEST
    assert latest < JITTER * 2
    assert 60 * 25 / 8 * 0.9 < count < 2.1 * 60 * 25 / 8


def test_a_camera_that_sends_more_than_a_socket_holds_is_looked_at_more_often() -> None:
    assert read(60, 0.001, rate=HELD / NAP)[2] > read(60, 0.001)[2] * 1.2
    assert read(60, 0.001, rate=inf)[2] == read(60, 0.001, rate=HELD / NAP)[2]


def test_a_reader_that_is_busy_stays_up_to_date() -> None:
    assert read(60, 0.035)[0] < LONGEST + 0.1


def test_whoever_is_late_takes_no_nap_until_it_has_caught_up() -> None:
    naps = Naps()
    naps.note(0.0, 0.0)
    assert naps.due(0.0, WAITED * 2, 1.0, 0.0) == LONGEST
    naps.note(1.0, 0.4)
    assert not naps.due(1.0, WAITED * 2, 1.0, 0.0)
    naps.note(1.1, 1.0)
    assert naps.due(1.1, WAITED * 2, 1.0, 0.0)
    assert not naps.due(1.1, WAITED / 2, 1.0, 0.0)


def test_a_clock_that_is_set_anew_or_a_single_wild_stamp_makes_nobody_late() -> None:
    naps = Naps()
    for number in range(100):
        at = number * FRAME
        naps.note(at, at + (9800.0 if number == 20 else 0.0) - (3600.0 if number > 50 else 0.0))
        assert not naps.behind
    assert 0 < naps.due(99 * FRAME, 1.0, 0.2, 0.0) < 0.3
