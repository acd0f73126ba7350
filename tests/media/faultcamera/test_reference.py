"""The reference of the fault camera says what the code does, and its examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from media.faultcamera.__main__ import parse
from media.faultcamera.faults import DESCRIPTIONS, FAULTS

PAGE = (Path(__file__).parents[3] / "docs/reference/fault-camera.md").read_text()


def test_every_fault_is_in_the_reference_word_by_word_and_no_other() -> None:
    table = PAGE.partition("## The faults")[2].partition("`METHOD` is one of")[0]
    told = re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE)
    form = [(f"{verb.name}={verb.value}" if verb.value else verb.name).replace("|", " or ") for verb in FAULTS.values()]
    assert told == list(zip(form, (verb.text for verb in FAULTS.values()), strict=True))


def test_every_odd_description_is_in_the_reference() -> None:
    table = PAGE.partition("`HOW` is one of")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(DESCRIPTIONS)


def test_the_command_of_the_reference_is_understood() -> None:
    (command,) = re.findall(r"^python -m gateway camera (.+)$", PAGE, re.MULTILINE)
    settings, control = parse(command.split())
    assert settings.faults == ("mute_audio", "delay=DESCRIBE:2")
    assert not control


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), ids=["class", "process"])
def test_the_examples_of_the_reference_run(example: str) -> None:
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rtsp://127.0.0.1:" in done.stdout
