"""The media folder: what is in it, what may come in, what goes; touches the disk, so it runs in threads."""

import contextlib
import fcntl
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from gateway.atomic import sync_folder
from gateway.jobs.failures import Failure
from gateway.kinds.names import file_below
from media.faults import DISK_FULL
from media.mp4.boxes import FIRST

UNFINISHED: Final = ".reelgate-upload-"  # what a file is called while it comes in; of no use after a crash
MOST_LISTED: Final = 10_000
DEEPEST: Final = 8  # folders within folders
HEAD: Final = 16  # bytes by which a format is known
RESERVED: Final = "find_all"  # `/media/find_all` is a method

# Format -> media type; one row for each format that some method can use.
TYPES: Final = {"mp4": "video/mp4", "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def format_of(head: bytes) -> str | None:
    """What a file is by its first `HEAD` bytes; None for what no method can use. Its name does not count."""
    if head[4:8] in FIRST:
        return "mp4"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `size` is in bytes, `modified` in seconds since the epoch, `format` a key of `TYPES` or None.

    `identity` is another one as soon as the file is replaced or written to: device, inode, size, mtime in ns.
    """

    name: str
    size: int
    modified: float
    format: str | None
    identity: tuple[int, int, int, int]


def check_name(name: str) -> str:
    """A name under which a file may come in. Raises `Failure` `invalid-field`; `file_below` guards what is there."""
    parts = name.split("/")
    reason = ""
    if any(part in ("", ".", "..") for part in parts):
        reason = "a relative path, without empty parts and without . or .."
    elif any(part.startswith(".") for part in parts):
        reason = "a path in which nothing begins with a dot"
    elif any(unicodedata.category(char) in ("Cc", "Cs") for char in name) or "\\" in name:
        reason = "free of control characters and of backslashes"
    elif len(name.encode()) > 1024 or any(len(part.encode()) > 200 for part in parts) or len(parts) > DEEPEST:
        reason = f"at most 1024 bytes long, 200 a part, and at most {DEEPEST} parts deep"
    elif name == RESERVED:
        reason = f"another one than {RESERVED}, which is a method"
    if reason:
        detail = f"The file's name must be {reason}."
        raise Failure("invalid-field", detail, errors=[{"field": "name", "detail": detail}])
    return name


def known(root: Path, name: str) -> tuple[Path, Found]:
    """A file that is there, and its place. Raises `Failure` as `gateway.kinds.names.file_below` does."""
    path = file_below(root, name, "name", "file-not-found")
    try:
        return path, _found_at(path, name)
    except OSError:
        raise _missing(name) from None


def opened(root: Path, name: str) -> tuple[FileIO, Found]:
    """A file that is there, open to be read, and what it is. Raises `Failure` as `file_below` does."""
    path = file_below(root, name, "name", "file-not-found")
    try:
        # Not blocking: a pipe without a writer could have taken the file's place.
        file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        raise _missing(name) from None
    return file, _found(file.fileno(), name)


def listed(root: Path) -> list[Found]:
    """All regular files below the folder, by name; hidden ones, and what leads out of it, do not count."""
    found = []
    for name in _names(root, "", DEEPEST):
        with contextlib.suppress(OSError, Failure):
            found.append(_found_at(file_below(root, name, "name", "file-not-found"), name))
        if len(found) >= MOST_LISTED:
            break
    return sorted(found, key=lambda each: each.name)


def remove(root: Path, name: str) -> None:
    """Deletes a file; of a link, the link. No link is followed on the way to it. Raises `Failure`."""
    file_below(root, name, "name", "file-not-found")
    *folders, last = name.split("/")
    try:
        with _folder(root.resolve(), folders) as folder:
            os.unlink(last, dir_fd=folder)
            os.fsync(folder)
    except FileNotFoundError:
        raise _missing(name) from None
    except NotADirectoryError:
        detail = f"The way to {name!r} leads through a link; delete it by its own name."
        raise Failure("file-not-regular", detail) from None
    except OSError as error:
        raise Failure("forbidden", f"The gateway may not delete {name!r}: {error.strerror}.") from None


@contextlib.contextmanager
def _folder(root: Path, names: list[str]) -> Iterator[int]:
    """A descriptor of a folder below the root. Raises `NotADirectoryError` for a link on the way."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            before, fd = fd, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(before)
        yield fd
    finally:
        os.close(fd)


def sweep(root: Path) -> None:
    """Deletes what uploads have left that were cut short by a crash.

    An upload that is still under way, in another gateway on the same folder, is locked and stays.
    """
    for path in root.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


class Upload:
    """One file that comes in: written under a hidden name, and then there at once and whole, or not at all.

    All methods but the constructor touch the disk, and raise `Failure` when it is full or may not be written.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = check_name(name)
        self._path = root / f"{UNFINISHED}{secrets.token_hex(8)}"
        self._file: FileIO | None = None
        self._head = b""

    def write(self, data: bytes) -> None:
        """The next bytes. The first ones must be those of a format that is of use: `file-not-media` if not."""
        if self._file is None:
            with _writing(self._name):
                # Not buffered: nothing is left to be written by a `close`, which may find the disk full as well.
                self._file = self._path.open("xb", buffering=0)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is under way: see `sweep`
        if len(self._head) < HEAD:
            self._head = (self._head + data)[:HEAD]
            if len(self._head) == HEAD:
                self._checked()
        left = memoryview(data)
        with _writing(self._name):
            while left:  # a disk that is almost full takes a part
                left = left[self._file.write(left) :]

    def commit(self) -> tuple[Found, bool]:
        """The file is whole: puts it in its place. Returns it, and whether it is new there."""
        if self._file is None:
            raise Failure("file-empty", "The request has no body; a file has at least one byte.")
        self._checked()
        target = self._target()
        with _writing(self._name):
            os.fsync(self._file.fileno())
            self._file.close()
            new = not target.exists()
            self._path.replace(target)
            sync_folder(target.parent)
            return _found_at(target, self._name), new

    def discard(self) -> None:
        """Removes what was not committed. May be called at any time."""
        if self._file is not None:
            for rid in (self._file.close, self._path.unlink):
                with contextlib.suppress(OSError):
                    rid()

    def _checked(self) -> None:
        if format_of(self._head) is None:
            raise Failure("file-not-media", "The content is neither MP4 or QuickTime, nor PNG, JPEG or WebP.")

    def _target(self) -> Path:
        """The file's place, after its folders were made. It is below the root, also where links lead out of it."""
        with _writing(self._name):
            folder = self._root.resolve(strict=True)
            for part in self._name.split("/")[:-1]:
                folder = folder / part
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                if not stat.S_ISDIR(folder.lstat().st_mode):
                    raise Failure("file-not-regular", f"{part!r} in the file's name is there and is no folder.")
            return folder / self._name.rpartition("/")[2]


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise Failure("capacity-exceeded", "The disk of the media folder is full.", retry_after=60) from None
        if isinstance(error, IsADirectoryError):
            raise Failure("file-not-regular", f"{name!r} is a folder.") from None
        raise Failure("forbidden", f"The gateway may not write to its media folder: {error.strerror}.") from None


def _names(root: Path, below: str, depth: int) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or not _utf8(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from _names(root, f"{below}{entry.name}/", depth - 1)
        else:
            yield below + entry.name


def _utf8(name: str) -> bool:
    return not any(unicodedata.category(char) == "Cs" for char in name)


def _found_at(path: Path, name: str) -> Found:
    # Not blocking: a pipe without a writer could have taken the file's place.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _found(fd, name)
    finally:
        os.close(fd)


def _found(fd: int, name: str) -> Found:
    status = os.fstat(fd)
    head = os.pread(fd, HEAD, 0) if stat.S_ISREG(status.st_mode) else b""
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return Found(name, status.st_size, status.st_mtime, format_of(head), identity)


def _missing(name: str) -> Failure:
    return Failure("file-not-found", f"There is no file {name!r} in the media folder.")
