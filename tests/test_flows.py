"""The page of the architecture: what its flows pass through is in the code."""

import re
from pathlib import Path
from typing import Final

from tests.support.definitions import names

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs/design/architecture.md").read_text()
FLOWS: Final = {
    heading: re.findall(r"^(\d+)\. `([\w/]+\.py):([\w.]+)` \w", text, re.MULTILINE)
    for heading, text in re.findall(r"^### (.+)\n((?:(?!#).*\n)+)", PAGE, re.MULTILINE)
}


def test_there_are_three_flows_and_each_line_of_them_names_a_function() -> None:
    assert len(FLOWS) == 3
    numbered = re.findall(r"^\d+\. `", PAGE, re.MULTILINE)
    assert len(numbered) == sum(len(steps) for steps in FLOWS.values())
    for heading, steps in FLOWS.items():
        assert [int(number) for number, _, _ in steps] == [*range(1, len(steps) + 1)], heading
        assert len(steps) >= 8, heading


def test_every_function_of_a_flow_exists_in_the_file_that_is_named() -> None:
    missing = [
        f"{path}:{name}" for steps in FLOWS.values() for _, path, name in steps if name not in names(ROOT / path)
    ]
    assert missing == []
