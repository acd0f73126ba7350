"""A reader made of FFmpeg as a process of its own: `python reader.py LIBRARY ADDRESS WIDTHxHEIGHT ...`.

LIBRARY is `av`, `cv2` or `ffmpeg` (the program). It prints a line for each picture: width, height, the number in its
marks (or -). OpenCV and ffmpeg scale every picture to the size of the first one, so they are told that one and the
others, whole fractions of it; that size is printed with which the marks can be read. The marks are loaded by their
file, so this also runs where only the library is installed.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MARKS = Path(__file__).parents[2] / "media/faultcamera/clip/marks.py"


class Picture(NamedTuple):
    """The luma of a picture, `width` bytes a line."""

    width: int
    height: int
    luma: bytes

    def shrunk(self, width: int, height: int) -> "Picture":
        """Every so many pixels of every so many lines."""
        lines = range(0, self.height, self.height // height)
        step = self.width // width
        luma = b"".join(self.luma[line * self.width : (line + 1) * self.width : step] for line in lines)
        return Picture(width, height, luma)


def _by_pyav(address: str) -> Iterator[Picture]:
    import av

    with av.open(address, timeout=30.0) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma, size = bytes(plane), plane.line_size
            lines = (luma[line * size : line * size + frame.width] for line in range(frame.height))
            yield Picture(frame.width, frame.height, b"".join(lines))


def _by_opencv(address: str) -> Iterator[Picture]:
    cv2: Any = importlib.import_module("cv2")
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
    while True:
        there, picture = capture.read()
        if not there:
            return
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        yield Picture(grey.shape[1], grey.shape[0], grey.tobytes())


def _by_ffmpeg(address: str, width: int, height: int) -> Iterator[Picture]:
    grey = f"-map 0:v -vf scale={width}:{height}:flags=neighbor -f rawvideo -pix_fmt gray -fps_mode passthrough pipe:1"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", address, *grey.split()]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while len(luma := process.stdout.read(width * height)) == width * height:
            yield Picture(width, height, luma)


def main(library: str, address: str, *sizes: str) -> None:
    """Prints until the stream ends or nobody reads."""
    spec = importlib.util.spec_from_file_location("marks", MARKS)
    assert spec is not None
    assert spec.loader is not None
    marks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(marks)
    known = [(int(width), int(height)) for width, height in (size.split("x") for size in sizes)]
    if library == "ffmpeg":
        pictures = _by_ffmpeg(address, *known[0])
    else:
        pictures = _by_pyav(address) if library == "av" else _by_opencv(address)
    for picture in pictures:
        looks = [picture] if library == "av" else [picture.shrunk(*size) for size in known]
        read = [(one, marks.read(one.luma, one.width, one.width, one.height)) for one in looks]
        one, number = next((each for each in read if each[1] is not None), read[0])
        print(one.width, one.height, "-" if number is None else number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
