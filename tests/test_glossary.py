"""The glossary: each word is there once and has one sentence, and the classes that it names exist."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
GLOSSARY: Final = (ROOT / "docs/design/glossary.md").read_text()
ENTRIES: Final = re.findall(r"^\* \*\*([^*]+)\*\*(?: \(`(\w+)`\))?: (.+)$", GLOSSARY, re.MULTILINE)


def public_classes() -> set[str]:
    """The public classes of gateway/ and media/ that stand at the top of a module."""
    return {
        part.name
        for folder in ("gateway", "media")
        for path in (ROOT / folder).rglob("*.py")
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.ClassDef) and not part.name.startswith("_")
    }


def test_each_line_of_the_glossary_is_a_word_and_one_sentence() -> None:
    assert len(ENTRIES) == len(re.findall(r"^\*", GLOSSARY, re.MULTILINE))
    assert 25 <= len(ENTRIES) <= 45
    for word, _, sentence in ENTRIES:
        assert re.fullmatch(r"[A-Z][^.]*\.", sentence), word


def test_no_word_is_in_the_glossary_twice() -> None:
    assert [word for word, times in Counter(word.lower() for word, _, _ in ENTRIES).items() if times > 1] == []


def test_each_class_that_the_glossary_names_is_a_public_class_and_stands_for_one_word() -> None:
    named = [name for _, name, _ in ENTRIES if name]
    assert len(named) >= 20
    known = public_classes()
    assert [name for name in named if name not in known] == []
    assert [name for name, times in Counter(named).items() if times > 1] == []
