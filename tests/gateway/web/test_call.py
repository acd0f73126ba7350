"""The command-line client: it follows a job to its end, says where it stands, and ends with the right status."""

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway import call
from gateway.call import CommandCall
from tests.support.fakes import HttpWorld, serving

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def world() -> AsyncIterator[HttpWorld]:
    async with serving(HttpWorld()) as world:
        yield world


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


async def run(world: HttpWorld, *arguments: str, notes: io.StringIO | None = None) -> tuple[int, str, str]:
    """The exit status, what went to standard output, what to standard error."""
    asked = call.parser().parse_intermixed_args(["--url", f"http://127.0.0.1:{world.port}", *arguments])
    output, notes = io.StringIO(), notes or io.StringIO()
    status = await CommandCall(asked, output, notes).run()
    return status, output.getvalue(), notes.getvalue()


@pytest.mark.looptime
async def test_a_result_within_the_wait_is_printed(world: HttpWorld) -> None:
    status, output, notes = await run(world, "fake/startup", "name=lobby", "seconds=0.5", "--wait", "3")
    assert (status, json.loads(output), notes) == (0, {"name": "lobby", "slept": 0.5, "text": "höhe"}, "")


async def test_a_gateway_below_a_path_is_called_there() -> None:
    world, site = HttpWorld(), web.Application()
    site.add_subapp("/cams/", world.app)
    world.app = site
    async with serving(world):
        for url in ("/cams", "/cams/"):
            asked = call.parser().parse_args(
                ["--url", f"http://127.0.0.1:{world.port}{url}", "fake/startup", "name=lobby"]
            )
            output = io.StringIO()
            assert await CommandCall(asked, output, io.StringIO()).run() == 0
            assert json.loads(output.getvalue())["name"] == "lobby"


@pytest.mark.looptime
async def test_a_job_that_takes_longer_is_followed_to_its_end(world: HttpWorld) -> None:
    status, output, notes = await run(world, "/fake/startup", "seconds=13", "stages=2", "--wait", "1")
    assert (status, json.loads(output)["slept"]) == (0, 13.0)
    lines = notes.splitlines()
    assert [line.split()[1:3] for line in lines] == [
        ["RUNNING", "stage-0"],
        ["RUNNING", "stage-0"],
        ["RUNNING", "stage-1"],
        ["RUNNING", "stage-1"],
        ["DONE", "stage-1"],
    ]
    assert [line.split()[3] for line in lines] == ["1.0", "6.0", "6.5", "11.5", "13.0"]


@pytest.mark.looptime
async def test_the_place_in_the_queue_is_told_and_a_terminal_gets_one_line(world: HttpWorld) -> None:
    for _ in range(3):
        await world.start("wait=0", seconds=4)
    status, _, notes = await run(world, "fake/startup", "--wait", "1", notes=Terminal())
    assert status == 0
    assert "place 2 in the queue" in notes
    assert notes.count("\n") == 1


@pytest.mark.looptime
async def test_a_failure_is_told_with_its_reason_and_the_status_is_not_zero(world: HttpWorld) -> None:
    status, output, notes = await run(world, "fake/startup", "way=fail", "seconds=3", "--wait", "1")
    assert (status, output) == (1, "")
    assert notes.splitlines()[-1] == "failed: 502 source-refused: The port is closed."
    status, _, notes = await run(world, "fake/startup", "seconds=x")
    assert (status, "seconds: Input should be a valid number" in notes) == (1, True)
    status, _, notes = await run(world, "fake/startup", "way=late", "seconds=0.1", "--timeout", "1", "--wait", "0")
    assert (status, "failed: 504 job-timeout" in notes) == (1, True)


@pytest.mark.looptime
async def test_a_wish_that_was_not_granted_is_told(world: HttpWorld) -> None:
    _, _, notes = await run(world, "fake/startup", "--wait", "99", "--timeout", "10")
    assert notes == "wait=99 was not granted (applied: wait=5, timeout=10)\n"


@pytest.mark.looptime
async def test_a_job_need_not_be_followed_and_a_key_makes_it_one(world: HttpWorld) -> None:
    arguments = ("fake/startup", "seconds=9", "--wait", "0", "--no-follow", "--idempotency-key", 'say "hi"')
    first, second = await run(world, *arguments), await run(world, *arguments)
    assert first[0] == second[0] == 0
    assert json.loads(first[1])["id"] == json.loads(second[1])["id"]


@pytest.mark.looptime
async def test_what_is_no_job_is_printed_as_it_is(world: HttpWorld) -> None:
    assert await run(world, "jobs/find", "state=DONE") == (0, "[]\n", "")
    assert (await run(world, "jobs/find", "id=x"))[2] == "failed: 404 job-unknown: There is no job 'x'.\n"


@pytest.mark.looptime
async def test_where_a_list_goes_on_is_told(world: HttpWorld) -> None:
    for _ in range(2):
        await world.start()
    status, output, notes = await run(world, "jobs/find_all", "limit=1")
    assert (status, len(json.loads(output))) == (0, 1)
    assert notes.startswith("there is more: cursor=")
    status, output, notes = await run(world, "jobs/find_all", "limit=1", notes.strip().removeprefix("there is more: "))
    assert (status, len(json.loads(output)), notes) == (0, 1, "")


def test_values_are_json_or_else_text() -> None:
    read = dict(call.field(text) for text in ("a=1", "b=true", 'c="1"', "d=x=y", "e={}", "f=", "g=null"))
    assert read == {"a": 1, "b": True, "c": "1", "d": "x=y", "e": {}, "f": "", "g": None}


@pytest.mark.parametrize("value", ["7" * 32, "123456789012345e7890123456789012", "NaN", "-Infinity", "[1e999]"])
def test_an_id_is_text_whatever_it_looks_like_and_so_is_what_json_has_no_number_for(value: str) -> None:
    assert call.field(f"id={value}") == ("id", value)


NO_URLS = ("foo", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[")


@pytest.mark.parametrize(
    "arguments",
    [["vod/startup", "novalue"], ["vod/startup", "=x"], [], *(["jobs/find", "--url", url] for url in NO_URLS)],
)
def test_arguments_that_cannot_be_are_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call.main(arguments)
    assert ended.value.code == 2


def test_only_the_method_is_asked_for_when_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call.main([])
    assert capsys.readouterr().err.endswith("error: the following arguments are required: METHOD\n")


@pytest.mark.looptime
@pytest.mark.parametrize("path", ["", "/", "/rest-api/v3", "/rest-api/v3/"])
async def test_the_address_may_be_that_of_the_api(world: HttpWorld, path: str) -> None:
    assert await run(world, "jobs/find", "state=DONE", "--url", f"http://127.0.0.1:{world.port}{path}") == (
        0,
        "[]\n",
        "",
    )


async def written_to(output: int, world: HttpWorld) -> tuple[int | None, str]:
    """The exit status and what is said when the result goes there; closes it."""
    url = f"http://127.0.0.1:{world.port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "call", "jobs/find", "state=DONE", "--url", url,
        cwd=ROOT, stdout=output, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(output)
    _, notes = await process.communicate()
    return process.returncode, notes.decode()


async def test_a_reader_that_has_gone_ends_the_call_without_a_word(world: HttpWorld) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert await written_to(writer, world) == (4, "")


async def test_a_full_disk_is_told_in_a_line(world: HttpWorld) -> None:
    said = "reelgate: the result could not be written: No space left on device\n"
    assert await written_to(os.open("/dev/full", os.O_WRONLY), world) == (4, said)


async def test_no_gateway_is_status_3() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "call", "jobs/find", "--url", url, cwd=ROOT, stderr=subprocess.PIPE
        )
        _, notes = await process.communicate()
    assert process.returncode == 3
    assert notes.decode().startswith(f"reelgate: no gateway answers at {url}")
