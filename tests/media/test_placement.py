"""Where a watermark lies: examples, and what holds for any picture and any frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.placement import INSET, Anchor, Placement, Rectangle, place

HD = (1280, 720)
LOGO = (200, 100)
side = st.integers(2, 4096)
length = st.none() | st.floats(-5000, 5000, allow_nan=False)


@pytest.mark.parametrize(
    ("wanted", "box"),
    [
        (Placement(), Rectangle(1280 - 200 - INSET, 720 - 100 - INSET, 200, 100)),
        (Placement("top-left"), Rectangle(INSET, INSET, 200, 100)),
        (Placement("top"), Rectangle(540, INSET, 200, 100)),
        (Placement("center"), Rectangle(540, 310, 200, 100)),
        (Placement("right", x=0), Rectangle(1080, 310, 200, 100)),
        (Placement("bottom-right", x=0, y=0.1), Rectangle(1080, 548, 200, 100)),
        (Placement(x=33), Rectangle(32, 0, 200, 100)),
        (Placement(y=0.25), Rectangle(0, 180, 200, 100)),
        (Placement(x=0, y=0, width=0.5), Rectangle(0, 0, 640, 320)),
        (Placement(x=0, y=0, width=1), Rectangle(0, 0, 1280, 640)),
        (Placement(x=0, y=0, width=51), Rectangle(0, 0, 50, 24)),
    ],
)
def test_a_placement_is_a_box_on_the_frame(wanted: Placement, box: Rectangle) -> None:
    assert place(HD, LOGO, wanted) == box


def test_a_picture_in_its_natural_size_never_covers_more_than_a_quarter() -> None:
    box = place(HD, (4000, 4000), Placement())
    assert (box.width, box.height) == (360, 360)


@given(
    frame=st.tuples(side, side),
    picture=st.tuples(side, side),
    anchor=st.none() | st.sampled_from(["top-left", "top", "center", "right", "bottom-right"]),
    x=length,
    y=length,
    width=st.none() | st.floats(0.01, 5000),
)
def test_a_box_is_even_and_never_larger_than_its_frame(
    frame: tuple[int, int],
    picture: tuple[int, int],
    anchor: Anchor | None,
    x: float | None,
    y: float | None,
    width: float | None,
) -> None:
    box = place(frame, picture, Placement(anchor, x, y, width))
    assert all(value % 2 == 0 for value in (box.x, box.y, box.width, box.height))
    assert 2 <= box.width <= max(2, frame[0])
    assert 2 <= box.height <= max(2, frame[1])
    if width is None:
        assert box.width <= max(2, frame[0] / 2)
        assert box.height <= max(2, frame[1] / 2)
