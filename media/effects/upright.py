"""Turns and mirrors frames as the matrix of their container asks for."""

import struct
from fractions import Fraction
from typing import Any, Final

from av.filter import Graph
from av.filter.context import FilterContext
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from media.effects import pixels
from media.mp4 import moov

_MATRIX: Final = struct.Struct("=5i")  # the first of FFmpeg's nine numbers, which are as those in the track header


def orientation(frame: VideoFrame) -> int:
    """What the container says of a frame that was decoded from it: 1 to 8, as EXIF numbers it."""
    try:
        beside: Any = frame.side_data  # a mapping by type, says PyAV, which iterates over values
        found = next((each for each in beside if each.type == Type.DISPLAYMATRIX), None)
    except ValueError:  # side data beside it of a kind that PyAV does not know
        found = None
    if found is None:
        return 1
    a, b, _, c, d = _MATRIX.unpack_from(bytes(found))
    return moov.oriented(a, b, c, d)


def shape(aspect: Fraction, orientation: int) -> Fraction:
    """The shape of a pixel, width by height, when it is upright."""
    return 1 / aspect if orientation > 4 else aspect


class Upright:
    """Turns frames of any size and format upright; stamps are kept, shapes of pixels and colours too."""

    def __init__(self, orientation: int) -> None:
        self._filters = pixels.TURNS.get(orientation)
        self._built_for: tuple[object, ...] | None = None
        self._graph: Graph | None = None  # contexts do not keep their graph alive (PyAV 18)
        self._ends: tuple[FilterContext, FilterContext] | None = None

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Returns one frame upright; the frame itself if it is upright already."""
        if self._filters is None:
            return frame
        key = (frame.width, frame.height, frame.format.name, frame.color_range, frame.colorspace)
        if key != self._built_for or self._ends is None:
            self._graph = graph = Graph()
            graph.threads = 1
            entry = pixels.source(graph, frame)
            self._ends = entry, pixels.chain(graph, entry, *self._filters, ("buffersink", ""))
            graph.configure()
            self._built_for = key
        entry, end = self._ends
        entry.push(frame)
        result = end.pull()
        assert isinstance(result, VideoFrame)
        return result
