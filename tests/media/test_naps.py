"""A reader looks away only while it is up to date."""

from media.naps import NAP, WAITED, Naps


def read(seconds: float, cost: float) -> tuple[float, int]:
    """A camera of 25 pictures a second, each of which takes `cost` seconds to deal with: how late is the last, naps."""
    naps, now, count = Naps(), 0.0, 0
    for number in range(round(seconds * 25)):
        asked, sent = now, number * 0.04
        now = max(now, sent)
        naps.note(now, sent)
        waited = now - asked
        now += cost
        if naps.due(waited):
            count += 1
            now += NAP
    return now - seconds, count


def test_a_camera_is_looked_at_about_nine_times_a_second_instead_of_twenty_five() -> None:
    late, count = read(60, 0.001)
    assert late < 0.1
    assert 8 * 60 < count < 11 * 60


def test_a_reader_that_is_busy_stays_up_to_date() -> None:
    late, _ = read(60, 0.035)
    assert late < 0.2


def test_whoever_is_late_takes_no_nap_until_it_has_caught_up() -> None:
    naps = Naps()
    naps.note(0.0, 0.0)
    assert naps.due(WAITED * 2)
    naps.note(1.0, 0.4)
    assert not naps.due(WAITED * 2)
    naps.note(1.1, 1.0)
    assert naps.due(WAITED * 2)
    assert not naps.due(WAITED / 2)
