"""Opens a media file from outside and looks at its boxes before FFmpeg is allowed to."""

import errno
import io
import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from sys import byteorder
from typing import Final

from media.faults import Fault
from media.mp4 import boxes, picture_boxes
from media.mp4.boxes import Box

_MAX_BOXES: Final = 1_000_000  # at the top level: a day of fragments of 0.2 s, twice
_MAX_INDEX: Final = 512 * 1024 * 1024  # bytes of one moov or moof
_METADATA: Final = frozenset({b"udta", b"meta"})  # 14496-12 sections 8.10.1 and 8.11.1
_FREE: Final = b"free"
_COUNTED: Final = {b"stsz": 8, b"stz2": 8}  # where the sample count is, behind version and flags
_RUNS: Final = frozenset({b"stts", b"ctts"})  # tables of (count, value)
# Sample entries of what is encrypted: Common Encryption (ISO/IEC 23001-7, section 4) and iTunes.
_ENCRYPTED: Final = frozenset({b"encv", b"enca", b"drmi", b"drms"})
_CONTAINERS: Final = frozenset({b"trak", b"mdia", b"minf", b"stbl", b"traf"})


@dataclass(slots=True)
class Survey:
    """What the boxes say. `truncated`: a box reaches past the end of the file, so media is missing.

    `key_times`: seconds of the key frames of the first video track, estimated from the mean frame duration; empty for
    fragmented files and for those where every frame is one. `pictures`: by the number of each video track, the boxes of
    its sample entry that are worth keeping (`picture_boxes`). `metadata`: where the types of boxes with titles,
    covers and the like lie. `parts`: by the number of each video track, at which seconds the second and all later
    parts of its edit list begin.
    """

    size: int
    truncated: bool = False
    key_times: list[float] = field(default_factory=list)
    pictures: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    metadata: list[int] = field(default_factory=list)
    parts: dict[int, tuple[Fraction, ...]] = field(default_factory=dict)


class FileView(io.RawIOBase):
    """A file descriptor as a file of its own position, so that two readers do not disturb one another.

    `hidden`: places of box types that read as `free`. What is in those boxes is of no use here and can do no harm then.
    """

    def __init__(self, fd: int, size: int, hidden: Sequence[int] = ()) -> None:
        self._fd = fd
        self._size = size
        self._hidden = hidden
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        data = os.pread(self._fd, self._size - self._at if size < 0 else size, self._at)
        for place in self._hidden:
            begin = place - self._at
            if -4 < begin < len(data):
                free = _FREE[max(0, -begin) : len(data) - begin]
                data = data[: max(0, begin)] + free + data[max(0, begin) + len(free) :]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """To a place from the start, the position or the end; past the end is allowed. Raises `ValueError`."""
        origin = (0, self._at, self._size)[whence]
        if origin + offset < 0:
            raise ValueError("a position before the start of the file")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        return self._at


def open_regular(path: Path) -> int:
    """A read-only file descriptor of a regular file that is not empty. The caller closes it.

    Never blocks (a FIFO without a writer would) and follows no symbolic link in the last place.
    Faults: `file-not-found`, `file-not-regular`, `file-empty`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _opening_fault(error) from None
    try:
        check_regular(fd)
    except Fault:
        os.close(fd)
        raise
    return fd


def _opening_fault(error: OSError | ValueError) -> Fault:
    number = getattr(error, "errno", None)
    if number in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR):
        return Fault("file-not-regular", "This is no regular file: links, pipes and devices are not played.", "opening")
    if number == errno.EACCES:
        return Fault("file-not-found", "The file may not be read by the gateway; change its permissions.", "opening")
    return Fault("file-not-found", "There is no such file.", "opening")


def check_regular(fd: int) -> int:
    """The size in bytes of a regular file. Faults: `file-not-regular`, `file-empty`."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Fault(
            "file-not-regular", "This is no regular file: folders, pipes and devices are not played.", "opening"
        )
    if status.st_size == 0:
        raise Fault("file-empty", "The file is empty.", "opening")
    return status.st_size


def survey(fd: int) -> Survey:
    """Walks the boxes of a whole file; reads its indexes (`moov`, `moof`) and skips its media.

    Faults: `file-not-regular`, `file-empty`, `file-encrypted`; `file-not-media` for what is no MP4 or QuickTime file,
    or one without an index; `limits-exceeded` for an index that declares more samples than the file has bytes (FFmpeg
    would allocate it).
    """
    found = Survey(check_regular(fd))
    has_index = False
    samples = 0
    for number, (at, box) in enumerate(_top_level(fd, found.size)):
        if number == 0 and box.kind not in boxes.FIRST:
            raise _not_media("This is no MP4 or QuickTime file.")
        if not box.whole:
            found.truncated = True
        elif box.kind in _METADATA:
            found.metadata.append(at + 4)
        elif box.kind in (b"moov", b"moof"):
            has_index = has_index or box.kind == b"moov"
            samples += _read_index(fd, at, box, found)
        if number >= _MAX_BOXES or samples > found.size:
            raise Fault("limits-exceeded", "The file declares more samples than it has bytes.", "opening")
    if not has_index:
        raise _not_media("The file has no index (moov): it is cut off, or was never finished.")
    return found


def _not_media(detail: str) -> Fault:
    return Fault("file-not-media", detail, "opening")


def _top_level(fd: int, size: int) -> Iterator[tuple[int, Box]]:
    at = 0
    while at < size:
        box = boxes.box(os.pread(fd, 16, at), at, size)
        if box is None:
            if at == 0:
                raise _not_media("This is no MP4 or QuickTime file.")
            return
        yield at, box
        at = box.end


def _read_index(fd: int, at: int, box: Box, found: Survey) -> int:
    if box.end - at > _MAX_INDEX:
        raise Fault("limits-exceeded", "The index of the file is too large.", "opening")
    data = os.pread(fd, box.end - at, at)
    if box.kind == b"moov":
        moov = Box(box.kind, box.start - at, len(data), True)
        _check_clear(data, moov)
        found.key_times = _key_times(data, moov)
        found.pictures = dict(picture_boxes.of_tracks(data, moov))
        found.parts = dict(_parts(data, moov))
        found.metadata += [at + place for place in _metadata(data, moov)]
    return _count(data, box.start - at, len(data))


def _check_clear(data: bytes, moov: Box) -> None:
    for trak in boxes.children(data, moov.start, moov.end):
        entries = boxes.find(data, b"mdia/minf/stbl/stsd", trak) if trak.kind == b"trak" else None
        if entries and any(each.kind in _ENCRYPTED for each in boxes.children(data, entries.start + 8, entries.end)):
            detail = "The file is encrypted (DRM), and nothing here has its key; only files in the clear are played."
            raise Fault("file-encrypted", detail, "opening")


def _metadata(data: bytes, within: Box) -> Iterator[int]:
    """Where the types of boxes with metadata lie in the bytes of a `moov`."""
    at = within.start
    for child in boxes.children(data, within.start, within.end):
        if child.kind in _METADATA:
            yield at + 4
        elif child.kind == b"trak":
            yield from _metadata(data, child)
        at = child.end


def _parts(data: bytes, moov: Box) -> Iterator[tuple[int, tuple[Fraction, ...]]]:
    """By track, when the parts of its edit list begin (14496-12 section 8.6.6), but for the first."""
    mvhd = boxes.payload(data, b"mvhd", moov)
    scale = int.from_bytes(mvhd[20:24] if mvhd[:1] == b"\1" else mvhd[12:16])
    for trak in boxes.children(data, moov.start, moov.end) if scale else ():
        elst = boxes.payload(data, b"edts/elst", trak) if trak.kind == b"trak" else b""
        size = 8 if elst[:1] == b"\1" else 4
        begins, seen = Fraction(0), []
        for at in range(8, len(elst) - 2 * size - 3, 2 * size + 4):
            if int.from_bytes(elst[at + size : at + 2 * size], signed=True) >= 0:
                seen.append(begins)
            begins += Fraction(int.from_bytes(elst[at : at + size]), scale)
        if len(seen) > 1:
            tkhd = boxes.payload(data, b"tkhd", trak)
            yield int.from_bytes(tkhd[20:24] if tkhd[:1] == b"\1" else tkhd[12:16]), tuple(seen[1:])


def _count(data: bytes, start: int, end: int) -> int:
    """The largest number of samples that any one table below declares, added up over tracks."""
    total = 0
    table = 0
    for box in boxes.children(data, start, end):
        if box.kind in _CONTAINERS:
            total += _count(data, box.start, box.end)
        elif box.kind in _COUNTED:
            at = box.start + _COUNTED[box.kind]
            table = max(table, int.from_bytes(data[at : at + 4]))
        elif box.kind == b"trun":
            total += int.from_bytes(data[box.start + 4 : box.start + 8])
        elif box.kind in _RUNS:
            table = max(table, sum(_words(data[box.start + 8 : box.end])[::2]))
    return total + table


def _words(data: bytes) -> "array[int]":
    words = array("I", data[: len(data) // 4 * 4])
    if byteorder == "little":
        words.byteswap()
    return words


def _key_times(data: bytes, moov: Box) -> list[float]:
    for trak in boxes.children(data, moov.start, moov.end):
        if trak.kind != b"trak" or boxes.payload(data, b"mdia/hdlr", trak)[8:12] != b"vide":
            continue
        stbl = boxes.find(data, b"mdia/minf/stbl", trak)
        mdhd = boxes.payload(data, b"mdia/mdhd", trak)
        at = 20 if mdhd[:1] == b"\1" else 12
        timescale = int.from_bytes(mdhd[at : at + 4])
        runs = _words(boxes.payload(data, b"stts", stbl)[8:]) if stbl else array("I")
        samples = sum(runs[::2])
        if not samples or not timescale:
            return []
        ticks = sum(count * delta for count, delta in zip(runs[::2], runs[1::2], strict=False))
        mean = float(Fraction(ticks, samples * timescale))
        keys = _words(boxes.payload(data, b"stss", stbl)[8:])
        return [(number - 1) * mean for number in keys] + ([samples * mean] if keys else [])
    return []
