"""A log line stays one line, whatever a caller or a camera has put into it."""

import logging
from collections.abc import Iterator

import pytest

from gateway import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_what_came_from_outside_neither_begins_a_line_nor_reaches_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure()
    hostile = "/a\r\nlevel=error event=forged\x1b[2J\x85\u2028\u202e\x00"
    logging.getLogger("x").warning("request-failed", extra={"path": hostile})
    line = capsys.readouterr().err.removesuffix("\n")
    assert line.isprintable()
    assert 'path="/a' in line
    assert "forged" in line


def test_words_of_any_language_are_left_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("x").warning("stream-status", extra={"stream_name": "Höhe-玄関"})
    assert "stream_name=Höhe-玄関\n" in capsys.readouterr().err
