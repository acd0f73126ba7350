"""Whether the files of an open database are still those that were opened: SQLite does not notice when they are not."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

FileOnDisk = tuple[int, int, int]  # device, inode, bytes


@dataclass
class Presence:
    """The files as they were last seen. They never become smaller while they are open: nothing here makes them so."""

    _seen: dict[Path, FileOnDisk] = field(default_factory=dict)

    def note(self, paths: Collection[Path]) -> None:
        """From now on these files are watched, and no others."""
        self._seen = {path: found for path in paths if (found := _look(path)) is not None}

    def lost(self, paths: Collection[Path] = ()) -> str:
        """What has happened to these files (none given: to all that are watched); "" when nothing has.

        A file that was not there before is watched from now on.
        """
        for path in paths or list(self._seen):
            before, now = self._seen.get(path), _look(path)
            if now is None:
                if before is not None:
                    return f"{path.name} is gone"
            elif before is not None and now[:2] != before[:2]:
                return f"{path.name} is another file"
            elif before is not None and now[2] < before[2]:
                return f"{path.name} has been cut from {before[2]} to {now[2]} bytes"
            else:
                self._seen[path] = now
        return ""

    def replaced(self, paths: Collection[Path]) -> bool:
        """Whether one of the files is no longer the one that was opened."""
        return any(now[:2] != before[:2] for path in paths if (before := self._seen.get(path)) and (now := _look(path)))


def _look(path: Path) -> FileOnDisk | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (half of the time that Path.stat takes, with each commit)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size
