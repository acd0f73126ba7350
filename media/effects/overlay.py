"""Puts a picture on frames: a small libavfilter graph, built anew whenever the picture, its place or the frames change.

Building one takes a quarter of a millisecond, so a change in flight is a new graph between two frames; the encoder
behind it never hears of it.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from media.effects import pixels
from media.placement import Placement, place

TICKS: Final = Fraction(1, 90000)


@dataclass(frozen=True, slots=True)
class Mark:
    """A watermark: an upright straight `rgba` frame, and where it goes."""

    picture: VideoFrame
    placement: Placement

    @classmethod
    def stored(cls, info: dict[str, Any] | None) -> "Mark | None":
        """The watermark of a message: `path` of the stored picture, and the fields of a `Placement`.

        Raises `Fault` as `pixels.load` does.
        """
        if info is None:
            return None
        return cls(pixels.load(Path(info["path"])), Placement(**info["placement"]))


class Overlay:
    """Frames of any size and format in, `yuv420p` of limited range in the wanted size out; stamps are kept.

    `aspect` is the shape of a pixel: where it is not 1, the mark is made narrower or wider to look right. `square`:
    what comes out has square pixels.
    """

    def __init__(
        self,
        width: int | None = None,
        height: int | None = None,
        *,
        aspect: Fraction = Fraction(1),
        square: bool = False,
    ) -> None:
        self._wanted = (width, height)
        self._aspect = aspect
        self._square = square
        self._mark: Mark | None = None
        self._built_for: tuple[object, ...] | None = None
        self._graph: Graph | None = None  # contexts do not keep their graph alive (PyAV 18)
        self._entry: FilterContext | None = None
        self._end: FilterContext | None = None

    def shape(self, aspect: Fraction) -> None:
        """Sets the shape of pixels from the next frame on."""
        self._aspect = aspect
        self._built_for = None

    def show(self, mark: Mark | None) -> None:
        """Shows this watermark, or none, from the next frame on."""
        self._mark = mark
        self._built_for = None

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Returns one frame with the watermark. The input is not changed: it may be the decoder's reference picture."""
        key = (frame.width, frame.height, frame.format.name, frame.color_range, frame.colorspace)
        if key != self._built_for:
            self._build(frame)
            self._built_for = key
        if self._entry is None or self._end is None:
            return frame
        self._entry.push(frame)
        result = self._end.pull()
        assert isinstance(result, VideoFrame)
        return result

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """The size of the output for a frame of this size: even, and of the same shape unless both sides are wanted."""
        width, height = self._wanted
        shown = frame.width * self._aspect if self._square else frame.width
        if width is None and height is None:
            width, height = frame.width, frame.height
        elif width is None and height is not None:
            width = round(shown * height / frame.height)
        elif height is None and width is not None:
            height = round(frame.height * width / shown)
        assert width is not None
        assert height is not None
        return max(2, width // 2 * 2), max(2, height // 2 * 2)

    def _build(self, frame: VideoFrame) -> None:
        size = self.size(frame)
        filters: list[tuple[str, str]] = []
        full = frame.format.name.startswith("yuvj") or int(frame.color_range) == 2
        if size != (frame.width, frame.height) or full:
            filters.append(("scale", f"{size[0]}:{size[1]}:flags=bicubic:out_range=tv"))
        if frame.format.name != "yuv420p":
            filters.append(("format", "yuv420p"))
        if self._mark is None or self._mark.placement.opacity <= 0:
            self._graph, self._entry, self._end = self._plain(frame, filters) if filters else (None, None, None)
        else:
            self._graph, self._entry, self._end = self._marked(frame, filters, size)

    @staticmethod
    def _plain(frame: VideoFrame, filters: list[tuple[str, str]]) -> tuple[Graph, FilterContext, FilterContext]:
        graph = Graph()
        graph.threads = 1
        entry = pixels.source(graph, frame)
        end = pixels.chain(graph, entry, *filters, ("buffersink", ""))
        graph.configure()
        return graph, entry, end

    def _marked(
        self, frame: VideoFrame, filters: list[tuple[str, str]], size: tuple[int, int]
    ) -> tuple[Graph, FilterContext, FilterContext]:
        mark = self._mark
        assert mark is not None
        aspect = 1 if self._square else self._aspect
        box = place(size, (max(1, round(mark.picture.width / aspect)), mark.picture.height), mark.placement)
        logo = _scaled(mark, (box.width, box.height), _matrix(frame))
        graph = Graph()
        graph.threads = 1
        entry = pixels.source(graph, frame)
        main = pixels.chain(graph, entry, *filters)
        beside = pixels.source(graph, logo)
        # One picture, and then the end of its stream: without it, framesync waits for a second picture for ever.
        overlay = graph.add("overlay", f"x={box.x}:y={box.y}:format=yuv420:eof_action=repeat")
        main.link_to(overlay, 0, 0)
        beside.link_to(overlay, 0, 1)
        end = pixels.chain(graph, overlay, ("buffersink", ""))
        graph.configure()
        beside.push(logo)
        beside.push(None)
        return graph, entry, end


def _matrix(frame: VideoFrame) -> str:
    """The colour matrix for the picture, as that of the frame.

    Where the frame says none, browsers count, and Chromium takes BT.709 at any size (measured; ffmpeg takes BT.601).
    """
    return {5: "bt601", 6: "bt601", 9: "bt2020"}.get(int(frame.colorspace), "bt709")


def _scaled(mark: Mark, size: tuple[int, int], matrix: str) -> VideoFrame:
    """The picture in the wanted size, as `yuva420p` with straight alpha.

    It is scaled with the colours multiplied by alpha: else see-through black frays the edges.
    """
    frame = mark.picture
    filters = [("colorchannelmixer", f"aa={min(1.0, mark.placement.opacity):.4f}")]
    if size != (frame.width, frame.height):
        filters += [
            ("format", "gbrap"),
            ("premultiply", "inplace=1"),
            ("scale", f"{size[0]}:{size[1]}:flags=area"),
            ("format", "gbrap"),
            ("unpremultiply", "inplace=1"),
        ]
    filters += [("scale", f"out_color_matrix={matrix}:out_range=tv"), ("format", "yuva420p")]
    scaled = pixels.through(frame, *filters)
    scaled.pts, scaled.time_base = 0, TICKS
    return scaled
