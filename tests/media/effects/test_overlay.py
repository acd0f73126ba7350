"""Frames through the overlay: colours, edges, sizes, and that its input is left alone."""

import pytest
from av.video.frame import VideoFrame

from media.effects import pixels
from media.effects.overlay import TICKS, Mark, Overlay
from media.placement import Placement


def grey(width: int = 320, height: int = 180, format_: str = "yuv420p", stamp: int = 0) -> VideoFrame:
    frame = VideoFrame(width, height, format_)
    for plane, value in zip(frame.planes, (126, 128, 128), strict=False):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts, frame.time_base = stamp, TICKS
    return frame


def luma(frame: VideoFrame, x: int, y: int) -> int:
    plane = frame.planes[0]
    return bytes(plane)[y * plane.line_size + x]


def white(width: int, height: int, alpha: int = 255) -> VideoFrame:
    return pixels.from_rows(width, height, bytes([255, 255, 255, alpha]) * (width * height))


def test_without_a_watermark_a_frame_that_fits_is_passed_as_it_is() -> None:
    frame = grey()
    assert Overlay().apply(frame) is frame


def test_one_picture_serves_all_frames_and_the_input_is_not_drawn_on() -> None:
    overlay = Overlay()
    overlay.show(Mark(white(40, 20), Placement(x=10, y=10)))
    for number in range(50):
        frame = grey(stamp=number * 3600)
        made = overlay.apply(frame)
        assert made.pts == number * 3600
        assert (luma(made, 30, 20), luma(made, 8, 20), luma(made, 50, 20)) == (235, 126, 126)
        assert luma(frame, 30, 20) == 126


@pytest.mark.parametrize(("alpha", "opacity", "expected"), [(128, 1.0, 181), (255, 0.5, 181), (0, 1.0, 126)])
def test_see_through_is_as_much_as_was_asked_for(alpha: int, opacity: float, expected: int) -> None:
    overlay = Overlay()
    overlay.show(Mark(white(40, 20, alpha), Placement(x=10, y=10, opacity=opacity)))
    assert abs(luma(overlay.apply(grey()), 30, 20) - expected) <= 2


def test_a_white_disc_that_is_made_smaller_has_no_dark_edge() -> None:
    # What is fully transparent is black, as picture editors write it: it must not bleed into the white.
    flat = b"".join(
        bytes((255, 255, 255, 255)) if (x - 60) ** 2 + (y - 60) ** 2 < 2500 else bytes(4)
        for y in range(120)
        for x in range(120)
    )
    overlay = Overlay()
    overlay.show(Mark(pixels.from_rows(120, 120, flat), Placement(x=10, y=10, width=37)))
    made = overlay.apply(grey())
    assert min(luma(made, x, y) for x in range(320) for y in range(180)) >= 124


def test_a_change_of_size_or_format_or_watermark_is_taken_in_stride() -> None:
    overlay = Overlay()
    mark = Mark(white(40, 20), Placement())
    for size, format_ in (((320, 180), "yuv420p"), ((640, 360), "yuv420p"), ((640, 360), "yuvj420p")):
        for shown in (mark, None, mark):
            overlay.show(shown)
            made = overlay.apply(grey(*size, format_))
            assert (made.width, made.height, made.format.name) == (*size, "yuv420p")
            assert (luma(made, size[0] - 30, size[1] - 24) > 200) is (shown is not None)


@pytest.mark.parametrize(
    ("wanted", "made"),
    [((160, None), (160, 90)), ((None, 90), (160, 90)), ((200, 200), (200, 200)), ((None, None), (320, 180))],
)
def test_one_wanted_side_keeps_the_shape(wanted: tuple[int | None, int | None], made: tuple[int, int]) -> None:
    frame = Overlay(*wanted).apply(grey())
    assert (frame.width, frame.height) == made
