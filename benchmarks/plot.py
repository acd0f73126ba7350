"""Draws the samples of a soak as a picture for the docs: one small chart for each column, over the minutes.

    python -m benchmarks.plot SAMPLES.csv PICTURE.svg TITLE

The first column of the file is time. Every chart begins at zero, so that a slope is what it looks like.
"""

import csv
import sys
from html import escape
from math import floor, log10
from pathlib import Path
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 120  # of one chart
LEFT, RIGHT, TOP, BELOW = 64, 16, 44, 34
LABELS: Final = {
    "memory": "memory of the gateway's process, MB",
    "workers_memory": "memory of all workers, proportional, MB",
    "open_files": "open files of the gateway's process",
    "processes": "worker processes, with the fork server",
    "threads": "threads of the gateway's process",
}
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#444}.title{font-size:15px;font-weight:600;fill:#111}"
    ".name{font-weight:600;fill:#222}.grid{stroke:#ddd}.line{fill:none;stroke:#1667b7;stroke-width:1.3}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}.title,.name{fill:#eee}.grid{stroke:#444}.line{stroke:#6db3f2}}"
)


def draw(rows: list[dict[str, float]], title: str) -> str:
    """The picture as SVG."""
    time, *columns = rows[0]
    height = TOP + (HEIGHT + BELOW) * len(columns) + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<style>{STYLE}</style><title>{escape(title)}</title>",
        f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
    ]
    end = max(row[time] for row in rows)
    for number, column in enumerate(columns):
        top = TOP + number * (HEIGHT + BELOW)
        points = [(row[time], row[column]) for row in rows]
        parts += _chart(LABELS.get(column, column), points, end, top)
    return "\n".join([*parts, f'<text x="{LEFT}" y="{height - 8}">minutes</text>', "</svg>", ""])


def _chart(name: str, points: list[tuple[float, float]], end: float, top: int) -> list[str]:
    most = max(value for _, value in points) or 1.0
    step = _step(most)
    ceiling = step * (floor(most / step) + 1)
    wide = WIDTH - LEFT - RIGHT

    def place(minutes: float, value: float) -> tuple[float, float]:
        return LEFT + minutes / end * wide, top + HEIGHT - value / ceiling * (HEIGHT - 16)

    parts = [f'<text class="name" x="{LEFT}" y="{top + 4}">{escape(name)}</text>']
    for number in range(round(ceiling / step) + 1):
        _, y = place(0, number * step)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    for minutes in range(0, floor(end) + 1, max(1, round(end / 6))):
        x, y = place(minutes, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{minutes}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    return [*parts, f'<polyline class="line" points="{line}"/>']


def _step(most: float) -> float:
    """Between two lines of the grid: 1, 2 or 5 of some power of ten, for three or four of them."""
    rough = most / 3
    power = 10.0 ** floor(log10(rough))
    return power * next(each for each in (1, 2, 5, 10) if each * power >= rough)


def main(source: str, target: str, title: str) -> None:
    with Path(source).open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    Path(target).write_text(draw(rows, title))


if __name__ == "__main__":
    main(*sys.argv[1:4])
