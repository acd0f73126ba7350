"""Chaos, shortened: each trouble and each victim once; `make soak` has the thirty rounds of `python -m tests.chaos`."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from media.faultcamera.server import Camera
from tests.chaos import rounds
from tests.chaos.__main__ import summary
from tests.chaos.asking import FILE, MP4, Acknowledged
from tests.chaos.process import Kept
from tests.chaos.rounds import Broken, Chaos, Told
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


async def test_what_is_lost_or_left_breaks_a_round(tmp_path: Path) -> None:
    """The looks themselves, at folders in which something is wrong."""
    for name in ("media", "cache", "data/pictures"):
        (tmp_path / name).mkdir(parents=True)
    gateway = cast(Kept, SimpleNamespace(folder=tmp_path, url="http://127.0.0.1:9"))
    chaos = Chaos(gateway, cast(Camera, None), 1.0, 1)
    told = Acknowledged(files={"a.mp4"}, jobs={"b"})
    with pytest.raises(Broken, match=r"a\.mp4"):
        await chaos._files(told)
    (tmp_path / "media" / "a.mp4").write_bytes(MP4 + FILE)
    await chaos._files(told)
    (tmp_path / "media" / "a.mp4").write_bytes(MP4)
    with pytest.raises(Broken, match=r"a\.mp4"):
        await chaos._files(told)
    assert await chaos._temporary() == ""
    for left in ("media/.a.mp4.part", "cache/0123.gone", "data/pictures/x.part", "core"):
        (tmp_path / left).touch()
        assert left in await chaos._temporary()
        (tmp_path / left).unlink()
    assert await chaos._ready() == "ClientConnectorError"
    assert await chaos._jobs([told]) == "jobs/find: 0"
    assert await chaos._live({"a"}) == "{'a': 'lost'}"
    await chaos.close()
