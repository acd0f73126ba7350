"""Docstrings stand alone: who reads one needs no other one beside it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
# Beginnings that lean on the docstring before, and phrases that send the reader to another one for the meaning.
LEANS: Final = re.compile(
    r"\A(The same(,| for| of| as| when|\.)|The inverse|The opposite|The reverse|Likewise|Ditto|So far\.|See [`A-Z]"
    r"|As (that|those) of|As `|Like `|As above)"
    r"|: likewise|, likewise|the inverse of `|see above|as above"
)


def docstrings(source: str) -> Iterator[str]:
    """The docstrings of a module, its classes and its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield text


def test_no_docstring_leans_on_its_neighbour() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for folder in ("gateway", "media")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in docstrings(path.read_text())
        if LEANS.search(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "The inverse.", "As that of the picture.", "The same, for one more user.", "Likewise for the media folder.",
        "As `begins_at`, in seconds.", "See `Broadcasts.open`.", "Chunks that end by then: the inverse of `ends`.",
    ],
)  # fmt: skip
def test_a_docstring_that_leans_is_found(text: str) -> None:
    assert [each for each in docstrings(f'def one() -> None:\n    """{text}"""\n') if LEANS.search(each)] == [text]
