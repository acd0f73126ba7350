"""Docstrings stand alone: who reads one needs no other one beside it. The limit itself is in `tests/structure.py`."""

import ast

import pytest

from tests.structure import LEANS, docstrings


@pytest.mark.parametrize(
    "text",
    [
        "The inverse.", "As that of the picture.", "The same, for one more user.", "Likewise for the media folder.",
        "As `begins_at`, in seconds.", "See `Broadcasts.open`.", "Chunks that end by then: the inverse of `ends`.",
    ],
)  # fmt: skip
def test_a_docstring_that_leans_is_found(text: str) -> None:
    assert [
        each for each in docstrings(ast.parse(f'def one() -> None:\n    """{text}"""\n')) if LEANS.search(each)
    ] == [text]
