"""Files that are there whole or not at all, also after a kill or a power cut."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in its place at once, readable by its owner alone; it is on disk on return. Raises `OSError`."""
    beside = path.with_name(f"{path.name}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)
        file.write(content)
        file.flush()
        os.fsync(fd)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Whatever was made, renamed or deleted in a folder is on disk on return. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
