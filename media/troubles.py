"""What went wrong with a stream that is kept on air, as its record tells it."""

from typing import Any, Final

from media.faults import Fault
from media.stream import timestamp

# Codes of a file that will not get better by trying again.
HOPELESS: Final = frozenset(
    {"codec-unsupported", "file-encrypted", "no-video", "file-not-media", "file-empty", "limits-exceeded"}
)


def unforeseen(error: Exception) -> Fault:
    """The fault for the record of a stream whose keeper failed by something that nobody has thought of."""
    return Fault("internal", f"Something unforeseen went wrong ({type(error).__name__}); it is tried again.")


class Troubles:
    """The last fault, how often the stream began anew, and when it tries again (`next_retry_at`, Unix time)."""

    def __init__(self) -> None:
        self.restarts = 0
        self.next_retry_at: float | None = None
        self._last: dict[str, Any] | None = None

    @property
    def last_code(self) -> str | None:
        """The code of the last fault."""
        return self._last["code"] if self._last else None

    def note(self, fault: Fault, at: float) -> None:
        """Keeps this fault as the last one; `at` is Unix time."""
        told = {"code": fault.code, "phase": fault.phase or None, "detail": fault.detail}
        self._last = told | {"at": timestamp(at)}

    def record(self) -> dict[str, Any]:
        """Members of the stream's record."""
        return {
            "restarts": self.restarts,
            "lastError": self._last,
            "nextRetryAt": timestamp(self.next_retry_at),
        }
