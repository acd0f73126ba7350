"""A run of schemathesis in a process of its own: reads a plan from its input, and prints what it has found.

The command line cannot be used for sequences: hypothesis ends them early, and says nothing, when an answer was another
than the last time (a name is taken by then). Here they begin anew, from the next seed, until there are enough.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.openapi.checks import UseAfterFree

from gateway.jobs.job import LINKS

ROUNDS: Final = 200  # at most; one of sequences has some hundred cases
LONGEST: Final = 60  # seconds that any answer may take: only a method that hangs is cut off

# Not all that is wrong can be said in a schema: an address that cannot be or is denied, a body without a filter.
ACCEPTABLE: Final = ["2xx", "304", 400, 403, 404, 409, 410, 412, 416, 422]
# What a method answers when what it was asked for cannot be had: a camera that refuses, a job out of time, no place.
UNAVAILABLE: Final = [502, 503, 504]
# They cannot be asked like the others: test_fuzz_events.py asks the one that has no end, and nobody guesses a key.
LEFT_OUT: Final = ["events", "startSession"]


@dataclass(frozen=True)
class Plan:
    """What to run: `phases` of schemathesis, again and again until there are `cases` of them.

    `words` are what to take, mostly, for a parameter: `body.uri`, or `vodStartup body.uri` for that of one operation.
    `modes`: whether what is sent obeys the document (`positive`), or not, or may be either (`all`).
    """

    url: str
    key: str
    seed: int
    phases: list[str]
    examples: int
    jobs: list[str]
    cases: int = 0
    modes: str = "all"
    words: dict[str, list[str]] = field(default_factory=dict)

    def config(self, round_: int) -> SchemathesisConfig:
        """That of one round."""
        operations: list[dict[str, Any]] = [{"include-operation-id": LEFT_OUT, "enabled": False}]
        operations += [
            {"include-operation-id": [name.split()[0]], "parameters": {name.split()[1]: usually(name)}}
            for name in self.words
            if " " in name
        ]
        unavailable = {"expected-statuses": ["2xx", "3xx", "4xx", *UNAVAILABLE]}
        acceptable = {"expected-statuses": [*ACCEPTABLE, *UNAVAILABLE]}
        checks = {"not_a_server_error": unavailable, "positive_data_acceptance": acceptable}
        operations.append({"include-operation-id": self.jobs, "checks": checks})
        phases = ("examples", "coverage", "fuzzing", "stateful")
        return SchemathesisConfig.from_dict(
            {
                "seed": self.seed + round_,
                "continue-on-failure": True,
                "warnings": False,
                "request-timeout": LONGEST,
                "headers": {"Authorization": f"Bearer {self.key}"},
                "generation": {
                    "database": "none", "no-shrink": True, "mode": self.modes, "max-examples": self.examples,
                },
                "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTABLE}},
                "dictionaries": {identifier(name): {"values": values} for name, values in self.words.items()},
                "parameters": {name: usually(name) for name in self.words if " " not in name},
                "phases": {name: {"enabled": name in self.phases} for name in phases},
                "operations": operations,
            }
        )  # fmt: skip


@dataclass
class Found:
    """What came of it. `answers` counts them by operation and status; `linked` cases went on from an earlier answer."""

    cases: int = 0
    linked: int = 0
    rounds: int = 0
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, event: Any) -> None:
        """What happened in the engine."""
        if isinstance(event, events.NonFatalError):
            self.failures.append(f"{event.label}: {event.info.title}: {event.info.message}")
        elif isinstance(event, events.FatalError):
            self.failures.append(repr(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            # What a check asks besides, such as the same without a key, is no case of its own.
            own = [each for each in recorder.cases.values() if each.parent_id is None or each.transition is not None]
            self.cases += sum(each.value.id in recorder.interactions for each in own)
            self.linked += sum(each.is_transition_applied for each in own)
            for id_, interaction in recorder.interactions.items():
                label = recorder.cases[id_].value.operation.label
                status = str(interaction.response.status_code) if interaction.response is not None else "nothing"
                self.answers.setdefault(label, Counter())[status] += 1
            self.failures += failures(recorder)


def failures(recorder: Any) -> Iterator[str]:
    """What the checks of a scenario found wrong, with a call that shows it."""
    for id_, checks in recorder.checks.items():
        before = [recorder.interactions[each] for each in takewhile(id_.__ne__, recorder.interactions)]
        for each in checks:
            if each.failure_info is not None and not only_cancelled(each.failure_info.failure, before):
                yield f"{each.name}: {each.failure_info.failure}\n{each.failure_info.code_sample}"


def only_cancelled(failure: Any, before: list[Any]) -> bool:
    """Whether what is said to be there after its end is a job that was cancelled: its record is kept (200, 202).

    DELETE forgets one that has ended already (204); after that it must be gone.
    """
    if not isinstance(failure, UseAfterFree) or not failure.free.startswith(f"DELETE {LINKS}"):
        return False
    asked = (f"{each.request.method} {urlsplit(each.request.uri).path}" for each in before)
    ended = [each.response for call, each in zip(asked, before, strict=True) if call == failure.free]
    return all(response is not None and response.status_code != 204 for response in ended)


def identifier(name: str) -> str:
    """What a dictionary may be called."""
    return name.replace(" ", "-").replace(".", "-")


def usually(name: str) -> dict[str, Any]:
    """The binding of a parameter to its words."""
    return {"dictionary": identifier(name), "probability": 0.7}


def run(plan: Plan) -> Found:
    """As many rounds as it takes."""
    found = Found()
    while found.rounds < ROUNDS and not found.failures and (found.rounds == 0 or found.cases < plan.cases):
        config = plan.config(found.rounds)
        schema = schemathesis.openapi.from_url(f"{plan.url}/openapi.json", config=config)
        for event in from_schema(schema).execute():
            found.add(event)
        found.rounds += 1
    return found


if __name__ == "__main__":
    json.dump(vars(run(Plan(**json.load(sys.stdin)))), sys.stdout)
