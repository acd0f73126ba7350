"""A reader made of FFmpeg as a process of its own: `python reader.py LIBRARY ADDRESS`, LIBRARY `av` or `cv2`.

It prints a line for each picture: width, height, the number in its marks (or -), and its time in seconds. It imports
nothing of the project but the marks, by their file, so it also runs where only the library is installed.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

MARKS = Path(__file__).parents[2] / "media/faultcamera/clip/marks.py"


def _marks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("marks", MARKS)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def _by_pyav(address: str) -> Iterator[tuple[int, int, bytes, int, float]]:
    import av

    with av.open(address, timeout=30.0) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            yield frame.width, frame.height, bytes(plane), plane.line_size, frame.time or 0.0


def _by_opencv(address: str) -> Iterator[tuple[int, int, bytes, int, float]]:
    cv2: Any = importlib.import_module("cv2")
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
    while True:
        there, picture = capture.read()
        if not there:
            return
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        height, width = grey.shape
        yield width, height, grey.tobytes(), width, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


def main(library: str, address: str) -> None:
    marks = _marks()
    pictures = _by_pyav if library == "av" else _by_opencv
    for width, height, luma, line_size, seconds in pictures(address):
        number = marks.read(luma, line_size, width, height)
        print(width, height, "-" if number is None else number, f"{seconds:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
