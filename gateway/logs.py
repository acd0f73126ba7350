"""Log lines: an event name and fields, one line each, on standard error."""

import logging
import re
import sys
from typing import Any, Final

import structlog

# What begins a line or moves a terminal's cursor, but for the line feed, which the renderer escapes: control
# characters, the separators of Unicode, and what turns the direction of the text (UAX #9).
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def configure(level: int = logging.INFO) -> None:
    """Renders every record of the standard library's logging, `extra` included, as `time level event key=value`."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _visible,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _visible(_: Any, __: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keeps the texts of callers and cameras in their line and in their field."""
    return {
        name: _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
