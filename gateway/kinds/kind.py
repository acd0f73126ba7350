"""What every kind of job has in common: parameters, a plan, and the parts it may use."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from gateway.jobs.failures import Failure
from gateway.jobs.job import RESULT_LIMIT, Work
from gateway.settings import Settings
from media.camera.stream import CameraParts
from media.catalog import Catalog
from media.channel.spec import FileParts
from media.faults import Fault
from media.pictures.picture_store import Pictures
from media.pictures.stills import Stills
from media.process.capacity import RETRY_AFTER
from media.process.workers import Workers
from media.stream import Stream
from media.transcoding.transcoder import TranscoderParts
from media.watch.whep import Broadcasts


def _flag(value: Any) -> Any:
    """WCS examples send booleans as the strings "true" and "false"; nothing else stands for one."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_flag)]


class Params(BaseModel):
    """The body of a request; field names are camelCase on the wire. An unknown field is a warning and no error."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, strict=True)


class Exact(Params):
    """The parameters of a method that would do more than was asked for, if it passed over a member: stop more streams,
    list more, take a watermark away. So a member that is not known is an error, whatever `Prefer: handling` says.
    """

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Services:
    """What the kinds work with."""

    settings: Settings
    catalog: Catalog
    workers: Workers
    cameras: CameraParts
    files: FileParts
    pictures: Pictures
    transcoders: TranscoderParts
    stills: Stills
    broadcasts: Broadcasts
    wall: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: the id that its job will have, and the fields of its body that mean nothing here."""

    job_id: str
    ignored: tuple[str, ...] = ()

    def warnings(self) -> dict[str, str]:
        """What a caller should be told about the body, as code and text."""
        if not self.ignored:
            return {}
        return {"unknown-field": f"Ignored, as this method has no such field: {', '.join(self.ignored)}."}

    def warn(self, stream: Stream) -> None:
        """Adds the warnings to the record of the stream."""
        for code, detail in self.warnings().items():
            stream.warn(code, detail)


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that was found good: the names it needs, what its record echoes (no secrets), and its work.

    `files` are the real paths of the files that must not be deleted meanwhile.
    `names` are `name:lobby` and `uri:rtsp://…`: no stream may hold them, and no other job while this one is active.
    """

    names: tuple[str, ...]
    echo: dict[str, Any]
    work: Work
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `plan` may look at files; it raises `Failure` for what can be seen to fail beforehand.

    `timeout_cause` gives the code that fits a job whose time ran out in a stage. `restore` makes a stream again from
    what its `wanted()` was before a restart, and is None for a kind that makes none. `result_limit` is in bytes.
    `result` says what the OpenAPI document calls the result, and `example` is a body that works with the demo.
    """

    name: str
    path: str
    pool: str
    params: type[Params]
    plan: Callable[[Any, Ask, Services], Awaitable[Plan]]
    timeout_cause: Callable[[str], str | None] = lambda _stage: None
    stream_kind: str = ""
    restore: Callable[[dict[str, Any], Services], Stream] | None = None
    result_limit: int = RESULT_LIMIT
    result: Literal["stream", "picture", "other"] = "stream"
    example: dict[str, Any] | None = None


@contextmanager
def as_failure() -> Iterator[None]:
    """Turns a medium's `Fault` into the job's `Failure`, word by word."""
    try:
        yield
    except Fault as fault:
        raise failure_of(fault) from None


def failure_of(fault: Fault) -> Failure:
    """The job's failure for a fault of a medium."""
    retry_after = RETRY_AFTER if fault.code == "capacity-exceeded" else None
    more: dict[str, Any] = {"phase": fault.phase} if fault.phase else {}
    if fault.item is not None:
        more["errors"] = [{"field": f"uri.{fault.item}", "detail": fault.detail}]
    return Failure(fault.code, fault.detail, retry_after=retry_after, **more)
