"""Turns a decoded picture into upright, straight 8-bit RGBA, and keeps it as plain bytes."""

import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Final

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from media.faults import Fault

# EXIF 2.32, tag 0x0112: how the stored picture must be turned to be upright, in FFmpeg's words.
TURNS: Final[dict[int, tuple[tuple[str, str], ...]]] = {
    2: (("hflip", ""),),
    3: (("hflip", ""), ("vflip", "")),
    4: (("vflip", ""),),
    5: (("transpose", "cclock_flip"),),
    6: (("transpose", "clock"),),
    7: (("transpose", "clock_flip"),),
    8: (("transpose", "cclock"),),
}
_HEAD: Final = struct.Struct(">4sII")
_MAGIC: Final = b"RGA1"


def source(graph: Graph, frame: VideoFrame) -> FilterContext:
    """The entry of a graph for frames like this one; stamps are in ticks of 1/90000 s."""
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
    colours = f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    return graph.add("buffer", f"{size}:time_base=1/90000:pixel_aspect=1/1:{colours}")


def chain(graph: Graph, first: FilterContext, *filters: tuple[str, str]) -> FilterContext:
    """Adds filters one behind another; returns the last."""
    for name, arguments in filters:
        added = graph.add(name, arguments) if arguments else graph.add(name)
        first.link_to(added)
        first = added
    return first


def through(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    """Sends one frame through a graph of its own."""
    graph = Graph()
    graph.threads = 1
    entry = source(graph, frame)
    end = chain(graph, entry, *filters, ("buffersink", ""))
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1, 90000)
    entry.push(frame)
    entry.push(None)
    result = end.pull()
    assert isinstance(result, VideoFrame)
    return result


def normalised(frame: VideoFrame, orientation: int = 1) -> VideoFrame:
    """The picture as upright `rgba`: palettes, grey, 16 bits, YUV and any EXIF orientation become what a person would
    call it.
    """
    return through(frame, *TURNS.get(orientation, ()), ("format", "rgba"))


def rows(frame: VideoFrame) -> bytes:
    """The pixels of an `rgba` frame, four bytes each, row by row, without padding."""
    plane = frame.planes[0]
    data, width = bytes(plane), frame.width * 4
    if plane.line_size == width:
        return data[: width * frame.height]
    return b"".join(data[at : at + width] for at in range(0, plane.line_size * frame.height, plane.line_size))


def save(path: Path, frame: VideoFrame) -> None:
    """Writes an `rgba` frame: whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(_HEAD.pack(_MAGIC, frame.width, frame.height) + rows(frame))
    part.replace(path)


def load(path: Path) -> VideoFrame:
    """The frame that `save` wrote. Fault: `image-not-found` when it is gone, `image-corrupt` when it is something
    else.
    """
    try:
        data = path.read_bytes()
    except OSError:
        raise Fault("image-not-found", "The stored picture is gone; name its file again.", "reading") from None
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise Fault("image-corrupt", "The stored picture is damaged; name its file again.", "reading")
    _, width, height = _HEAD.unpack_from(data)
    if len(data) != _HEAD.size + width * height * 4:
        raise Fault("image-corrupt", "The stored picture is damaged; name its file again.", "reading")
    return from_rows(width, height, data[_HEAD.size :])


def from_rows(width: int, height: int, pixels: bytes) -> VideoFrame:
    """An `rgba` frame from the bytes of its pixels, four each, row by row, without padding."""
    frame = VideoFrame(width, height, "rgba")
    plane = frame.planes[0]
    line, padding = width * 4, bytes(plane.line_size - width * 4)
    if padding:
        pixels = b"".join(pixels[at : at + line] + padding for at in range(0, line * height, line))
    plane.update(pixels)
    return frame
