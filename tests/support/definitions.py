"""What a module defines, without importing it: for tests that follow what pages say about the code."""

import ast
from pathlib import Path


def names(path: Path) -> set[str]:
    """The functions, classes and `Class.method`s of a module; none where there is no such file."""
    body = ast.parse(path.read_text()).body if path.is_file() else []
    found = {each for each in body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    inside = {
        f"{each.name}.{part.name}"
        for each in found
        if isinstance(each, ast.ClassDef)
        for part in each.body
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    return inside | {each.name for each in found}
