"""`python -m gateway call METHOD key=value …`: one call of the API, followed to the end of its job."""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp
from yarl import URL

from gateway.jobs.job import BASE

BELOW: Final = BASE.removeprefix("/")  # of the gateway's root
ID: Final = re.compile(r"[0-9a-f]{32}")  # of a job or a stream: text, even where it looks like 1234e56
POLL: Final = 5  # seconds that a look at the job may be held

FAILED: Final = 1
NO_GATEWAY: Final = 3
UNWRITTEN: Final = 4

EPILOG: Final = """
METHOD is a path of the API: vod/startup, jobs/find, stream/terminate. A value that is a JSON number, true, false, null,
array or object is one; anything else is text, an id is always text, and "12" in quotes is text too.

  python -m gateway call vod/startup uri=vod-live://sample.mp4 localStreamName=test loop=true --wait 3 --timeout 10
  python -m gateway call rtsp/startup uri=rtsp://10.0.0.5/live
  python -m gateway call stream/find name=test

The result goes to standard output, everything else to standard error. The exit status is 0 when the call has succeeded,
1 when it or its job has failed, 2 for arguments that cannot be, 3 when there is no gateway, 4 when the result
could not be written.
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of `call`."""
    arguments = argparse.ArgumentParser(
        prog="reelgate call",
        description="Call the API, and follow the job that it makes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("method", metavar="METHOD")
    arguments.add_argument("fields", metavar="key=value", nargs="*", type=field, default=[])
    arguments.add_argument(
        "--url", type=address, default="http://127.0.0.1:8081", help="the gateway (default: %(default)s)"
    )
    arguments.add_argument("--wait", type=int, help="Prefer: wait, in seconds")
    arguments.add_argument("--timeout", type=int, help="Prefer: timeout, in seconds")
    arguments.add_argument("--no-follow", action="store_true", help="do not follow a job that takes longer than wait")
    arguments.add_argument("--idempotency-key", metavar="TEXT", help="asking again with it makes no second job")
    arguments.add_argument("--key", default=os.environ.get("REELGATE_KEY"), help="API key (default: $REELGATE_KEY)")
    return arguments


def address(text: str) -> str:
    """The root URL of a gateway, which may lie below a path; also of its API. Raises `argparse.ArgumentTypeError`."""
    with suppress(ValueError):
        url = URL(text)
        if url.scheme in ("http", "https") and url.host:
            return str(url.with_path(f"{url.path.rstrip('/').removesuffix(BASE)}/"))
    raise argparse.ArgumentTypeError(f"{text!r} is not as http://127.0.0.1:8081")


def field(text: str) -> tuple[str, Any]:
    """Takes one `key=value` apart. Raises `argparse.ArgumentTypeError`."""
    name, mark, value = text.partition("=")
    if not name or not mark:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    if ID.fullmatch(value):
        return name, value
    with suppress(ValueError):
        read = json.loads(value)
        json.dumps(read, allow_nan=False)  # no JSON: NaN, and what is too large for a number, as 1e999
        return name, read
    return name, value


def main(arguments: Sequence[str]) -> int:
    """Runs the command. Returns the exit status."""
    asked = parser().parse_intermixed_args(arguments)
    try:
        return asyncio.run(CommandCall(asked).run())
    except (aiohttp.ClientConnectionError, aiohttp.InvalidURL, TimeoutError) as error:
        print(f"reelgate: no gateway answers at {asked.url}: {error}", file=sys.stderr)
        return NO_GATEWAY
    except KeyboardInterrupt:
        print("reelgate: left; the job goes on", file=sys.stderr)
        return 130


class CommandCall:
    """One call. `output` gets the result alone, `notes` what happens meanwhile."""

    def __init__(self, asked: argparse.Namespace, output: TextIO = sys.stdout, notes: TextIO = sys.stderr) -> None:
        self._asked = asked
        self._output = output
        self._notes = notes
        self._shown = ""

    async def run(self) -> int:
        """Makes the call. Returns the exit status. Raises `aiohttp.ClientConnectionError` when there is no gateway."""
        key = self._asked.key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(self._asked.url, headers=authorization, timeout=limit) as session:
            async with session.post(self._path(), json=dict(self._asked.fields), headers=self._headers()) as answer:
                status, content = answer.status, await _content(answer)
            self._warn(answer)
            if following := answer.links.get("next"):
                self._note(f"there is more: cursor={URL(str(following['url'])).query.get('cursor')}")
            if status == 202 and not self._asked.no_follow:
                status, content = await self._follow(session, content["id"], content)
        return self._report(status, content)

    def _path(self) -> str:
        return f"{BELOW}/{self._asked.method.removeprefix(BASE).strip('/')}"

    def _headers(self) -> dict[str, str]:
        wishes = ["respond-async"]
        wishes += [f"wait={self._asked.wait}"] if self._asked.wait is not None else []
        wishes += [f"timeout={self._asked.timeout}"] if self._asked.timeout is not None else []
        headers = {"Prefer": ", ".join(wishes)}
        if self._asked.idempotency_key is not None:
            headers["Idempotency-Key"] = _quoted(self._asked.idempotency_key)
        return headers

    def _warn(self, answer: aiohttp.ClientResponse) -> None:
        """A wish that is not in Preference-Applied was not granted, or only in part."""
        applied = answer.headers.get("Preference-Applied", "")
        for name in ("wait", "timeout"):
            wished = getattr(self._asked, name)
            if wished is not None and "Job-Id" in answer.headers and f"{name}={wished}" not in applied:
                self._note(f"{name}={wished} was not granted (applied: {applied or 'none'})")

    async def _follow(self, session: aiohttp.ClientSession, job_id: str, job: Any) -> tuple[int, Any]:
        """Looks at the job again whenever something changes, until it has ended; then asks for what came of it."""
        path, tag = f"{BELOW}/jobs/{job_id}", f'"{job["revision"]}"'
        while job.get("httpStatus") is None:
            self._progress(job)
            headers = {"Prefer": f"wait={POLL}", "If-None-Match": tag}
            async with session.get(path, headers=headers) as answer:
                if answer.status not in (200, 304):
                    return answer.status, await _content(answer)
                if answer.status == 200:
                    job, tag = await answer.json(), answer.headers["ETag"]
                else:
                    job["elapsedMs"] += POLL * 1000
        self._progress(job, last=True)
        async with session.get(f"{path}/result") as answer:
            return answer.status, await _content(answer)

    def _progress(self, job: Any, *, last: bool = False) -> None:
        """One line that is written over on a terminal, and one for each change elsewhere."""
        place = f", place {job['queuePosition']} in the queue" if job.get("queuePosition") else ""
        line = f"{job['id']} {job['state']} {job['stage']} {job['elapsedMs'] / 1000:.1f} s{place}"
        if self._notes.isatty():
            self._notes.write(f"\r\x1b[K{line}" + ("\n" if last else ""))
            self._notes.flush()
        else:
            self._note(line)

    def _report(self, status: int, content: Any) -> int:
        if status < 400:
            text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
            try:
                print(text, file=self._output, flush=True)
            except OSError as error:
                return self._unwritten(error)
            return 0
        self._note(f"failed: {status} {_reason(content)}")
        return FAILED

    def _unwritten(self, error: OSError) -> int:
        """Tells of a full disk, and is silent about a reader that has gone. What is left in the buffer goes nowhere."""
        if not isinstance(error, BrokenPipeError):
            self._note(f"reelgate: the result could not be written: {error.strerror}")
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._output.fileno())
        return UNWRITTEN

    def _note(self, text: str) -> None:
        print(text, file=self._notes, flush=True)


async def _content(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.text()
    return json.loads(text) if "json" in answer.content_type else text


def _reason(content: Any) -> str:
    """A problem document in a line: its code, what happened, and the fields that are wrong."""
    if not isinstance(content, dict):
        return str(content)[:500]
    fields = "".join(f"\n  {error['field']}: {error['detail']}" for error in content.get("errors", ()))
    cause = f" ({content['cause']})" if content.get("cause") else ""
    return f"{content.get('code')}{cause}: {content.get('detail')}{fields}"


def _quoted(text: str) -> str:
    """A string of a structured field (RFC 8941, 3.3.3)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
