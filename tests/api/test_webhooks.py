"""Webhooks of a running gateway: each event arrives, signed and in order, whatever goes down meanwhile."""

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import SecretStr

from gateway.__main__ import main
from gateway.app import Gateway
from gateway.settings import Settings
from gateway.webhooks import signature
from gateway.webhooks.types import TYPES
from tests.peers.black_hole import black_hole
from tests.support.api import Api
from tests.support.conforming import described
from tests.support.processes import until
from tests.support.served import call, gateway_process
from tests.support.webhook_receiver import SECRET, Receiver

pytestmark = pytest.mark.media

ROOT = Path(__file__).parents[2]
JOBS = 10  # before the kill, and after it
MARK = {"watermark": "logo.png"}
# What may come after what; a state may be passed so quickly that it is not told.
ORDER = {"job.pending": 0, "job.running": 1, "job.done": 2, "job.failed": 2, "job.cancelled": 2}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def told(settings: Settings, *urls: str, **more: Any) -> Settings:
    """Settings with these receivers."""
    return settings.model_copy(update={"webhook_url": urls, "webhook_secret": (SecretStr(SECRET),), **more})


def check_order(receiver: Receiver) -> None:
    """For each job and stream the events came in their order; one may have come again, but no older one after it."""
    for subject in {event["data"]["id"] for event in receiver.events}:
        numbers = [event["number"] for event in receiver.events if event["data"]["id"] == subject]
        assert numbers == sorted(numbers), receiver.of(subject)
        steps = [ORDER[each] for each in receiver.of(subject) if each in ORDER]
        assert steps == sorted(steps)
    assert len(set(receiver.ids)) == len({event["number"] for event in receiver.events}), "an id stays with its event"


async def test_what_happens_to_jobs_and_streams_is_told_to_all_receivers_as_the_document_says(
    settings: Settings, receiver: Receiver
) -> None:
    async with Receiver() as other, aiohttp.ClientSession() as session:
        async with Gateway(told(settings, receiver.url, other.url, webhook_events=("*",))) as gateway:
            api = Api(gateway, session)
            made = await api.post("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True})
            assert made.status == 200
            bad = await api.post("/watermark/startup", {"watermark": "short.mp4"})
            assert bad.status == 422
            await api.post("/stream/terminate", {"name": "a"})
            for each in (receiver, other):
                await until(lambda each=each: len(each.events) == 6)  # type: ignore[misc]
            figures = ('gateway_webhooks_total{outcome="delivered"} 12.0', "gateway_webhooks_waiting 0.0")
            async with asyncio.timeout(60):
                shown = ""
                while not all(each in shown for each in figures):
                    shown = (await api.get("/metrics")).body.decode()
        for each in (receiver, other):
            check_order(each)
            assert each.of(made.headers["Job-Id"]) == ["job.running", "job.done"]
            assert each.of(bad.headers["Job-Id"]) == ["job.running", "job.failed"]
            assert each.of(made.body["id"]) == ["stream.live", "stream.stopped"]
    done = next(event for event in receiver.events if event["type"] == "job.done")
    assert done["data"]["result"] == made.body
    for event in receiver.events:
        model = "JobEvent" if event["type"].startswith("job.") else "StreamEvent"
        schema = {"$ref": f"#/components/schemas/{model}", "components": described()["components"]}
        assert not list(Draft202012Validator(schema).iter_errors(event))
        assert described()["webhooks"][model[:-5].lower()]["post"]["requestBody"]


async def test_only_the_events_that_are_set_are_told(settings: Settings, receiver: Receiver) -> None:
    async with (
        Gateway(told(settings, receiver.url, webhook_events=("job.done",))) as gateway,
        aiohttp.ClientSession() as session,
    ):
        api = Api(gateway, session)
        for body in (MARK, {"watermark": "short.mp4"}, MARK):
            await api.post("/watermark/startup", body)
        await until(lambda: len(receiver.events) == 2)
        assert {event["type"] for event in receiver.events} == {"job.done"}
        async with asyncio.timeout(60):
            while await gateway.store.ask("SELECT * FROM outbox"):  # what was taken goes when that is known here
                pass


async def run_outage(settings: Settings, monkeypatch: pytest.MonkeyPatch, down: float) -> Counter[str]:
    """A receiver that is down for so many seconds, and a gateway that is killed in the middle of it."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("WEBHOOK_EVENTS", "*")
    monkeypatch.setenv("JOBS_MAX_PREFER_WAIT_TIME", "30")
    jobs: list[str] = []
    receiver = Receiver()
    async with receiver, AsyncExitStack() as stack:
        monkeypatch.setenv("WEBHOOK_URL", receiver.url)
        async with gateway_process(settings) as (process, url):
            first = await call(
                url, "/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
            )
            await until(lambda: "job.done" in receiver.of(first["jobId"]))
            await receiver.__aexit__()
            place = stack.enter_context(socket.socket())  # nobody listens there, and nobody else gets its port
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", receiver.port))
            went = time.monotonic()
            with black_hole() as port:
                for _ in range(JOBS):
                    jobs.append((await call(url, "/watermark/startup", MARK, prefer="wait=0"))["id"])
                    await asyncio.sleep(down / 4 / JOBS)
                body = {"uri": f"rtsp://127.0.0.1:{port}/x", "localStreamName": "hole"}
                stuck = await call(url, "/rtsp/startup", body, prefer="wait=0")
                assert stuck["state"] == "RUNNING"
                process.kill()
                await process.wait()
        async with gateway_process(settings) as (process, url):
            for _ in range(JOBS):
                jobs.append((await call(url, "/watermark/startup", MARK, prefer="wait=0"))["id"])
                await asyncio.sleep(down / 4 / JOBS)
            await asyncio.sleep(max(0.0, went + down - time.monotonic()))
            assert not [each for each in jobs if receiver.of(each)]
            async with receiver:
                back = time.monotonic()
                await call(url, "/stream/terminate", {"name": "a"})
                ends = {"job.done", "job.failed", "job.cancelled"}
                await until(lambda: all(ends & set(receiver.of(each)) for each in [*jobs, stuck["id"]]), 90)
                await until(lambda: "stream.stopped" in receiver.of(first["id"]))
                took = time.monotonic() - back
    check_order(receiver)
    assert receiver.of(stuck["id"])[-1] == "job.failed"
    interrupted = next(event for event in receiver.events if event["type"] == "job.failed")
    for job in jobs:
        states = [state for state, _ in groupby(receiver.of(job))]
        assert states[0] in ("job.pending", "job.running")
        assert states[-1] in ends, states
    assert interrupted["data"]["error"]["code"] == "interrupted"
    repeated = len(receiver.ids) - len(set(receiver.ids))
    return Counter({"jobs": len(jobs), "events": len(receiver.ids), "repeated": repeated, "seconds": round(took)})


async def test_a_receiver_that_is_down_while_the_gateway_is_killed_gets_every_event_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_outage(settings, monkeypatch, 2.0)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_receiver_that_is_down_for_a_minute_gets_every_event_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await run_outage(settings, monkeypatch, 60.0)
    with capsys.disabled():
        print(f"\na minute: {dict(found)}")


async def test_what_was_taken_and_not_noted_when_the_gateway_died_comes_again_under_its_id(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("WEBHOOK_URL", receiver.url)
    receiver.hold = asyncio.Event()
    async with gateway_process(settings) as (process, url):
        await call(url, "/watermark/startup", MARK)
        await until(lambda: receiver.asked == 1)
        process.kill()
        await process.wait()
        receiver.hold.set()
        await until(lambda: len(receiver.ids) == 1)
    async with gateway_process(settings):
        await until(lambda: len(receiver.ids) == 2)
    assert receiver.ids[0] == receiver.ids[1]
    assert receiver.events[0] == receiver.events[1]


def test_the_example_of_the_guide_verifies_what_is_sent_and_nothing_else() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guide/webhooks.md").read_text(), re.DOTALL)
    words: dict[str, Any] = {}
    exec(block, words)
    verify, body = words["verify"], b'{"type":"job.done"}'
    keys = (signature.secret_bytes(signature.made()), signature.secret_bytes(SECRET))
    now = int(time.time())
    headers = signature.headers("evt_1", now, body, keys)
    assert verify(headers, body, SECRET)
    assert not verify(headers, body + b" ", SECRET)
    assert not verify(headers, body, signature.made())
    assert not verify({**headers, "webhook-id": "evt_2"}, body, SECRET)
    assert not verify(signature.headers("evt_1", now - 600, body, keys), body, SECRET)
    assert not verify({}, body, SECRET)


def test_the_guide_names_every_event() -> None:
    guide = (ROOT / "docs/guide/webhooks.md").read_text()
    assert set(re.findall(r"^\| `((?:job|stream)\.\w+)` \|", guide, re.MULTILINE)) == set(TYPES)


async def test_the_command_makes_secrets_lists_what_waits_and_has_it_tried_again(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setattr("gateway.logs.configure", lambda _: None)

    def command(verb: str) -> str:
        monkeypatch.setattr("sys.argv", ["reelgate", "webhooks", verb])
        capsys.readouterr()
        assert main() == 0
        return capsys.readouterr().out.strip()

    with monkeypatch.context() as unset:
        unset.setenv("WEBHOOK_URL", receiver.url)  # a secret is needed then, so it must be made without
        assert len(signature.secret_bytes(command("secret"))) == 32
    receiver.answer = lambda _: 500
    async with Gateway(told(settings, receiver.url, webhook_give_up=0.001)) as gateway, aiohttp.ClientSession() as http:
        await Api(gateway, http).post("/watermark/startup", MARK)
        await until(lambda: gateway.webhooks.outcomes["given-up"] == 1)
    pattern = r"evt_[0-9a-f]{32}  \S+Z  job\.done  job:[0-9a-f]{32}  given up: it answered 500"
    assert re.fullmatch(pattern, command("list"))
    assert command("retry").startswith("1 events are tried again")
    assert command("list").endswith("  waits")
    receiver.answer = lambda _: 200
    async with Gateway(told(settings, receiver.url)) as gateway:
        await until(lambda: gateway.webhooks.outcomes["delivered"] == 1)
    assert len(receiver.ids) == 1
    assert command("list") == ""
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir / "elsewhere"))
    assert main() == 2
    assert "cannot be used" in capsys.readouterr().err
