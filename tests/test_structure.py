"""The structure of the code keeps its limits, and its picture is that of the code."""

import pytest

from tests import rooms, structure


@pytest.mark.parametrize("figure", structure.figures(), ids=lambda figure: figure.what)
def test_the_structure_keeps_its_limits(figure: structure.Figure) -> None:
    assert figure.count <= figure.limit, "\n".join(figure.found)


def test_every_folder_is_in_the_picture_of_the_rooms() -> None:
    assert sorted(path for row in rooms.ROWS for path in row) == rooms.folders()


def test_the_picture_of_the_rooms_is_that_of_the_code() -> None:
    assert rooms.PICTURE.read_text() == rooms.drawn(), "`make map` draws it anew"
