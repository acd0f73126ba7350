"""The states of a job and the legal moves between them, as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """What the world sees: exactly the five states of the WCS page."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended: such a record never changes again."""
        return self in TERMINAL


TERMINAL: Final = frozenset({State.DONE, State.FAILED, State.CANCELLED})


class Reason(StrEnum):
    """Why a job was cancelled; the first reason wins."""

    TIMEOUT = "timeout"
    CLIENT = "client"
    SHUTDOWN = "shutdown"


class Phase(StrEnum):
    """Where a job stands inside. A job holds its names until GONE; it holds its slot from WORKING until GONE."""

    QUEUED = "queued"
    WORKING = "working"
    STOPPING = "stopping"
    KILLING = "killing"
    ZOMBIE = "zombie"
    GONE = "gone"


class Event(StrEnum):
    """What moves a job."""

    SLOT = "slot"
    COMMIT = "commit"
    FAIL = "fail"
    BREAK = "break"
    CANCEL = "cancel"
    SOFT_GRACE = "soft-grace"
    HARD_GRACE = "hard-grace"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table: in phase `source`, `event` leads to `target`; `means` says what happens, for the docs."""

    source: Phase
    event: Event
    target: Phase
    means: str


MOVES: Final = (
    Move(Phase.QUEUED, Event.SLOT, Phase.WORKING, "a slot is free and the job is the oldest of its pool: start it"),
    Move(Phase.QUEUED, Event.CANCEL, Phase.GONE, "cancel, deadline or shutdown: CANCELLED at once"),
    Move(Phase.WORKING, Event.COMMIT, Phase.GONE, "prepared in time: publish, then DONE"),
    Move(Phase.WORKING, Event.FAIL, Phase.GONE, "failed and released: FAILED, or CANCELLED after the deadline"),
    Move(Phase.WORKING, Event.BREAK, Phase.STOPPING, "failed, and what it holds is unknown: stop it, then FAILED"),
    Move(Phase.WORKING, Event.CANCEL, Phase.STOPPING, "cancel, deadline or shutdown: stop it"),
    Move(Phase.STOPPING, Event.RELEASE, Phase.GONE, "all is released: CANCELLED (or FAILED, if that was the cause)"),
    Move(Phase.STOPPING, Event.SOFT_GRACE, Phase.KILLING, "it does not stop: kill it"),
    Move(Phase.KILLING, Event.RELEASE, Phase.GONE, "all is released: CANCELLED (or FAILED, if that was the cause)"),
    Move(Phase.KILLING, Event.HARD_GRACE, Phase.ZOMBIE, "it cannot be killed: end the job, keep its slot and names"),
    Move(Phase.ZOMBIE, Event.RELEASE, Phase.GONE, "the zombie is gone at last: free its slot and names"),
)

_TARGETS: Final[Mapping[tuple[Phase, Event], Phase]] = MappingProxyType({(m.source, m.event): m.target for m in MOVES})


class IllegalMove(RuntimeError):
    """A move that the table does not have was asked for: a defect of the caller, never of the input."""


def target(phase: Phase, event: Event) -> Phase:
    """The phase that `event` leads to from `phase`. Raises IllegalMove when the table has no such row."""
    try:
        return _TARGETS[phase, event]
    except KeyError:
        raise IllegalMove(f"a job in phase {phase} cannot take the event {event}") from None
