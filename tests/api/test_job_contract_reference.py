"""docs/reference/jobs.md: its diagram is that of the table, its tables those of the code, its examples run."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.jobs.core import Limits
from gateway.jobs.failures import FAILURES
from gateway.jobs.job import Draft, Job
from gateway.jobs.state import MOVES, Phase, State
from gateway.prefer import parse
from gateway.settings import Settings
from tests.gateway.test_prefer import LIMITS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/jobs.md"
TEXT = PAGE.read_text()


def diagram() -> str:
    """The table of moves as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.QUEUED}: accepted"]
    lines += [f"    {move.source} --> {move.target}: {move.event} - {move.means.split(':')[0]}" for move in MOVES]
    lines += [f"    {Phase.GONE} --> [*]"]
    return "<!-- diagram -->\n```mermaid\n" + "\n".join(lines) + "\n```\n<!-- /diagram -->"


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    part = TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_diagram_is_drawn_from_the_table() -> None:
    if os.environ.get("REELGATE_WRITE_DOCS") == "1":
        drawn = re.sub(r"<!-- diagram -->.*<!-- /diagram -->", lambda _: diagram(), TEXT, flags=re.DOTALL)
        PAGE.write_text(drawn)
        return
    assert diagram() in TEXT, "run this test with REELGATE_WRITE_DOCS=1"


def test_every_state_is_explained() -> None:
    assert [row[0].strip("`") for row in rows("States")] == [str(state) for state in State]


def test_every_member_of_a_job_is_explained() -> None:
    told = {name for row in rows("The Job object") for name in re.findall(r"`(\w+)`", row[0])}
    job = Job(Draft("sleep", "camera", (), 5, 60, {}), created=0.0, wall=0.0, phase=Phase.ZOMBIE)
    assert told == set(job.record(0.0))


def test_the_preferences_on_the_page_are_read_as_it_says() -> None:
    checked = 0
    table = TEXT.partition("| you send | in force |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        sent, force, applied = [cell.strip() for cell in line.strip("|").split("|")]
        wait, timeout = re.findall(r"\d+", force)[:2]
        for header in re.findall("`([^`]+)`", sent) or [""]:
            read = parse([header], LIMITS)
            assert (read.wait, read.timeout) == (int(wait), int(timeout)), header
            assert read.applied(responding_202=False) == applied.strip("`").replace("(none)", "")
            checked += 1
    assert checked == 8


def test_every_code_on_the_page_is_one_of_the_table() -> None:
    for status, code in re.findall(r"`(\d{3})` `([a-z]+-[a-z-]+)`", TEXT):
        assert FAILURES[code].status == int(status)
    for row in rows("When it is refused")[1:]:
        for code in re.findall("`([a-z-]+)`", row[1]):
            assert f"`{FAILURES[code].status}`" == row[0]


def test_the_numbers_on_the_page_are_those_of_the_settings() -> None:
    for name, value in re.findall(r"`(jobs_\w+)` \((\d+)\)", TEXT):
        assert str(Settings.model_fields[name].default) == value
    assert set(re.findall(r"`(jobs_\w+|rate_limit)[ `]", TEXT)) <= set(Settings.model_fields)
    assert Limits().kill_grace == Settings.model_fields["jobs_kill_grace"].default


@pytest.mark.media
@pytest.mark.debian
async def test_the_examples_run(tmp_path: Path, sample_folder: Path) -> None:
    media_dir = tmp_path / "media"
    shutil.copytree(sample_folder, media_dir)
    settings = Settings(http_port=0, media_dir=media_dir, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        # The page's example waits 3 s: on a busy machine the first worker and the first look at a file take longer.
        body = {"uri": "vod-live://short.mp4", "localStreamName": "before", "loop": True}
        async with session.post(f"{gateway.url}/rest-api/vod/startup", json=body) as before:
            assert before.status == 200
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            "bash", "-eu", "-c", script,
            env={**os.environ, "URL": gateway.url, "PATH": path}, cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0
    text = output.decode()
    assert text.startswith("HTTP/1.1 200 OK")
    assert "Preference-Applied: wait=3, timeout=10" in text
    assert len(re.findall('"sha256": ?"[0-9a-f]{64}"', text)) >= 3  # in the job, in its result, in the call's output
    first, second = re.findall(r"200 ([0-9a-f]{32}) ?(true)?\n", text)
    assert (first, second) == ((second[0], ""), (first[0], "true"))
