"""The folder of packages on disk: how large each is, when it was last used, and its removal."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from media.faults import DISK_FULL, Fault

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_GONE: Final = ".gone"  # what is behind the name of a package that is being removed


@dataclass(frozen=True, slots=True)
class Stored:
    """A package on disk: its key, its bytes, and the Unix time of its last use."""

    key: str
    size: int
    used: float


def stored(folder: Path) -> list[Stored]:
    """The packages there, the longest unused first. Removes what an earlier removal has left. Touches the disk."""
    found = []
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        if entry.name.endswith(_GONE) and _NAME.match(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)
        elif _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            try:
                with os.scandir(entry.path) as files:
                    size = sum(file.stat().st_size for file in files)
                found.append(Stored(entry.name, size, entry.stat().st_mtime))
            except FileNotFoundError:
                continue
    return sorted(found, key=lambda one: one.used)


def used_now(folder: Path, key: str) -> None:
    """Remembers that a package is used, if it is there. Touches the disk."""
    try:
        os.utime(folder / key)
    except OSError:
        return  # it is about to be made, or the disk says no: then it counts as long unused


def hide(folder: Path, key: str) -> Path:
    """Takes a package away from who looks for it, in one step that does not block. Returns the folder to be removed."""
    hidden = folder / f"{key}{_GONE}"
    (folder / key).rename(hidden)
    return hidden


def discard(folder: Path) -> None:
    """Removes what was to become a package, if it can be. Touches the disk."""
    shutil.rmtree(folder, ignore_errors=True)


def unwritable(error: OSError) -> Fault:
    """The fault of a package that could not be written or read. Room may be made, so it is worth another try."""
    if error.errno in DISK_FULL:
        detail = "The disk of cache_dir is full; make room, or lower cache_max_bytes."
        return Fault("capacity-exceeded", detail, "packaging")
    return Fault("internal", f"The cache folder cannot be read or written: {error.strerror}.", "packaging")


def remove(hidden: Path) -> None:
    """Removes the bytes of a hidden package. Channels that read them go on: their file stays until it is closed."""
    shutil.rmtree(hidden, ignore_errors=True)
