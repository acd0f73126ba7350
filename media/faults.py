"""What can go wrong with a medium, as a value with a stable code."""

import errno
from typing import Final

# What the system says when a disk, a quota or the largest size of a file is full.
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Phases of opening a camera, in order (docs/reference/errors.md).
CAMERA_PHASES: Final = (
    "resolving",
    "connecting",
    "options",
    "describing",
    "setup",
    "playing",
    "waiting-keyframe",
    "live",
)

# Every code that this side may raise. The gateway's table of failures gives each a status; a test compares the two.
CODES: Final = frozenset(
    {
        "bad-request",
        "capacity-exceeded",
        "codec-unsupported",
        "file-changed",
        "file-empty",
        "file-encrypted",
        "file-not-found",
        "file-not-media",
        "file-not-regular",
        "image-animated",
        "image-corrupt",
        "image-not-found",
        "image-not-supported",
        "image-too-large",
        "internal",
        "limits-exceeded",
        "name-in-use",
        "no-keyframe-yet",
        "no-video",
        "not-found",
        "resource-busy",
        "source-auth-failed",
        "source-auth-or-busy",
        "source-busy",
        "source-dns",
        "source-forbidden",
        "source-no-keyframe",
        "source-no-media",
        "source-no-parameters",
        "source-not-found",
        "source-protocol-error",
        "source-refused",
        "source-timeout",
        "source-unreachable",
        "source-untrusted",
        "unsupported-scheme",
        "uri-in-use",
        "worker-crashed",
        "worker-hung",
        "worker-unavailable",
    }
)


class Fault(Exception):
    """A medium failed for a known reason.

    `code` is one of `CODES`; `phase` says how far it came (a word of `CAMERA_PHASES`, or a stage of a file or picture);
    `detail` is a sentence for a person: what happened, to what, what to do. It never holds a URL's userinfo. `item` is
    the number, from 0, of the file in a list. `status` is what a camera answered that refused; 0: it refused nothing.
    """

    def __init__(self, code: str, detail: str, phase: str = "", item: int | None = None, *, status: int = 0) -> None:
        if code not in CODES:
            raise ValueError(f"unknown fault code {code!r}")
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.phase = phase
        self.item = item
        self.status = status


# What a machine is out of for a moment: descriptors, processes (threads too), memory of the kernel's.
SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS)


def shortage(error: Exception, phase: str = "") -> Fault | None:
    """The fault of an error that says nothing about the medium, but that the machine is out of something just now.

    FFmpeg's errors are `OSError` as well (`av.FFmpegError`): it may not start a thread either, or open a file.
    """
    if isinstance(error, OSError) and error.errno in SHORT:
        why = error.strerror
    elif str(error) == "can't start new thread":
        why = "no thread can be started"
    else:
        return None
    return Fault("worker-unavailable", f"The machine is short of something ({why}); try again later.", phase)
