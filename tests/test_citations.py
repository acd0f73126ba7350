"""What comments say about the design pages: each heading that is named exists there."""

import re
from pathlib import Path
from typing import Final

from gateway.jobs.state import MOVES, Phase
from tests.structure import PRIVATE_PAGES

ROOT: Final = Path(__file__).parents[1]
CONTRACT: Final = (ROOT / "docs/design/job-contract.md").read_text()
SOURCES: Final = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for folder in ("gateway", "media", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path not in (Path(__file__), ROOT / "tests/structure.py")
}


def test_each_heading_of_the_job_contract_that_a_comment_names_exists() -> None:
    headings = set(re.findall(r"^## (.+)$", CONTRACT, re.MULTILINE))
    named = {
        (path, heading)
        for path, text in SOURCES.items()
        for line in re.findall(r"job-contract\.md, (.*)$", text, re.MULTILINE)
        for heading in re.findall(r'"([A-Z][a-z]+)"', line)
    }
    assert len(named) >= 10
    assert [each for each in named if each[1] not in headings] == []


def test_no_comment_cites_a_page_that_is_not_in_the_project() -> None:
    assert [
        (path, line) for path, text in SOURCES.items() for line in text.splitlines() if PRIVATE_PAGES.search(line)
    ] == []


def test_every_invariant_that_is_checked_is_on_the_page_of_the_job_contract() -> None:
    listed = re.findall(r"^\| ([IHL]\d+) \|", CONTRACT, re.MULTILINE)
    assert len(listed) == len(set(listed))
    checked = {name for text in SOURCES.values() for name in re.findall(r'"([IHL]\d+): ', text)}
    assert len(checked) >= 15
    assert checked <= set(listed)


def test_the_page_of_the_job_contract_has_each_phase_and_each_phase_that_moves() -> None:
    states = CONTRACT.partition("## States")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\w+) \| `", states, re.MULTILINE) == [str(phase) for phase in Phase]
    moves = CONTRACT.partition("## Moves")[2].partition("\n## ")[0]
    moving = {name for row in re.findall(r"^\| ([a-z, ]+) \|", moves, re.MULTILINE) for name in row.split(", ")}
    assert {str(move.source) for move in MOVES} == moving - {"phase"}
