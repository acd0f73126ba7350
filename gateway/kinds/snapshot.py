"""A still picture of a stream as a job: `/stream/snapshot`."""

import asyncio
from base64 import b64encode
from typing import Any, Final, Literal

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services, as_failure
from gateway.kinds.names import StreamName
from media.pictures.stills import Still, Stills
from media.ring import Ring
from media.stream import timestamp

LARGEST: Final = 4 * 1024 * 1024  # bytes of a picture in a job's result


class SnapshotParams(Params):
    """`stream_name` is that of any stream; `width` in pixels: the picture is never larger than the stream's."""

    stream_name: StreamName
    format: Literal["png", "jpeg"] = "png"
    width: int | None = Field(default=None, ge=16, le=4096)


class TakeSnapshot:
    """The work of one job. The worker is the stills' own: others may be waiting for the same picture."""

    def __init__(self, stills: Stills, ring: Ring, params: SnapshotParams, ask: Ask) -> None:
        self._stills = stills
        self._ring = ring
        self._params = params
        self._job_id = ask.job_id
        self._warnings = ask.warnings()
        self._still: Still | None = None

    async def run(self, progress: Progress) -> None:
        progress.stage("waiting")
        while self._ring.newest_key() is None and not self._ring.ended:
            await self._ring.wait(self._ring.head)
        progress.stage("decoding")
        with as_failure():
            still = await self._stills.take(self._ring, self._params.format, self._params.width, self._job_id)
        if len(still.data) > LARGEST:
            raise Failure("limits-exceeded", f"The picture is over {LARGEST} bytes; ask for jpeg or a smaller width.")
        self._still = still

    def publish(self) -> dict[str, Any]:
        still = self._still
        if still is None:
            raise RuntimeError("there is no picture to publish")
        return {
            "data": b64encode(still.data).decode(),
            "format": still.format,
            "width": still.width,
            "height": still.height,
            "takenAt": timestamp(still.taken_at),
            "age": round(self._stills.age(still), 3),
            "warnings": [{"code": code, "detail": detail} for code, detail in self._warnings.items()],
        }

    async def stop(self) -> None:
        """Does nothing: whoever stops waiting last ends the worker, and `run` has returned by then."""
        await asyncio.sleep(0)

    def kill(self) -> None:
        """Does nothing: the stills kill their worker themselves."""


async def plan(params: SnapshotParams, ask: Ask, parts: Services) -> Plan:
    """Looks that the stream is there."""
    ring = parts.catalog.ring(params.stream_name)
    if ring is None:
        raise Failure("not-found", f"There is no stream named {params.stream_name!r}.")
    return Plan((), params.model_dump(by_alias=True), TakeSnapshot(parts.stills, ring, params, ask))


def _cause(stage: str) -> str | None:
    return "no-keyframe-yet" if stage == "waiting" else None


KIND: Final = Kind(
    name="stream.snapshot",
    path="/stream/snapshot",
    pool="picture",
    params=SnapshotParams,
    plan=plan,
    timeout_cause=_cause,
    result_limit=6 * 1024 * 1024,  # base64 makes four bytes of three
    result="other",
)
