"""The HTTP side under any order of requests, in virtual time: H1 to H7 of job-contract.md, "Invariants"."""

import asyncio
import json
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import looptime
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import SOAK
from tests.support.fakes import BASE, CANARY, Answer, HttpWorld, serving

T = TypeVar("T")
PICK = st.integers(0, 1_000)
SECONDS = st.sampled_from([0.1, 0.3, 1.0, 1.5, 2.0, 5.0])
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "retryable", "requestId"}


@dataclass(eq=False)
class Asked:
    """A request that is under way: when it was sent, how long it may be held, and what it is for."""

    at: float
    wait: float
    task: asyncio.Task[Answer]
    job: bool  # a job method
    lag: float = 0.0
    early: bool = False  # a shutdown may wake it


class HttpMachine(RuleBasedStateMachine):
    """Any order of what callers may ask."""

    @initialize()
    def begin(self) -> None:
        self.loop = looptime.new_event_loop()
        asyncio.set_event_loop(None)
        self.stack = AsyncExitStack()
        self.asked: list[Asked] = []
        self.ids: list[str] = []
        self.results: dict[str, bytes] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.ended: dict[str, Any] = {}
        self.steps = self.answers = 0
        self.draining = False

        async def enter() -> HttpWorld:
            return await self.stack.enter_async_context(serving(HttpWorld()))

        self.world = self.run(enter())

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    # What callers do.

    @rule(
        way=st.sampled_from(["sleep", "sleep", "fail", "stubborn", "unkillable", "late", "crash"]),
        name=st.sampled_from(["", "a", "b", "c", "nobody"]),
        seconds=SECONDS,
        wait=st.integers(0, 7),
        timeout=st.sampled_from([0, 1, 2, 60]),
        path=st.sampled_from([f"{BASE}/fake/startup", f"{BASE}/other/startup", "/rest-api/fake/startup"]),
    )
    def submit(self, way: str, name: str, seconds: float, wait: int, timeout: int, path: str) -> None:
        body = {"way": way, "name": name, "seconds": seconds, "password": CANARY}
        held = min(wait, 5) if path.startswith(BASE) else 100.0
        self.ask("POST", path, body, f"respond-async, wait={wait}, timeout={timeout}", held, job=True)

    @rule(key=st.sampled_from("xyz"), name=st.sampled_from(["d", "e"]), seconds=SECONDS)
    def submit_by_key(self, key: str, name: str, seconds: float) -> None:
        self.check_records()  # a key ends with its job
        body = {"name": name, "seconds": seconds}
        answer = self.run(self.world.post("/fake/startup", body, "wait=0", Idempotency_Key=f'"{key}"'))
        self.check(answer)
        known = self.keys.get(key)
        if known is not None and known[0] != json.dumps(body):
            assert (answer.status, answer.body["code"]) == (422, "idempotency-mismatch")
        elif known is not None:
            assert answer.headers["Job-Id"] == known[1]
            assert answer.headers["Idempotency-Replayed"] == "true"
        elif "Job-Id" in answer.headers:
            self.keys[key] = (json.dumps(body), answer.headers["Job-Id"])
            self.check_job(answer, None)

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        self.collect()

    @rule(seconds=SECONDS)
    def lag(self, seconds: float) -> None:
        """The clock moves on while the loop is too busy to fire its timers."""
        self.loop._LoopTimeEventLoop__now += round(seconds * 1e6)  # type: ignore[attr-defined]
        for asked in self.asked:
            asked.lag += seconds

    @precondition(lambda self: self.ids)
    @rule(pick=PICK, wait=st.integers(0, 3), delete=st.booleans())
    def cancel(self, pick: int, wait: int, delete: bool) -> None:
        job_id = self.ids[pick % len(self.ids)]
        if delete:
            self.ask("DELETE", f"{BASE}/jobs/{job_id}", None, f"wait={wait}", wait)
            self.run(asyncio.sleep(0))
        else:
            self.ask("POST", f"{BASE}/jobs/terminate", {"id": job_id}, f"wait={wait}", wait)

    @precondition(lambda self: self.ids)
    @rule(pick=PICK, wait=st.integers(0, 7), tag=st.booleans())
    def poll(self, pick: int, wait: int, tag: bool) -> None:
        job_id = self.ids[pick % len(self.ids)]
        headers: dict[str, Any] = {"If_None_Match": f'"{self.ended.get(job_id, {}).get("revision", 1)}"'} if tag else {}
        self.ask("GET", f"{BASE}/jobs/{job_id}", None, f"wait={wait}", min(wait, 5), **headers)

    @precondition(lambda self: self.asked)
    @rule(pick=PICK)
    def disconnect(self, pick: int) -> None:
        asked = self.asked.pop(pick % len(self.asked))
        asked.task.cancel()
        self.run(asyncio.wait({asked.task}))

    @precondition(lambda self: any(work.held for work in self.world.works))
    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        held = [work for work in self.world.works if work.held]
        held[pick % len(held)].end.set()
        self.run(asyncio.sleep(0))

    @rule()
    def evict(self) -> None:
        self.run(self.world.retention.run_once())

    @precondition(lambda self: self.steps > 20 and not self.draining)
    @rule()
    def drain(self) -> None:
        self.draining = True
        for asked in self.asked:
            asked.early = True
        self.drained = self.loop.create_task(self.world.supervisor.drain(2.0))
        self.run(asyncio.sleep(0))

    # What must hold.

    def ask(
        self, method: str, path: str, body: Any, prefer: str, held: float, *, job: bool = False, **headers: str
    ) -> None:
        task = self.loop.create_task(self.world.request(method, path, body, prefer, **headers))
        self.asked.append(Asked(self.loop.time(), held, task, job, early=self.draining))
        for _ in range(40):  # there and, unless it is held, back again
            self.run(asyncio.sleep(0))
        self.collect()

    def collect(self) -> None:
        for asked in [asked for asked in self.asked if asked.task.done()]:
            self.asked.remove(asked)
            answer = asked.task.result()
            self.check(answer)
            # H4: never held for longer than asked for, and not a moment less when it is 202.
            assert answer.at <= asked.at + asked.wait + asked.lag + 1e-3, "H4: held for too long"
            if asked.job:
                self.check_job(answer, asked)

    def check(self, answer: Answer) -> None:
        """H6 and H7: what holds for any answer."""
        self.answers += 1
        assert CANARY not in answer.content.decode()
        assert CANARY not in str(answer.headers)
        assert answer.status != 500 or answer.body["job"]["state"] == "FAILED", "H6: only a job may fail so"
        if answer.status >= 400:
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert set(answer.body) >= PROBLEM
            assert answer.body["status"] == answer.status
        if answer.status in (202, 503):
            assert int(answer.headers["Retry-After"]) >= 1

    def check_job(self, answer: Answer, asked: Asked | None) -> None:
        """H1: the status says how the job stands."""
        job_id = answer.headers.get("Job-Id")
        if job_id is None:
            assert answer.status in (404, 409, 422, 503)
            return
        self.ids.append(job_id)
        if answer.status == 200:
            self.results[job_id] = answer.content
        elif answer.status == 202:
            assert answer.body["state"] in ("PENDING", "RUNNING")
            if asked is not None and not asked.early and not asked.lag:
                assert answer.at >= asked.at + asked.wait - 1e-3, "H4: 202 before the wait was over"
        elif answer.body["code"] != "draining" or answer.body["job"]["httpStatus"] is not None:
            job = answer.body["job"]
            assert job["state"] in ("FAILED", "CANCELLED")
            assert job["httpStatus"] == answer.status
            code = {"timeout": "job-timeout", "client": "job-cancelled", "shutdown": "draining"}.get(
                job["cancelReason"]
            )
            assert code in (None, answer.body["code"])

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "world"):
            return
        self.steps += 1
        self.collect()
        assert self.world.supervisor.broken() == []
        if self.steps % 5 == 0:
            self.check_records()

    def check_records(self) -> None:
        """H2, H5 and I2: what was said stays true for as long as it is kept; what is not kept is 410."""
        gone = set()
        for job_id in dict.fromkeys(self.ids):
            answer = self.run(self.world.get(f"{BASE}/jobs/{job_id}"))
            assert answer.status in (200, 410), "H5: an id that was given is never unknown"
            if answer.status == 410:
                gone.add(job_id)
                continue
            job = {name: value for name, value in answer.body.items() if name != "zombie"}
            assert self.ended.get(job_id, job) == job, "I2: a record that has ended is frozen"
            if job["httpStatus"] is not None:
                self.ended[job_id] = job
            if job_id in self.results:
                replay = self.run(self.world.get(f"{BASE}/jobs/{job_id}/result"))
                assert (replay.status, replay.content) == (200, self.results[job_id]), "H2: the same bytes"
                assert job["result"] == json.loads(replay.content), "H2: the same result"
        self.ids = [job_id for job_id in self.ids if job_id not in gone]
        self.keys = {key: made for key, made in self.keys.items() if made[1] not in gone}

    @precondition(lambda self: self.keys)
    @rule()
    def look(self) -> None:
        self.check_records()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.run(asyncio.sleep(200))
            self.collect()
            assert not self.asked, "H4: every request is answered"
            assert self.world.supervisor.waiting == 0
            done = [job for job in self.ended.values() if job["state"] == "DONE"]
            assert len(done) <= len(self.world.published)
            if self.draining:
                self.run(self.drained)  # type: ignore[arg-type]
            for work in self.world.works:
                work.end.set()
            self.run(asyncio.sleep(5))  # what could not be killed ends, and late
            self.run(self.stack.aclose())
            held = sum(work.held for work in self.world.works)
            # What could not be killed is left behind by a shutdown, and ends with the process.
            assert self.draining or held == len(self.world.published), (
                "I5: open handles are those of what was published"
            )
        finally:
            TOTALS["answers"] += self.answers
            TOTALS["steps"] += self.steps
            self.loop.close()


TOTALS = {"answers": 0, "steps": 0}
SHORT = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],  # a failure is told as it was found: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, max_examples=int(os.environ.get("REELGATE_EXAMPLES", "1000")), stateful_step_count=50)


def test_http_invariants_hypothesis() -> None:
    run_state_machine_as_test(HttpMachine, settings=SHORT)


@pytest.mark.soak
def test_http_invariants_hypothesis_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    run_state_machine_as_test(HttpMachine, settings=LONG)
    with capsys.disabled():
        print(f"\n{LONG.max_examples} runs, {TOTALS['steps']} steps, {TOTALS['answers']} answers checked")
    assert SOAK
