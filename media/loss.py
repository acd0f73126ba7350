"""Counts the RTP packets that FFmpeg says it missed: it tells so in its log and nowhere else."""

import logging
import re
from typing import Final

import av

_MISSED: Final = re.compile(r"RTP: missed (-?\d+) packets")


class LossCounter(logging.Handler):
    """Listens to FFmpeg's warnings from `listen` on. No other line of them is kept: they hold URLs with passwords."""

    def __init__(self) -> None:
        super().__init__()
        self.missed = 0

    def listen(self) -> None:
        """From now on; once in a process."""
        logger = logging.getLogger("libav")
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(logging.WARNING)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        found = _MISSED.search(record.getMessage())
        if found:
            self.missed += max(0, int(found[1]))
