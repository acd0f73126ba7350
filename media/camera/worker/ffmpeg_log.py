"""What FFmpeg says in its log and nowhere else: PLAY is asked for, a redirect followed, something refused or lost."""

import logging
import re
from collections.abc import Callable
from typing import Final

import av

_PLAY: Final = "hello state="  # libavformat/rtspdec.c says so as it begins to play
_REFUSED: Final = re.compile(r"method ([A-Z_]+) failed: (\d{3})")
_REDIRECT: Final = re.compile(r"Redirecting to (.*)", re.DOTALL)  # and it says so before it connects
_MISSED: Final = re.compile(r"RTP: missed (-?\d+) packets")


class FfmpegLog(logging.Handler):
    """Listens to FFmpeg's log, once in a process. Nothing of it is kept or passed on: it holds URLs with passwords."""

    def __init__(self, on_play: Callable[[], None], on_redirect: Callable[[str], None]) -> None:
        super().__init__()
        self.missed = 0  # RTP packets, while `losses` are listened for
        self.refused: tuple[str, int] | None = None  # the last method that was refused, and the status
        self._on_play = on_play
        self._on_redirect = on_redirect
        self._playing = False
        logger = logging.getLogger("libav")
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(1)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.DEBUG)

    def losses(self, *, wanted: bool) -> None:
        """Listens from now on only to what was lost, or to nothing at all."""
        av.logging.set_level(av.logging.WARNING if wanted else None)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not self._playing and text.startswith(_PLAY):
            self._playing = True
            self._on_play()
        elif found := _REFUSED.search(text):
            self.refused = found[1], int(found[2])
        elif found := _REDIRECT.search(text):
            self._on_redirect(found[1])
        elif found := _MISSED.search(text):
            missed = int(found[1])
            # A number that came late looks like a gap of nearly 2^16: sequence numbers have 16 bits.
            self.missed += missed if 0 < missed < 1 << 15 else 0
