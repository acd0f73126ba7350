"""What answers are made of, as models: the source of the schemas in the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from gateway.auth.keys import Scope
from gateway.jobs.failures import FAILURES
from gateway.jobs.state import Reason, State
from gateway.webhooks.types import TYPES
from media.stream import Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T09:30:00.000Z"])]
Code = Annotated[str, Field(json_schema_extra={"enum": list(FAILURES)})]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["0b51c8e7a0d94c5f8a3e6f2b1d7c9e40"])]


class Answer(BaseModel):
    """Members may be added; a client ignores those that it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")


class Warned(Answer):
    """Something to know that stops nothing."""

    code: str
    detail: str


class FieldError(Answer):
    """What is wrong with one field."""

    field: str
    detail: str


class Problem(Answer):
    """An RFC 9457 problem document. `code` is stable; `job` is there when the error is that of a job."""

    type: str = Field(examples=["urn:reelgate:problem:source-refused"])
    title: str
    status: int = Field(ge=400, le=599)
    code: Code
    detail: str
    retryable: bool = Field(description="Whether the same request may succeed later.")
    instance: str
    request_id: str
    phase: str | None = Field(default=None, description="How far it came.")
    cause: str | None = Field(default=None, description="The code that fits what was seen until the time ran out.")
    errors: list[FieldError] = Field(default=[], description="The fields of an invalid-field, or the file at fault.")
    job: "JobRecord | None" = None


class Broken(Answer):
    """Why a job failed: the members of a problem that do not depend on HTTP."""

    code: Code
    title: str
    status: int
    detail: str
    retryable: bool
    phase: str | None = None
    cause: str | None = None


class Asked(Answer):
    """The request, without secrets. `key`: the id of the API key that made it, where keys are used."""

    method: str
    path: str
    body: dict[str, Any]
    key: str | None = None


class JobLinks(Answer):
    """Where the job and its result are read."""

    self: str
    result: str


class StageTime(Answer):
    """How long one stage of a job took, or has taken so far."""

    stage: str = Field(examples=["connecting"])
    ms: int


class JobRecord(Answer):
    """A long operation: getting there. It ends when the picture is proven, or the reason is known why not."""

    id: JobId
    kind: str = Field(examples=["rtsp.startup"])
    state: State
    cancel_requested: bool
    cancel_reason: Reason | None
    stage: str = Field(examples=["connecting"])
    stages: list[StageTime] = Field(description="All stages so far, in order.")
    queue_position: int | None
    wait: int = Field(description="Seconds that the request is or was held at the most.")
    timeout: float = Field(description="Seconds after which the job is cancelled.")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    elapsed_ms: int
    expires_at: Time | None
    request: Asked
    result: dict[str, Any] | None = Field(description="What the synchronous answer would have been; DONE only.")
    error: Broken | None
    http_status: int | None = Field(description="The status that the synchronous answer would have had.")
    revision: int
    links: JobLinks


class JobEvent(Answer):
    """A webhook: a job is in another state now. `number` is that of `/events`."""

    type: str = Field(json_schema_extra={"enum": [each for each in TYPES if each.startswith("job.")]})
    timestamp: Time
    number: int
    data: JobRecord


class VideoRecord(Answer):
    """The video track."""

    codec: str = Field(examples=["h264"])
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    mode: str = Field(examples=["copy"])


class AudioRecord(Answer):
    """The audio track."""

    codec: str = Field(examples=["aac"])
    sample_rate: int | None = None
    channels: int | None = None
    mode: str = Field(examples=["copy"])


class LastError(Answer):
    """Why the stream is not there, or was not."""

    code: Code
    detail: str


class Playback(Answer):
    """Where the stream is watched: paths on this server."""

    page: str = Field(examples=["/live/lobby/"])
    hls: str = Field(examples=["/live/lobby/index.m3u8"])
    mse: str = Field(examples=["/live/lobby/mse"])
    mp4: str = Field(examples=["/live/lobby.mp4"])
    snapshot: str = Field(examples=["/live/lobby.jpg"])
    mjpeg: str = Field(examples=["/live/lobby.mjpeg"])
    whep: str = Field(description="Needs the extra `webrtc`; 501 without it.", examples=["/live/lobby/whep"])


class StreamRecord(Answer):
    """A stream: being there. It lives on after the job that made it, until it is terminated."""

    id: str
    media_session_id: str = Field(description="The id, by the name that WCS has for it.")
    name: str = Field(examples=["lobby"])
    local_stream_name: str
    kind: str = Field(examples=["rtsp"])
    uri: str | list[str] = Field(
        description="As given, without credentials; a list for a channel of a list of files.",
        examples=["rtsp://192.0.2.7/live"],
    )
    has_credentials: bool
    status: Status
    wanted: bool
    created_at: Time
    live_since: Time | None
    viewers: int
    bitrate: int | None = Field(description="Bits a second of the newest whole segment; null while there is none.")
    video: VideoRecord | None = None
    audio: AudioRecord | None = None
    restarts: int = 0
    last_error: LastError | None = None
    next_retry_at: Time | None = None
    warnings: list[Warned]
    playback: Playback
    job_id: str | None


class StreamEvent(Answer):
    """A webhook: a stream has another status now, or was published. `number` is that of `/events`."""

    type: str = Field(json_schema_extra={"enum": [each for each in TYPES if each.startswith("stream.")]})
    timestamp: Time
    number: int
    data: StreamRecord


class PictureRecord(Answer):
    """A picture that was read and checked."""

    width: int
    height: int
    format: str = Field(examples=["png"])
    sha256: str
    warnings: list[Warned] = []


class AnyRecord(RootModel[dict[str, Any]]):
    """The result of a job, as its method describes it."""


class Health(Answer):
    """How the gateway is."""

    status: str = Field(examples=["ok"])


class BrokenPart(Answer):
    """Something that is broken; `blocks`: no job can be done as long as it is so."""

    code: str = Field(examples=["workers"])
    detail: str
    blocks: bool


class Ready(Health):
    """Whether jobs are taken: `ok`, `degraded` (they are, and something is broken), `unready` or `draining`."""

    reasons: list[BrokenPart]


class TokenRecord(Answer):
    """A token that lets its holder watch one stream for a while; `playback` holds the addresses with the token."""

    name: str
    token: str
    expires_at: Time
    playback: dict[str, str]


class SessionRecord(Answer):
    """Who one is: the name of the key, and all scopes that it brings; every scope where no keys are used."""

    keys_needed: bool
    name: str | None
    scopes: list[Scope]


class HistoryRecord(Answer):
    """Samples of a stream as columns, oldest first, `period` seconds apart; the newest one is of `until`."""

    name: str
    until: Time
    period: float
    viewers: list[int]
    bitrate: list[int | None] = Field(description="Bits a second.")
    last_frame_age: list[float | None] = Field(description="Seconds.")
