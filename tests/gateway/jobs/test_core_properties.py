"""The core under any order of events; and seeded bugs, each of which these properties must catch."""

from collections import Counter
from typing import ClassVar

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

from gateway.jobs.core import Core
from gateway.jobs.state import Phase as JobPhase
from tests.gateway.jobs.mutants import MUTANTS
from tests.support.world import LIMITS, POOLS, Worker, World

PICK = st.integers(0, 1_000)
SECONDS = st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.25, 2.0])


class CoreMachine(RuleBasedStateMachine):
    """Any order of what can happen to the jobs of one core."""

    core_type: ClassVar[type[Core]] = Core
    ran: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        self.world = World(self.core_type(LIMITS, revision=7))
        self.steps = 0

    def workers(self) -> list[Worker]:
        return [worker for worker in self.world.workers.values() if not worker.returned]

    @rule(pool=st.sampled_from(POOLS), name=st.sampled_from(["", "a", "b", "c"]), timeout=SECONDS)
    def submit(self, pool: str, name: str, timeout: float) -> None:
        self.world.submit(pool, name, timeout)

    @rule(pool=st.sampled_from(POOLS), timeout=SECONDS)
    def submit_a_crowd(self, pool: str, timeout: float) -> None:
        for name in "defgh":
            self.world.submit(pool, name, timeout)

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=SECONDS)
    def lag(self, seconds: float) -> None:
        self.world.lag(seconds)

    @precondition(lambda self: self.workers())
    @rule(pick=PICK)
    def prepare(self, pick: int) -> None:
        self.world.prepare(self.workers()[pick % len(self.workers())])

    @precondition(lambda self: self.workers())
    @rule(pick=PICK)
    def publish_raises(self, pick: int) -> None:
        worker = self.workers()[pick % len(self.workers())]

        def publish() -> dict[str, object]:
            self.world.seen[worker.job.id].failed_at = self.world.now
            raise OSError("no space")

        self.world.prepare(worker, publish)

    @precondition(lambda self: self.workers())
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        self.world.fail(self.workers()[pick % len(self.workers())])

    @precondition(lambda self: self.workers())
    @rule(pick=PICK)
    def crash(self, pick: int) -> None:
        self.world.crash(self.workers()[pick % len(self.workers())])

    @precondition(lambda self: self.workers())
    @rule(pick=PICK, way=st.sampled_from(["prepare", "fail", "crash"]))
    def end_late_while_the_loop_lags(self, pick: int, way: str) -> None:
        worker = self.workers()[pick % len(self.workers())]
        self.world.lag(max(0.0, worker.job.deadline - self.world.now))
        getattr(self.world, way)(worker)

    @precondition(lambda self: any(worker.stops for worker in self.world.workers.values()))
    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        stopped = [worker for worker in self.world.workers.values() if worker.stops]
        self.world.let_go(stopped[pick % len(stopped)])

    @precondition(lambda self: self.world.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self.world.cancel(list(self.world.jobs.values())[pick % len(self.world.jobs)])

    @precondition(lambda self: self.world.jobs)
    @rule(pick=PICK, stage=st.sampled_from(["connecting", "playing"]))
    def stage(self, pick: int, stage: str) -> None:
        job = list(self.world.jobs.values())[pick % len(self.world.jobs)]
        self.world.apply(self.world.core.stage(job.id, stage, self.world.now))

    @precondition(lambda self: any(job.phase is JobPhase.GONE for job in self.world.jobs.values()))
    @rule(pick=PICK)
    def forget(self, pick: int) -> None:
        gone = [job for job in self.world.jobs.values() if job.phase is JobPhase.GONE]
        self.world.forget(gone[pick % len(gone)])

    @precondition(lambda self: self.steps > 25)
    @rule(timeout=SECONDS)
    def drain(self, timeout: float) -> None:
        self.world.apply(self.world.core.drain(self.world.now, timeout))

    @precondition(lambda self: self.steps > 25)
    @rule()
    def kill(self) -> None:
        self.world.apply(self.world.core.kill(self.world.now))

    @invariant()
    def holds(self) -> None:
        self.steps += 1
        self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.check_liveness()
            self.ran.update(runs=1, steps=self.steps, jobs=len(self.world.jobs))


settings.register_profile(
    "jobs-ci",
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("jobs-long", settings.get_profile("jobs-ci"), max_examples=5000, stateful_step_count=100)
PROFILE = settings.get_profile("jobs-ci")

# The hunt for a seeded bug is the same each time, and does not shrink: it either finds the bug or it does not.
HUNT = settings(PROFILE, derandomize=True, print_blob=False, phases=[Phase.generate])


def test_core_invariants_hypothesis() -> None:
    run_state_machine_as_test(CoreMachine, settings=PROFILE)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_core_invariants_hypothesis_in_the_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    CoreMachine.ran.clear()
    run_state_machine_as_test(CoreMachine, settings=settings.get_profile("jobs-long"))
    with capsys.disabled():
        print(f"\nthe core: {dict(CoreMachine.ran)}")
    assert CoreMachine.ran["runs"] >= 5000


# A check of the world, or one of the core's own gates; OSError is a `publish` that should not have been called.
CAUGHT = (AssertionError, RuntimeError, KeyError, ValueError, OSError, pytest.fail.Exception)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_core_mutants_are_caught(mutant: type[Core]) -> None:
    machine = type(f"{mutant.__name__}Machine", (CoreMachine,), {"core_type": mutant})
    with pytest.raises(CAUGHT):
        run_state_machine_as_test(machine, settings=HUNT)


def test_the_hunt_for_mutants_leaves_the_correct_core_alone() -> None:
    run_state_machine_as_test(CoreMachine, settings=HUNT)
