"""What must agree across the project: settings and their file, codes and their tables, processes and what they load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.jobs.failures import FAILURES
from gateway.settings import Settings
from media import faults
from tests.support.definitions import names

ROOT = Path(__file__).parents[1]
PYTHON = sorted(
    path for folder in ("gateway", "media", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def settings_file() -> dict[str, tuple[str, str]]:
    """Name -> (value, the comment above it), of settings.env."""
    found: dict[str, tuple[str, str]] = {}
    comment = ""
    for line in (ROOT / "settings.env").read_text().splitlines():
        if line.startswith("# "):
            comment = line[2:]
        elif "=" in line:
            name, _, value = line.partition("=")
            found[name] = (value, comment)
            comment = ""
    return found


def test_the_settings_file_holds_every_setting_with_its_default_and_one_sentence() -> None:
    found = settings_file()
    assert list(found) == list(Settings.model_fields)
    for name, (value, comment) in found.items():
        assert comment.endswith("."), name
        shown = Settings.model_validate({**Settings.model_construct().model_dump(), name: value})
        assert getattr(shown, name) == Settings.model_fields[name].default, name


def test_every_setting_is_in_the_reference() -> None:
    reference = (ROOT / "docs/reference/settings.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", reference, re.MULTILINE)) == set(Settings.model_fields)


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "THREAT_MODEL.md").read_text()))
    functions = re.findall(
        r"^(?:async )?def (test_\w+)\(", "\n".join(path.read_text() for path in PYTHON), re.MULTILINE
    )
    assert len(named) > 50
    assert named <= set(functions), named - set(functions)


def test_every_finding_has_a_script_and_a_row_that_names_what_there_is() -> None:
    rows = (ROOT / "docs/design/findings.md").read_text()
    scripts = sorted(path.name for path in (ROOT / "findings").glob("*.sh"))
    assert sorted(re.findall(r"^\| \[[\w-]+\]\(\.\./\.\./findings/([\w.-]+)\)", rows, re.MULTILINE)) == scripts
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", rows)
    assert len(named) >= len(scripts)
    assert [(path, name) for path, name in named if name not in names(ROOT / path)] == []


def test_every_failure_code_is_in_the_reference_with_its_status() -> None:
    reference = (ROOT / "docs/reference/errors.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (yes|no) \|", reference, re.MULTILINE)
    assert {(code, int(status), again == "yes") for code, status, again in rows} == {
        (code, row.status, row.retryable) for code, row in FAILURES.items()
    }


def test_every_fault_of_a_medium_has_a_row_in_the_table_of_failures() -> None:
    assert set(FAILURES) >= faults.CODES


def test_the_gateway_process_loads_no_av() -> None:
    code = "import sys, gateway.app, gateway.__main__; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_opens_by_saying_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body


def test_the_project_names_no_registry_and_no_path_of_a_machine() -> None:
    pattern = r"/(work|farm)/|/tmp/[a-z]|https?://[a-z.]*(pypi|pythonhosted|npmjs|debian)"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", ":!tests/test_project.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1, found.stdout
