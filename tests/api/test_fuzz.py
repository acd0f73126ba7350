"""Fuzzing by the OpenAPI document: no answer that it does not have, no crash, whatever is sent."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.keys import KeyFile, Scope
from gateway.settings import Settings
from tests.api.conforming import described

SEED = "20260301"

CONFIG = """
[generation]
database = "none"

# Not all that is wrong can be said in a schema: an address that cannot be or is denied, a body without a filter.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", 400, 403, 404, 409, 410, 412, 416, 422]

# What a method answers when what it was asked for cannot be had: a camera that refuses, a job out of time, no place.
[[operations]]
include-operation-id = [JOBS]
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503, 504]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 409, 410, 422, 502, 503, 504]
"""
JOBS = [
    each["operationId"]
    for path in described()["paths"].values()
    for each in path.values()
    if "202" in each["responses"]
]
OPERATIONS = sum(len(path) for path in described()["paths"].values())


async def fuzz(settings: Settings, folder: Path, *arguments: str) -> int:
    """Runs schemathesis against a gateway with media behind it; gives the number of its cases."""
    (folder / "schemathesis.toml").write_text(CONFIG.replace("[JOBS]", json.dumps(JOBS)))
    closed = {"jobs_max_prefer_wait_time": 0, "jobs_max_prefer_timeout": 2, "source_deny": ("0.0.0.0/0", "::/0")}
    settings = Settings.model_validate({**settings.model_dump(), **closed})
    _, key = KeyFile(settings.keys_file).make("fuzz", (Scope.ADMIN,))
    authorization = {"Authorization": f"Bearer {key}"}
    async with Gateway(settings) as gateway, aiohttp.ClientSession(headers=authorization) as session:
        channel = {"uri": "vod-live://sample.mp4", "localStreamName": "channel", "loop": True}
        async with session.post(f"{gateway.url}/rest-api/vod/startup", json=channel) as answer:
            assert answer.status == 200
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            "--config-file", str(folder / "schemathesis.toml"), "run", f"{gateway.url}/openapi.json",
            "--header", f"Authorization: Bearer {key}",
            "--seed", SEED, "--checks", "all", "--warnings", "off", "--no-color", "--continue-on-failure",
            "--report", "json", "--report-json-path", str(folder / "report.json"),
            "--exclude-operation-id", "events",  # it has no end; test_openapi.py looks at its head
            "--exclude-operation-id", "startSession",  # nobody guesses a key; test_session.py signs in
            *arguments,
            cwd=folder, env={**os.environ, "COLUMNS": "120"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        async with session.get(f"{gateway.url}/livez") as answer:
            assert answer.status == 200
    assert process.returncode == 0, said.decode()[-20_000:]
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert report["operations"]["tested"] == OPERATIONS - 3  # these two, and the document itself
    assert report["test_cases"]["with_failures"] == 0
    cases: int = report["test_cases"]["generated"]
    return cases


@pytest.mark.media
async def test_the_edges_of_what_may_be_sent_are_answered_as_the_document_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.access.TRIES", 10**9)  # it sends many wrong keys, and counts on 401
    cases = await fuzz(settings, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "4", "--no-shrink")
    assert cases >= 200


@pytest.mark.soak
@pytest.mark.media
async def test_thousands_of_cases_and_sequences_are_answered_as_the_document_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.access.TRIES", 10**9)  # it sends many wrong keys, and counts on 401
    cases = await fuzz(settings, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "50")
    assert cases >= 2000
