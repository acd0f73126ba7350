"""What may be a stream's name, and what may be a file's."""

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from gateway.jobs.failures import Failure

LONGEST: Final = 128  # characters
MARKED_ENDINGS: Final = (".mp4", ".jpg", ".mjpeg")  # /live/{name}.mp4 is an address of its own


def check_stream_name(name: str) -> str:
    """The name, if it may be one (docs/reference/api.md, Stream). Raises `ValueError` with the reason."""
    if not 1 <= len(name) <= LONGEST:
        raise ValueError(f"a stream name has 1 to {LONGEST} characters")
    if "/" in name or any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValueError("a stream name has no slash and no control characters")
    if name in (".", ".."):
        raise ValueError("a stream name is not . or ..")
    if name.lower().endswith(MARKED_ENDINGS):
        raise ValueError("a stream name does not end in .mp4, .jpg or .mjpeg")
    return name


StreamName = Annotated[
    str,
    AfterValidator(check_stream_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": r"^[^/\x00-\x1f\x7f-\x9f]+$"}),
]


def name_for(uri: str) -> str:
    """A stream name made from an address without credentials: `rtsp://10.0.0.5:554/live/1` is `10.0.0.5-554-live-1`."""
    plain = re.sub(r"[^0-9A-Za-z._-]+", "-", uri.partition("://")[2]).strip("-.")[:LONGEST].strip("-.")
    return f"{plain}-" if plain.lower().endswith(MARKED_ENDINGS) else plain or "camera"


def file_below(root: Path, name: str, field: str, missing: str) -> Path:
    """The path of a file named by a caller, surely below `root`: folders are allowed, `..` and links out of it are not.

    Touches the disk. `field` is the request's, for the error. Raises `Failure`: `invalid-field` for a name that cannot
    be one, `missing` (a code) when nothing is there, `file-not-regular` for a folder, a pipe, a device.
    """
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts) or len(name.encode()) > 1024:
        detail = "The file's name must be a relative path below the media folder, without . or .. in it."
        raise Failure("invalid-field", detail, errors=[{"field": field, "detail": detail}])
    try:
        path = (root / name).resolve(strict=True)
        inside = path.is_relative_to(root.resolve())
        regular = path.is_file()
    except OSError:
        raise Failure(missing, f"There is no file {name!r} in the media folder.") from None
    if not inside:
        raise Failure(missing, f"There is no file {name!r} in the media folder.")
    if not regular:
        raise Failure("file-not-regular", f"{name!r} is not a regular file.")
    return path
