"""The page of decisions: each has a heading of its own and the same four parts."""

import re
from pathlib import Path
from typing import Final

PAGE: Final = (Path(__file__).parents[1] / "docs/design/decisions.md").read_text()
DECISIONS: Final = dict(re.findall(r"^### (.+)\n((?:(?!#).*\n)+)", PAGE, re.MULTILINE))
PARTS: Final = ["Context", "Chosen", "Lost", "Reopen if"]
# Words that only those who wrote them understand, each with the word that is meant.
PRIVATE: Final = {
    "reel": "playlist", "programme": "timeline of a playlist", "stretch": "span", "recast": "packet transcoder",
    "recode": "encode", "naps": "read pauses", "lookout": "watchdog", "mischief": "fault", "seamless": "without a join",
}  # fmt: skip


def test_each_decision_says_what_was_asked_what_was_chosen_what_lost_and_what_would_reopen_it() -> None:
    assert len(DECISIONS) == len(re.findall(r"^### ", PAGE, re.MULTILINE)) > 40
    for heading, text in DECISIONS.items():
        assert re.findall(r"^\* \*\*(.+?):\*\* \S", text, re.MULTILINE) == PARTS, heading


def test_no_decision_uses_a_word_that_only_its_writer_understands() -> None:
    words = set(re.findall(r"[a-z]+", PAGE.lower()))
    assert {word: meant for word, meant in PRIVATE.items() if words & {word, f"{word}s", f"{word}d"}} == {}
