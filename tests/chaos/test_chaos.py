"""Chaos, shortened: each trouble and each victim once; `make soak` has the thirty rounds of `python -m tests.chaos`."""

from pathlib import Path

import pytest

from tests.chaos import rounds
from tests.chaos.__main__ import summary
from tests.chaos.rounds import Told
from tests.chaos.troubles import TROUBLES, VICTIMS, small_disk

pytestmark = pytest.mark.media


async def all_rounds(folder: Path, count: int, seconds: float) -> list[Told]:
    """They raise `Broken` when something is lost, left, or not well again."""
    found: list[Told] = []
    with small_disk(folder):
        assert await rounds.run(folder, count, seconds, 1, lambda _, each: found.append(each)) == 0
    return found


async def test_kills_and_shortages_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    found = await all_rounds(tmp_path / "disk", 3, 1.0)
    assert {each.trouble for each in found} == set(TROUBLES)
    assert {each.victim for each in found} == set(VICTIMS)
    assert sum(each.acknowledged for each in found) > 3


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_thirty_rounds_of_kills_and_shortages_lose_nothing_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await all_rounds(tmp_path / "disk", 30, 5.0)
    with capsys.disabled():
        print(f"\n{summary(found)}")
    assert len({(each.trouble, each.victim) for each in found}) == 9
    assert sum(each.refused + each.broken_off for each in found) > 0  # the troubles were felt
