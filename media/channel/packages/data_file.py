"""Reads a package's data file from the event loop without ever blocking it."""

import asyncio
import errno
import os
from concurrent.futures import Executor
from pathlib import Path

from media.faults import Fault


class PackageFile:
    """Reads a data file: what the page cache holds at once (RWF_NOWAIT, preadv2(2)), the rest in a thread of
    `executor`.

    `executor` None: the event loop's own. The file may be removed or replaced meanwhile: its bytes stay. Fault:
    `file-changed` when it is not there, `internal` when it cannot be opened.
    """

    def __init__(self, path: Path, executor: Executor | None = None) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Fault("file-changed", "The package is gone from the disk; it is made again.") from None
        except OSError as error:
            raise Fault("internal", f"The package cannot be opened ({error.strerror}).") from error
        self._executor = executor
        self._at_once = True  # whether the file system can say "not now"
        self._readers = 0
        self._users = 1

    async def read(self, into: memoryview, offset: int) -> None:
        """Fills all of `into`. Fault `file-changed` when the bytes are not there or cannot be read."""
        if self.read_at_once(into, offset):
            return
        self._readers += 1
        try:
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(self._executor, _read, self._fd, into, offset)
        except RuntimeError:
            self._done(None)
            raise
        # The thread goes on when the caller is cancelled, so only its end gives up the descriptor.
        reading.add_done_callback(self._done)
        await asyncio.shield(reading)

    @property
    def closed(self) -> bool:
        """Whether nobody uses it any more."""
        return self._users == 0

    def share(self) -> "PackageFile":
        """This file for one more user, who closes it, too."""
        self._users += 1
        return self

    def close(self) -> None:
        """Lets one user go. After the last there are no more reads; the descriptor is closed with the one under way."""
        self._users = max(0, self._users - 1)
        self._close_if_idle()

    def read_at_once(self, into: memoryview, offset: int) -> bool:
        """Fills all of `into`, if the page cache holds the bytes; else returns False.

        Fault `file-changed` when the file was closed or cannot be read.
        """
        if self.closed:
            raise Fault("file-changed", "The package has been closed.")
        if not into:
            return True
        if not self._at_once:
            return False
        try:
            return os.preadv(self._fd, [into], offset, os.RWF_NOWAIT) == len(into)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise Fault("file-changed", "The package on disk cannot be read.") from error
            self._at_once = False
            return False

    def _done(self, reading: "asyncio.Future[None] | None") -> None:
        if reading is not None and not reading.cancelled():
            reading.exception()  # seen: its caller may be gone
        self._readers -= 1
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self.closed and not self._readers and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _read(fd: int, into: memoryview, offset: int) -> None:
    while into:
        try:
            count = os.preadv(fd, [into], offset)
        except OSError as error:
            raise Fault("file-changed", "The package on disk cannot be read.") from error
        if not count:
            raise Fault("file-changed", "The package on disk is shorter than its index says; start the stream again.")
        into, offset = into[count:], offset + count
