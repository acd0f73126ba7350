"""Sound is held to the picture with which it arrives, and only when what is said of the two cannot be true."""

import pytest

from media.timing.togetherness import BELIEVED, SoundOffset


@pytest.mark.parametrize("off", [-BELIEVED, -0.5, 0.0, 0.04, BELIEVED])
def test_an_offset_that_can_be_true_is_taken_as_it_is_told(off: float) -> None:
    offset = SoundOffset()
    assert offset.place(100 + off, picture=100.0, since=0.0) == 100 + off
    assert offset.corrections == 0


@pytest.mark.parametrize("off", [-268_335.5, -3600.0, -3.5, 3.5, 100.0])
def test_one_that_cannot_is_corrected_once_and_the_sound_goes_on_from_there(off: float) -> None:
    offset = SoundOffset()
    placed = [offset.place(at + off, picture=at, since=0.0) for at in (10.0, 10.5, 11.0, 20.0)]
    assert placed == pytest.approx([10.0, 10.5, 11.0, 20.0])
    assert offset.corrections == 1


def test_sound_that_goes_on_while_no_picture_comes_is_where_it_belongs() -> None:
    offset = SoundOffset()
    assert offset.place(18.0, picture=10.0, since=8.0) == 18.0
    assert offset.corrections == 0


def test_sound_that_waited_in_the_network_with_the_picture_is_where_it_belongs() -> None:
    offset = SoundOffset()
    assert offset.place(10.04, picture=10.0, since=8.0) == 10.04
    assert offset.corrections == 0


def test_sound_that_came_before_the_picture_had_its_place_is_where_it_belongs() -> None:
    offset = SoundOffset()
    assert offset.place(2.0, picture=10.0, since=-8.0) == 2.0
    assert offset.corrections == 0
