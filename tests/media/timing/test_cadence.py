"""Chunks between regular key frames are even: what low-latency HLS asks of its parts."""

from collections.abc import Iterable
from fractions import Fraction

import pytest

from media.timing.cadence import Cadence

GOAL = 29_700


def cut(groups: Iterable[int], frame: int, goal: int = GOAL) -> list[list[int]]:
    """Frames in each chunk of each group of so many frames, as the cutter asks."""
    cadence, made = Cadence(goal), []
    for frames in groups:
        cadence.key()
        made.append([0])
        for index in range(frames):
            if index and cadence.full:
                cadence.cut()
                made[-1].append(0)
            cadence.add(frame)
            made[-1][-1] += 1
        cadence.cut()
    return made


def test_the_first_group_is_cut_by_the_goal_and_the_next_ones_evenly() -> None:
    assert cut([25, 25, 25], 3_600) == [[9, 9, 7], [9, 8, 8], [9, 8, 8]]


@pytest.mark.parametrize(
    ("fps", "gop"), [(25, 50), (30, 30), (30, 60), (15, 15), (12, 24), (60, 60), (24, 48), (50, 25)]
)
def test_common_cameras_have_parts_of_at_least_85_percent_of_the_longest(fps: int, gop: int) -> None:
    *_, last = cut([gop] * 3, 90_000 // fps)
    assert Fraction(min(last), max(last)) > Fraction(88, 100)
    assert sum(last) == gop


def test_a_group_that_is_longer_than_the_last_one_goes_on_in_the_same_step() -> None:
    assert cut([25, 25, 50], 3_600)[2] == [9, 8, 8, 9, 8, 8]


def test_a_group_that_is_shorter_is_a_lesson_for_the_next() -> None:
    assert cut([25, 25, 13, 13], 3_600)[3] == [7, 6]
