"""The gateway killed at random moments: what it acknowledged is found after the restart, and what was live is back."""

import asyncio
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest

from gateway.settings import Settings
from tests.support.processes import below, state, until
from tests.support.served import call, gateway_process

pytestmark = pytest.mark.media

CREATES = 100  # in each round, if it lives so long
AT_ONCE = 10
ENDED = {"DONE", "FAILED", "CANCELLED"}


class Round:
    """One life of a gateway: what was asked of it, and what it acknowledged until it was killed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 0
        self.acknowledged: dict[str, Any] = {}
        self.dice = random.Random(number)
        self.enough = self.dice.randrange(1, CREATES)  # answers before the kill
        self.killing = asyncio.Event()

    async def create(self, session: aiohttp.ClientSession, url: str) -> None:
        """Creates jobs one after another, as long as there is a gateway and creates are left."""
        while self.sent < CREATES:
            self.sent += 1
            name = f"channel-{self.number}-{self.sent}"
            path, body = "/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True}
            if self.sent % 3 == 0:
                path, body = "/watermark/startup", {"watermark": "logo.png"}
            headers = {"Prefer": f"wait={self.dice.choice([0, 0, 2])}", "Idempotency-Key": f'"{name}"'}
            try:
                async with session.post(f"{url}/rest-api/v3{path}", json=body, headers=headers) as answer:
                    content = await answer.json()
            except (aiohttp.ClientError, ConnectionError):
                continue  # killed before it was acknowledged: nobody was promised anything
            if "Job-Id" in answer.headers:
                self.acknowledged[answer.headers["Job-Id"]] = (answer.status, content)
            if len(self.acknowledged) >= self.enough:
                self.killing.set()

    async def run(self, process: Any, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            creators: asyncio.Future[Any] = asyncio.gather(*(self.create(session, url) for _ in range(AT_ONCE)))
            killing: asyncio.Future[Any] = asyncio.create_task(self.killing.wait())
            await asyncio.wait({creators, killing}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(self.dice.uniform(0, 0.02))
            workers = below(process.pid)
            process.kill()
            await creators
            killing.cancel()
        await until(lambda: all(state(pid) in ("", "Z") for pid in workers))

    async def check(self, url: str, found: Counter[str]) -> None:
        """After the restart: every acknowledged job is there and has ended, and the streams are those of the DONE."""
        records = {job["id"]: job for job in await call(url, "/jobs/find", {"limit": 1000})}
        for job_id, (status, content) in self.acknowledged.items():
            record = records[job_id]
            found[record["error"]["code"] if record["error"] else record["state"]] += 1
            assert record["state"] in ENDED, "no job is RUNNING without a worker"
            assert record["error"] is None or record["error"]["code"] == "interrupted", record
            if status == 200:
                assert (record["state"], record["result"]) == ("DONE", content)
        assert all(record["state"] in ENDED for record in records.values())
        streams = await call(url, "/stream/find_all")
        mine = {id for id, job in records.items() if job["kind"] == "vod.startup" and job["state"] == "DONE"}
        mine = {id for id in mine if f"channel-{self.number}-" in str(records[id]["request"])}
        assert {stream["jobId"] for stream in streams} == mine, "the live streams are back, and no other"
        async with asyncio.timeout(60):  # a stream that does not come back
            while not all(stream["status"] == "LIVE" for stream in await call(url, "/stream/find_all")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for stream in streams:
            await call(url, "/stream/terminate", {"id": stream["id"]})
        found["streams"] += len(streams)


async def run_rounds(settings: Settings, rounds: int) -> Counter[str]:
    found: Counter[str] = Counter()
    before: Round | None = None
    for number in range(rounds + 1):
        async with gateway_process(settings) as (process, url):
            if before is not None:
                await before.check(url, found)
            if number < rounds:
                before = Round(number)
                await before.run(process, url)
                found["creates"] += before.sent
                found["acknowledged"] += len(before.acknowledged)
    return found


async def test_every_acknowledged_job_survives_a_kill(settings: Settings) -> None:
    found = await run_rounds(settings, 2)
    assert found["acknowledged"] > 2


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_every_acknowledged_job_survives_twenty_kills(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await run_rounds(settings, 20)
    with capsys.disabled():
        print(f"\n20 rounds: {dict(found)}")
    assert found["creates"] == 20 * CREATES
    assert found["acknowledged"] > 5 * CREATES  # half of them, by the dice
