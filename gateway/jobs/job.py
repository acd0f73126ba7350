"""One job: what was asked for, how far it has come, and its public record."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol

from gateway.jobs.failures import Failure
from gateway.jobs.state import Phase, Reason, State

BASE: Final = "/rest-api/v3"  # of the API's paths
LINKS: Final = f"{BASE}/jobs/"
RESULT_LIMIT: Final = 64 * 1024
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
MOST_STAGES: Final = 32  # of which a record says how long they took

Record = dict[str, Any]


class Progress(Protocol):
    """What a work is given to tell how far it has come, and to ask how long it may take."""

    def stage(self, key: str) -> None:
        """Set the record's `stage`, a short word such as `connecting`. No effect once the job is being stopped."""

    def budget(self) -> float:
        """Seconds that the work may still use for its own limits: the time to the deadline and 0.25 s.

        The quarter second lets the supervisor's clock decide first, so that a job that ran out of time is CANCELLED,
        and not FAILED by a coin-flip.
        """


class Work(Protocol):
    """What a kind of job does. A work that was never run holds nothing.

    The order of calls: `run` once; then either `publish` once, and nothing more unless it raises; or `stop`. `run` is
    cancelled (and awaited) before `stop` is called.
    """

    async def run(self, progress: Progress) -> None:
        """Get there, and return when the result is prepared.

        Raises Failure when that is impossible, and then everything is already released. Any other exception counts as a
        defect: the job becomes FAILED `internal` after `stop`.
        """

    def publish(self) -> dict[str, Any]:
        """Commit, synchronously: make the result visible and return it, as JSON-ready values.

        Called at most once, after `run` returned. When it raises, `stop` follows.
        """

    async def stop(self) -> None:
        """Give up and release all; return when nothing is left (the worker process is reaped).

        This is also the rollback of a result that was prepared, or half published. It may be called whatever `run` did,
        and again after it raised.
        """

    def kill(self) -> None:
        """Use force (SIGKILL), without waiting. It makes a `stop` that is under way return soon."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller calls its request, so that asking again makes no second job (job-contract.md, "Idempotency").

    `key` is the caller's Idempotency-Key within its scope; `fingerprint` stands for what was asked for.
    """

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked for, validated and not yet accepted.

    `pool` names the slots it needs; `names` are reserved from acceptance until its worker is gone ("name:lobby",
    "uri:rtsp://..."). `wait` and `timeout` are the effective seconds. `request` is the redacted echo for the record.
    `timeout_cause` looks up the failure code that fits a deadline in a given stage. `result_limit` is in bytes.
    `files` are the paths of those that it needs, as long as it has not ended.
    `request_id` and `trace` (of a W3C traceparent) go into log lines.
    """

    kind: str
    pool: str
    names: tuple[str, ...]
    wait: int
    timeout: float
    request: Mapping[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    timeout_cause: Callable[[str], str | None] | None = None
    result_limit: int = RESULT_LIMIT
    files: tuple[str, ...] = ()
    claim: Claim | None = None
    request_id: str = ""
    trace: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """One accepted job. Only the core writes to it; all others read.

    `created`, `started`, `stopping`, `finished`, `deadline` and `due` are seconds on the core's clock; `wall` is the
    time of day at acceptance, from which all displayed times are computed, so that a clock that jumps changes nothing.
    """

    draft: Draft
    created: float
    wall: float
    state: State = State.PENDING
    phase: Phase = Phase.QUEUED
    stage: str = "queued"
    stages: list[tuple[str, float]] = field(default_factory=list)
    revision: int = 0
    queue_position: int | None = None
    due: float | None = None
    started: float | None = None
    stopping: float | None = None
    finished: float | None = None
    cancel_reason: Reason | None = None
    failure: Failure | None = None
    result_json: bytes | None = None
    error: Record | None = None
    http_status: int | None = None
    expires: float | None = None
    id: str = field(init=False)  # 32 random hex characters: an id is a capability

    def __post_init__(self) -> None:
        self.id = self.draft.id

    @property
    def deadline(self) -> float:
        """The end of its time. It runs from acceptance, so that waiting in the queue counts."""
        return self.created + self.draft.timeout

    def enter(self, stage: str, now: float) -> None:
        """The work has come to this stage. A part behind a blank (`40 %` in `transcoding 40 %`) makes no stage of its
        own.
        """
        self.stage = stage
        key = stage.partition(" ")[0]
        known = self.stages[-1][0] if self.stages else "queued"
        if key != known and len(self.stages) < MOST_STAGES:
            self.stages.append((key, now))

    def elapsed(self, now: float) -> float:
        """Seconds from acceptance to the end, or to `now`."""
        return (now if self.finished is None else self.finished) - self.created

    def record(self, now: float) -> Record:
        """The public Job object (docs/reference/jobs.md), as JSON-ready values that the caller may keep and change."""
        record: Record = {
            "id": self.id,
            "kind": self.draft.kind,
            "state": str(self.state),
            "cancelRequested": self.cancel_reason is not None,
            "cancelReason": None if self.cancel_reason is None else str(self.cancel_reason),
            "stage": self.stage,
            "stages": self._stages(now),
            "queuePosition": self.queue_position,
            "wait": self.draft.wait,
            "timeout": self.draft.timeout,
            "createdAt": self._time(self.created),
            "startedAt": self._time(self.started),
            "finishedAt": self._time(self.finished),
            "elapsedMs": round(self.elapsed(now) * 1000),
            "expiresAt": self._time(self.expires),
            "request": dict(self.draft.request),
            "result": None if self.result_json is None else json.loads(self.result_json),
            "error": None if self.error is None else dict(self.error),
            "httpStatus": self.http_status,
            "revision": self.revision,
            "links": {"self": LINKS + self.id, "result": f"{LINKS}{self.id}/result"},
        }
        if self.phase is Phase.ZOMBIE:
            record["zombie"] = True
        return record

    def _stages(self, now: float) -> list[Record]:
        """How long each stage took, or has taken until now, in order."""
        end = now if self.finished is None else self.finished
        begun = [("queued", self.created), *self.stages]
        ended = [*(at for _, at in self.stages), end]
        return [
            {"stage": key, "ms": round((until - since) * 1000)}
            for (key, since), until in zip(begun, ended, strict=True)
        ]

    def _time(self, at: float | None) -> str | None:
        return None if at is None else time_of_day(self.wall + at - self.created)


@lru_cache(1024)  # the versions of a job's record share most of theirs
def time_of_day(wall: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds."""
    seconds, rest = divmod(round(wall * 1_000_000), 1_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:03d}Z"


@lru_cache(256)  # all jobs of a busy second share a few of these
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def encode(value: Any) -> bytes:
    """The one way a result becomes JSON: compact UTF-8. Raises TypeError or ValueError for what JSON does not have."""
    return _ENCODER.encode(value).encode()


def interrupted(record: Record, wall: float, retention: float, revision: int) -> Record:
    """The record of a job that a restart found unfinished: FAILED `interrupted`.

    It is never run again by itself: only its caller knows whether it is still wanted (job-contract.md, "Restart").

    `wall` is the time of the restart in seconds since the epoch, `retention` is in seconds.
    """
    detail = "The gateway was restarted before the job ended; nothing of it is left. Send the request again."
    error = Failure("interrupted", detail, phase=record["stage"]).record()
    return {
        **record,
        "state": str(State.FAILED),
        "queuePosition": None,
        "finishedAt": time_of_day(wall),
        "expiresAt": time_of_day(wall + retention),
        "error": error,
        "httpStatus": error["status"],
        "revision": revision,
    }
