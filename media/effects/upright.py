"""Turns frames as the matrix of their container asks for."""

from typing import Final

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from media.effects import pixels

# By the angle, which is counter-clockwise.
_TURNS: Final[dict[int, tuple[tuple[str, str], ...]]] = {
    90: (("transpose", "cclock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "clock"),),
}


class Upright:
    """Frames of any size and format in, the same upright out; stamps are kept, shapes of pixels and colours too."""

    def __init__(self, angle: int | None = None) -> None:
        self._angle = angle  # None: what each frame says
        self._built_for: tuple[object, ...] | None = None
        self._graph: Graph | None = None  # contexts do not keep their graph alive (PyAV 18)
        self._ends: tuple[FilterContext, FilterContext] | None = None

    def swaps(self, frame: VideoFrame) -> bool:
        """Whether width becomes height."""
        return self._turn(frame) in (90, 270)

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """One frame; itself if it is upright."""
        turn = self._turn(frame)
        if turn not in _TURNS:
            return frame
        key = (turn, frame.width, frame.height, frame.format.name, frame.color_range, frame.colorspace)
        if key != self._built_for or self._ends is None:
            self._graph = graph = Graph()
            graph.threads = 1
            entry = pixels.source(graph, frame)
            self._ends = entry, pixels.chain(graph, entry, *_TURNS[turn], ("buffersink", ""))
            graph.configure()
            self._built_for = key
        entry, end = self._ends
        entry.push(frame)
        result = end.pull()
        assert isinstance(result, VideoFrame)
        return result

    def _turn(self, frame: VideoFrame) -> int:
        return round(frame.rotation if self._angle is None else self._angle) % 360
