"""What a file is now: names by which its packages are found again, and by which it is seen to have changed."""

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

from media.channel.packages.file_watch import FileIdentity
from media.faults import Fault
from media.watermark import Watermark

PROFILE: Final = 4  # grows when the same file would be packaged into other bytes


def key(path: Path) -> str:
    """A name for the file as it is: another one as soon as it is replaced or written to."""
    try:
        found = path.stat()
    except OSError:
        raise Fault("file-not-found", "The file is not there, or it may not be read.", "opening") from None
    if not stat.S_ISREG(found.st_mode):
        raise Fault("file-not-regular", "It is not a regular file.", "opening")
    identity = (PROFILE, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return sha256(repr(identity).encode()).hexdigest()[:32]


def marked(source: str, mark: Watermark | None) -> str:
    """A name for the package of a file with that watermark: the picture itself counts, not what its file is called."""
    if mark is None:
        return source
    return sha256(repr((source, mark.sha256, mark.placement)).encode()).hexdigest()[:32]


def of(paths: list[Path]) -> dict[Path, FileIdentity]:
    """The identity of each file; None for one that cannot be read."""
    found: dict[Path, FileIdentity] = {}
    for path in paths:
        try:
            found[path] = key(path) if os.access(path, os.R_OK) else None
        except Fault:
            found[path] = None
    return found
