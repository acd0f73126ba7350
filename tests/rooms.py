"""The picture of the rooms, made from the code: `python -m tests.rooms` writes `docs/design/rooms.svg`.

A room is a folder of modules. The picture has a box for each, with what its `__init__.py` says, its modules, and the
rooms that it imports from. A room stands above those that it uses.
"""

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).parents[1]
PICTURE: Final = ROOT / "docs/design/rooms.svg"

# From top to bottom, as the import contracts in pyproject.toml have them; rooms of one row do not stand on one another.
ROWS: Final = (
    ("gateway",),
    ("gateway/web", "gateway/web/calls", "gateway/web/wcs", "gateway/web/watch", "gateway/web/observe"),
    ("gateway/web/access", "gateway/web/transport", "gateway/web/openapi"),
    ("gateway/kinds", "gateway/webhooks", "gateway/auth", "gateway/jobs", "gateway/jobs/storage"),
    ("media/camera", "media/channel", "media/transcoding", "media/pictures", "media/watch"),
    (
        "media/camera/worker", "media/channel/worker", "media/transcoding/worker", "media/pictures/worker",
        "media/watch/worker",
    ),
    ("media/channel/playlist", "media/channel/packages", "media/process", "media/process/worker", "media/rtsp"),
    ("media/codecs", "media/effects", "media/mp4", "media/net", "media/timing"),
    ("media", "media/faultcamera", "media/faultcamera/clip", "media/faultcamera/rtsp"),
)  # fmt: skip

WIDTH: Final = 300  # of a box, in pixels
GAP: Final = 16
LINE: Final = 15
COLUMNS: Final = 5


@dataclass(frozen=True, slots=True)
class Room:
    """A folder: its path, what it is for, its modules, and the other rooms that they import from."""

    path: str
    purpose: str
    modules: tuple[str, ...]
    uses: tuple[str, ...]


def folders() -> list[str]:
    """Every folder that holds modules of the product, as a path below the repository."""
    found = {path.parent for package in ("gateway", "media") for path in (ROOT / package).rglob("*.py")}
    return sorted(str(path.relative_to(ROOT)) for path in found)


def room(path: str) -> Room:
    """What the code says of one folder."""
    files = sorted((ROOT / path).glob("*.py"))
    used = {_home(name) for file in files for name in _imports(file)} - {path, ""}
    return Room(
        path,
        (ast.get_docstring(ast.parse((ROOT / path / "__init__.py").read_text())) or "").splitlines()[0],
        tuple(file.stem for file in files if file.name != "__init__.py"),
        tuple(sorted(used)),
    )


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _home(name: str) -> str:
    """The folder of an imported module or of the module that has the imported name; "" when it is not ours."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file():
            return str(path.parent.relative_to(ROOT))
        if path.is_dir() and parts[0] in ("gateway", "media"):
            return str(path.relative_to(ROOT))
    return ""


def _text(here: Room) -> list[tuple[str, str]]:
    """The lines of a box, each with the class that styles it."""
    lines = [("name", f"{here.path}/")]
    lines += [("purpose", line) for line in textwrap.wrap(here.purpose, 42)]
    lines += [("modules", line) for line in textwrap.wrap(" ".join(here.modules), 41)]
    lines += (
        [("uses", line) for line in textwrap.wrap("uses " + ", ".join(here.uses), 46, break_on_hyphens=False)]
        if here.uses
        else []
    )
    return lines


def drawn() -> str:
    """The whole picture as SVG."""
    top = GAP
    body: list[str] = []
    for row in ROWS:
        boxes = [_text(room(path)) for path in row]
        height = max(len(lines) for lines in boxes) * LINE + 2 * GAP
        for column, lines in enumerate(boxes):
            body.append(
                _box(GAP + column * (WIDTH + GAP), top, height, lines, "media" if row[0][0] == "m" else "gateway")
            )
        top += height + GAP
    width = GAP + COLUMNS * (WIDTH + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        'role="img" aria-label="The rooms of the code">\n'
        "<style>text{font:12px sans-serif;fill:#222}.name{font-weight:bold;font-size:14px}"
        ".modules{font-family:monospace;font-size:11px}.uses{fill:#666;font-size:11px}rect{stroke:#888}.gateway{fill:#eaf2fb}.media{fill:#f3f6e8}"
        ".ground{fill:#fff;stroke:none}</style>\n"
        f'<rect class="ground" width="{width}" height="{top}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _box(left: int, top: int, height: int, lines: list[tuple[str, str]], side: str) -> str:
    rows = [
        f'<text class="{style}" x="{left + 10}" y="{top + GAP + 4 + LINE * number}">{escape(line)}</text>'
        for number, (style, line) in enumerate(lines)
    ]
    return f'<rect class="{side}" x="{left}" y="{top}" width="{WIDTH}" height="{height}" rx="6"/>\n' + "\n".join(rows)


if __name__ == "__main__":
    PICTURE.write_text(drawn())
