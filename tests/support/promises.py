"""Every call that changes something: what it needs, how it is asked, and what must be so after a kill."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from gateway.auth.play_tokens import PlayTokens

BASE: Final = "/rest-api/v3"
PNG: Final = b"\x89PNG\r\n\x1a\n" + bytes(1000)
ENDED: Final = ("DONE", "FAILED", "CANCELLED")

Check = Callable[["Caller", Any], Awaitable[None]]


@dataclass
class Caller:
    """A client of one gateway, whose data folder is `data_dir`. `camera` is the address of a camera, `silent` that of
    one that never answers.
    """

    url: str
    session: aiohttp.ClientSession
    data_dir: Path
    camera: str = ""
    silent: str = ""

    async def ask(self, method: str, path: str, content: Any = None, prefer: str = "wait=30") -> tuple[int, Any]:
        """One call: the status, and the body as JSON if it is that."""
        body = {"data": content} if isinstance(content, bytes) else {"json": content}
        url = f"{self.url}{BASE}{path}"
        async with self.session.request(method, url, headers={"Prefer": prefer}, **body) as answer:
            return answer.status, await answer.json() if "json" in answer.content_type else await answer.read()

    async def post(self, path: str, **content: Any) -> Any:
        """A call that must succeed; gives the body."""
        status, answer = await self.ask("POST", path, content)
        assert status == 200, answer
        return answer

    async def channel(self, name: str, **more: Any) -> None:
        """A looping channel of that name."""
        await self.post("/vod/startup", uri="vod-live://short.mp4", localStreamName=name, loop=True, **more)

    async def running(self, name: str) -> str:
        """The id of a job that goes on for ever."""
        asked = {"uri": self.silent, "localStreamName": name, "preflight": False}
        status, job = await self.ask("POST", "/rtsp/startup", asked, "wait=0")
        assert status == 202, job
        return str(job["id"])

    async def settled(self, name: str) -> Any:
        """The record of a stream once it has come back."""
        async with asyncio.timeout(60):
            while (record := await self.stream(name)) and record["status"] == "WAITING":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return record

    async def stream(self, name: str) -> Any:
        """The record of a stream; None when there is none."""
        found = (await self.ask("POST", "/stream/find", {"name": name}))[1]
        return found[0] if isinstance(found, list) else None


@dataclass(frozen=True)
class Promise:
    """One call. `needs` comes before it, and gives what `{}` in its path and `"{}"` in its body stand for; `kept` is
    asked of the gateway that comes after, with what the call answered, or with what was needed if that was nothing.
    """

    route: str
    body: Any
    kept: Check
    needs: Callable[[Caller], Awaitable[Any]] = field(default=lambda _: nothing())
    prefer: str = "wait=30"
    status: int = 200

    def filled(self, caller: Caller, needed: Any) -> tuple[str, str, Any]:
        """The method, the path and the body of the call."""
        method, path = self.route.split(" ")
        known = {"{}": needed, "{camera}": caller.camera, "{silent}": caller.silent}
        body = (
            {k: known.get(v, v) if isinstance(v, str) else v for k, v in self.body.items()}
            if self._is_json
            else self.body
        )
        return method, path.replace("{id}", str(needed)).replace("{name}", "kept.png"), body

    @property
    def _is_json(self) -> bool:
        return isinstance(self.body, dict)


async def nothing() -> None:
    """No need."""


def is_there(name: str, **members: Any) -> Check:
    """The stream is back, and these members of its record are so."""

    async def check(caller: Caller, _: Any) -> None:
        record = await (caller.settled(name) if members else caller.stream(name))
        assert record is not None, f"{name} is not back"
        assert {key: record[key] for key in members} == members

    return check


def is_gone(name: str) -> Check:
    """The stream does not come back."""

    async def check(caller: Caller, _: Any) -> None:
        assert await caller.stream(name) is None, f"{name} is back"

    return check


def paused_at(name: str, seconds: float) -> Check:
    """The channel stands where it was sent."""

    async def check(caller: Caller, _: Any) -> None:
        record = await caller.settled(name)
        assert (record["status"], record["position"]) == ("PAUSED", seconds)

    return check


def marked(name: str) -> Check:
    """The picture is on the stream, or will be."""

    async def check(caller: Caller, _: Any) -> None:
        record = await caller.stream(name)
        assert "logo.png" in str((record["watermark"], record.get("nextWatermark"))), record

    return check


def same_result(kind: str) -> Check:
    """The job is DONE with the answer that the caller had."""

    async def check(caller: Caller, answer: Any) -> None:
        jobs = await caller.post("/jobs/find", kind=kind)
        assert await caller.ask("GET", f"/jobs/{jobs[0]['id']}/result") == (200, answer)

    return check


async def ended(caller: Caller, answer: Any) -> None:
    status, job = await caller.ask("GET", f"/jobs/{answer['id']}")
    assert (status, job["state"], job["cancelReason"]) == (200, "CANCELLED", "client")


async def known(caller: Caller, answer: Any) -> None:
    status, job = await caller.ask("GET", f"/jobs/{answer['id']}")
    assert (status, job["state"], job["error"]["code"]) == (200, "FAILED", "interrupted")


async def forgotten(caller: Caller, job_id: Any) -> None:
    status, problem = await caller.ask("GET", f"/jobs/{job_id}")
    assert (status, problem["code"]) == (410, "job-expired")


async def file_is_there(caller: Caller, _: Any) -> None:
    assert await caller.ask("GET", "/media/kept.png") == (200, PNG)


async def file_is_gone(caller: Caller, _: Any) -> None:
    assert (await caller.ask("GET", "/media/kept.png"))[0] == 404


async def token_is_good(caller: Caller, answer: Any) -> None:
    ticket = PlayTokens.kept_in(caller.data_dir / "play.secret").check(answer["token"], time.time())
    assert ticket is not None
    assert ticket.name == "any"


def made(name: str) -> Callable[[Caller], Awaitable[Any]]:
    return lambda caller: caller.channel(name)


def on_air(name: str) -> Callable[[Caller], Awaitable[Any]]:
    """A camera."""
    return lambda caller: caller.post("/rtsp/startup", uri=caller.camera, localStreamName=name)


def transcoding(name: str) -> Callable[[Caller], Awaitable[Any]]:
    async def needs(caller: Caller) -> None:
        await caller.channel(f"source-of-{name}")
        body = {"uri": f"transcoder://{name}", "remoteStreamName": f"source-of-{name}", "localStreamName": name}
        await caller.post("/transcoder/startup", **body)

    return needs


async def paused(caller: Caller) -> None:
    await caller.channel("resumed")
    await caller.post("/vod/pause", localStreamName="resumed")


async def paused_to_seek(caller: Caller) -> None:
    await caller.channel("sought")
    await caller.post("/vod/pause", localStreamName="sought")


async def running(caller: Caller) -> str:
    return await caller.running("running")


async def ended_job(caller: Caller) -> str:
    await caller.post("/watermark/startup", watermark="logo.png")
    jobs = await caller.post("/jobs/find", kind="watermark.startup")
    return str(jobs[0]["id"])


async def sent(caller: Caller) -> None:
    assert (await caller.ask("PUT", "/media/kept.png", PNG))[0] in (200, 201)


SOURCE: Final = {"uri": "vod-live://short.mp4", "localStreamName": "channel", "loop": True}
TRANSCODER: Final = {"uri": "transcoder://1", "remoteStreamName": "source", "localStreamName": "small"}

PROMISES: Final = {
    "a channel": Promise("POST /vod/startup", SOURCE, is_there("channel")),
    "a camera": Promise("POST /rtsp/startup", {"uri": "{camera}", "localStreamName": "yard"}, is_there("yard")),
    "a transcoder": Promise("POST /transcoder/startup", TRANSCODER, is_there("small"), made("source")),
    "an accepted job": Promise(
        "POST /rtsp/startup",
        {"uri": "{silent}", "localStreamName": "dark", "preflight": False},
        known,
        prefer="wait=0",
        status=202,
    ),
    "a picture": Promise("POST /watermark/startup", {"watermark": "logo.png"}, same_result("watermark.startup")),
    "a snapshot": Promise(
        "POST /stream/snapshot", {"streamName": "shot"}, same_result("stream.snapshot"), made("shot")
    ),
    "an end of any stream": Promise("POST /stream/terminate", {"name": "a"}, is_gone("a"), made("a")),
    "an end of a channel": Promise("POST /vod/terminate", {"localStreamName": "b"}, is_gone("b"), made("b")),
    "an end of a camera": Promise("POST /rtsp/terminate", {"localStreamName": "c"}, is_gone("c"), on_air("c")),
    "an end of a transcoder": Promise(
        "POST /transcoder/terminate", {"localStreamName": "d"}, is_gone("d"), transcoding("d")
    ),
    "a seek": Promise(
        "POST /vod/seek", {"localStreamName": "sought", "position": 2}, paused_at("sought", 2.0), paused_to_seek
    ),
    "a pause": Promise(
        "POST /vod/pause", {"localStreamName": "paused"}, is_there("paused", status="PAUSED"), made("paused")
    ),
    "a resume": Promise("POST /vod/resume", {"localStreamName": "resumed"}, is_there("resumed", status="LIVE"), paused),
    "a fault": Promise(
        "POST /vod/fault",
        {"localStreamName": "faulty", "fault": "gap", "seconds": 1},
        is_there("faulty"),
        made("faulty"),
    ),
    "a mark on a channel": Promise(
        "POST /vod/set_watermark", {"localStreamName": "e", "watermark": "logo.png"}, marked("e"), made("e")
    ),
    "a mark on a transcoder": Promise(
        "POST /transcoder/set_watermark",
        {"uri": "transcoder://f", "watermark": "logo.png"},
        marked("f"),
        transcoding("f"),
    ),
    "a cancel": Promise("POST /jobs/terminate", {"id": "{}"}, ended, running),
    "a cancel by its other name": Promise("POST /jobs/cancel", {"id": "{}"}, ended, running),
    "a cancel by DELETE": Promise("DELETE /jobs/{id}", None, ended, running),
    "a job forgotten": Promise("DELETE /jobs/{id}", None, forgotten, ended_job, status=204),
    "a file": Promise("PUT /media/{name}", PNG, file_is_there, status=201),
    "a file deleted": Promise("DELETE /media/{name}", None, file_is_gone, sent, status=204),
    "a play token": Promise("POST /stream/play_token", {"name": "any"}, token_is_good),
}

# Calls that change nothing that a restart could take back.
LOOKS: Final = frozenset(
    [
        f"POST /{family}/{verb}"
        for family in ("jobs", "rtsp", "stream", "transcoder", "vod")
        for verb in ("find", "find_all")
    ]
    + ["POST /media/find_all", "POST /stream/history"]
)
# A session is a signed cookie, of the same secret as a play token; a WebRTC viewer lives as long as its connection.
OF_THE_MOMENT: Final = frozenset({"POST /session/start", "POST /session/end"})
