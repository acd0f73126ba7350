"""How easy the code is to find one's way in, as figures with limits: `python -m tests.structure` prints the table."""

import ast
import io
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.test_additions import ADDITIONS

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("gateway", "media")

# Words that stood for things which have a name in the field; `docs/design/glossary.md` has the names.
METAPHORS: Final = frozenset(
    (
        "reel", "programme", "recast", "recode", "seamless", "naps", "nap", "lookout", "overheard", "mischief", "spell",
        "spells", "joinwatch", "remaking", "manner", "departures", "hush", "crowd", "shelf", "teller", "gates",
        "stretch", "stretches", "face",
    )
)  # fmt: skip

# Beginnings that lean on the docstring before, and phrases that send the reader to another one for the meaning.
LEANS: Final = re.compile(
    r"\A(The same(,| for| of| as| when|\.)|The inverse|The opposite|The reverse|Likewise|Ditto|So far\.|See [`A-Z]"
    r"|As (that|those) of|As `|Like `|As above)"
    r"|: likewise|, likewise|the inverse of `|see above|as above"
)

# Sections of private pages that a reader does not have.
PRIVATE_PAGES: Final = re.compile(r"\(contract\b|[Cc]ontract, section|\bpitfall \d|\(D\d+|\((api|media)\.md\b")

# What README's "Where do I add" tells of, the files that it took before, and those that it may take.
ADDING: Final = (
    ("a kind of job", 4, 3),
    ("a source", 12, 5),
    ("a way of watching", 2, 2),
    ("a fault of the camera", 3, 1),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what is counted, how many of it there were before there were rooms, the limit, and each one found."""

    what: str
    before: int
    limit: int
    found: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.found)


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Each module of the product, its path below the repository and its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def fullest_folder() -> tuple[str, ...]:
    """The modules of the folder that has most of them; `__init__.py` does not count."""
    folders: dict[Path, list[str]] = defaultdict(list)
    for path, _ in modules():
        if path.name != "__init__.py":
            folders[path.parent].append(str(path))
    return tuple(sorted(folders.values(), key=len)[-1])


def classes_defined_twice() -> tuple[str, ...]:
    """Names of classes and of type aliases that more than one module defines."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules():
        for node in tree.body:
            for name in _type_names(node):
                homes[name].append(str(path))
    return tuple(f"{name}: {', '.join(paths)}" for name, paths in sorted(homes.items()) if len(paths) > 1)


def _type_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    else:
        names = []
    return [name for name in names if re.match(r"_?[A-Z][a-z]", name)]


def metaphors() -> tuple[str, ...]:
    """Private metaphors in names, comments and docstrings, as `path: word (times)`."""
    found: Counter[tuple[str, str]] = Counter()
    for path, _ in modules():
        text = (ROOT / path).read_text()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in (tokenize.NAME, tokenize.COMMENT) and not token.string.startswith('"""'):
                continue
            for word in re.split(r"[^A-Za-z]+|_|(?<=[a-z])(?=[A-Z])", token.string):
                if word.lower() in METAPHORS:
                    found[str(path), word.lower()] += 1
    return tuple(f"{path}: {word} ({times})" for (path, word), times in sorted(found.items()))


def docstrings(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def leaning_docstrings() -> tuple[str, ...]:
    """Docstrings that cannot be understood without another one."""
    return tuple(
        f"{path}: {text.splitlines()[0]}" for path, tree in modules() for text in docstrings(tree) if LEANS.search(text)
    )


def citations() -> tuple[str, ...]:
    """Lines that cite a section of a contract that a reader does not have."""
    return tuple(
        f"{path}:{number} {line.strip()}"
        for path, _ in modules()
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if PRIVATE_PAGES.search(line)
    )


def touched(what: str) -> tuple[str, ...]:
    """The files that are new or changed when this is added, as `tests/test_additions.py` does it."""
    addition = ADDITIONS[what]
    return (*addition.files, *sorted({path for path, _, _ in addition.rows}))


def figures() -> list[Figure]:
    """The whole table."""
    return [
        Figure("modules in the fullest folder", 93, 15, fullest_folder()),
        Figure("names of classes defined twice", 31, 0, classes_defined_twice()),
        Figure("private metaphors left, in words of a file", 75, 0, metaphors()),
        Figure("docstrings that lean on another one", 43, 0, leaning_docstrings()),
        Figure("comments that cite a contract that is not here", 24, 0, citations()),
        *(Figure(f"files touched to add {what}", before, limit, touched(what)) for what, before, limit in ADDING),
    ]


def main() -> int:
    """Prints the table; the exit status is the number of rows over their limits."""
    over = 0
    print(f"{'what':<50}{'before':>8}{'now':>6}{'limit':>7}")
    for figure in figures():
        print(f"{figure.what:<50}{figure.before:>8}{figure.count:>6}{figure.limit:>7}")
        if figure.count > figure.limit:
            over += 1
            for line in figure.found:
                print(f"    {line}")
    return over


if __name__ == "__main__":
    raise SystemExit(main())
