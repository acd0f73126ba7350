"""Where a watermark lies on a frame, and how large it is there: pure arithmetic."""

from dataclasses import dataclass
from math import floor
from typing import Final, Literal

Anchor = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip

INSET: Final = 16  # pixels from the anchor's edges, unless the caller says otherwise
NATURAL: Final = 2  # without a wanted width, a picture is at most half as wide and half as high as the frame


@dataclass(frozen=True, slots=True)
class Placement:
    """What a caller wants. Lengths are pixels, or parts of the frame's width or height when they are under 1.

    With an anchor `x` and `y` are distances from its edges (`INSET` if None); without one they are the place of the
    picture's top left corner (0 if None), and may be negative. With none of the three it is bottom right. `width` 1
    is the whole frame's. `opacity` is 0 (not seen) to 1.
    """

    anchor: Anchor | None = None
    x: float | None = None
    y: float | None = None
    width: float | None = None
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle of the frame in pixels, all even; it may lie partly or wholly outside."""

    x: int
    y: int
    width: int
    height: int


def place(frame: tuple[int, int], picture: tuple[int, int], wanted: Placement) -> Rectangle:
    """The box of a picture (width, height as decoded) on a frame of that size. Never larger than the frame.

    Even numbers, because colours are stored for every second pixel in both directions (4:2:0).
    """
    width, height = _size(frame, picture, wanted.width)
    anchor = wanted.anchor
    if anchor is None and wanted.x is None and wanted.y is None:
        anchor = "bottom-right"
    x = _offset(frame[0], width, wanted.x, _side(anchor, "left", "right"), anchor is None)
    y = _offset(frame[1], height, wanted.y, _side(anchor, "top", "bottom"), anchor is None)
    return Rectangle(x, y, width, height)


def _size(frame: tuple[int, int], picture: tuple[int, int], wanted: float | None) -> tuple[int, int]:
    scale = 1.0 if wanted is None else (wanted * frame[0] if wanted <= 1 else wanted) / picture[0]
    if wanted is None:
        scale = min(scale, frame[0] / NATURAL / picture[0], frame[1] / NATURAL / picture[1])
    scale = min(scale, frame[0] / picture[0], frame[1] / picture[1])
    # Rounded down, but for what floating point takes off.
    return max(2, _even(floor(picture[0] * scale + 1e-6))), max(2, _even(floor(picture[1] * scale + 1e-6)))


def _side(anchor: Anchor | None, near: str, far: str) -> int:
    """Where an anchor puts the picture: -1 at the near edge, 1 at the far edge, 0 in the middle."""
    words = (anchor or near).split("-")
    return -1 if near in words else 1 if far in words else 0


def _offset(length: int, size: int, wanted: float | None, side: int, free: bool) -> int:
    pixels = 0.0 if wanted is None else wanted * length if abs(wanted) < 1 else wanted
    if free:
        return _even(pixels)
    inset = INSET if wanted is None else pixels
    if side == 0:
        return _even((length - size) / 2 + pixels)
    return _even(inset if side < 0 else length - size - inset)


def _even(value: float) -> int:
    return round(value) // 2 * 2
