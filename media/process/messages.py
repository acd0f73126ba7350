"""The words between the gateway and a worker process, each a frozen dataclass that travels as one frame."""

from dataclasses import dataclass, fields
from typing import Any, Final

from media.chunk import AudioTrack, Init, VideoTrack
from media.process import framing


@dataclass(frozen=True, slots=True)
class StartTask:
    """Down, first and once: what to do. `spec` is the task's own; it may hold secrets and is never logged.

    `trace` is that of the request that wanted it (W3C Trace Context), "" for none.
    """

    task: str
    spec: dict[str, Any]
    trace: str = ""


@dataclass(frozen=True, slots=True)
class StopTask:
    """Down: end in good order (an RTSP source sends TEARDOWN), then exit, within so many seconds."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """Down, to a task that goes on: something of the task's own, such as another watermark."""

    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PhaseReached:
    """Up: how far the opening has come."""

    name: str


@dataclass(frozen=True, slots=True)
class InitMade:
    """Up: the init of every chunk that follows. The tracks are `VideoTrack` and `AudioTrack` as dicts, or None."""

    video: dict[str, Any] | None
    audio: dict[str, Any] | None
    body: bytes

    @classmethod
    def of(cls, init: Init) -> "InitMade":
        return cls(_track(init.video), _track(init.audio), init.data)

    def init(self) -> Init:
        return Init(
            self.body,
            VideoTrack(**self.video) if self.video else None,
            AudioTrack(**self.audio) if self.audio else None,
        )


@dataclass(frozen=True, slots=True)
class ChunkMade:
    """Up: one chunk below the last init; times are ticks of its timescale."""

    decode_time: int
    duration: int
    independent: bool
    discontinuity: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class TaskReady:
    """Up, once: the picture is proven (a key frame was decoded with no error), or a package can be played."""

    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """Up: something of the task's own that its asker understands, such as one packaged chunk."""

    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stats:
    """Up, once a second: the heartbeat of a running source."""

    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WarningRaised:
    """Up: something that a person should know and that stops nothing."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Up, last: why the task cannot go on; `code` is one of `media.faults.CODES`, `status` as in `Fault`."""

    code: str
    phase: str
    detail: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Up, last: the task has ended as it should, with its result if it has one."""

    info: dict[str, Any]
    body: bytes = b""


Message = (
    StartTask
    | StopTask
    | Order
    | PhaseReached
    | InitMade
    | ChunkMade
    | TaskReady
    | TaskProgress
    | Stats
    | WarningRaised
    | Failed
    | Finished
)

# The words on the wire, which are older than some of the classes.
_TYPES: Final[dict[str, type[Message]]] = {
    "Start": StartTask,
    "Stop": StopTask,
    "Order": Order,
    "Phase": PhaseReached,
    "InitMade": InitMade,
    "ChunkMade": ChunkMade,
    "Ready": TaskReady,
    "Progress": TaskProgress,
    "Stats": Stats,
    "Warned": WarningRaised,
    "Failed": Failed,
    "Finished": Finished,
}
_WORDS: Final = {cls: word for word, cls in _TYPES.items()}


def encode(message: Message) -> bytes:
    """One frame: the fields as the header, `body` (if the message has one) behind it."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    body = values.pop("body", b"")
    return framing.encode({"type": _WORDS[type(message)], **values}, body)


def decode(header: framing.Header, body: bytes) -> Message:
    """The message of a frame. Raises `FrameError` when its type or fields are unknown."""
    values = dict(header)
    cls = _TYPES.get(values.pop("type", ""))
    if cls is None:
        raise framing.FrameError("a frame of unknown type")
    if any(field.name == "body" for field in fields(cls)):
        values["body"] = body
    try:
        return cls(**values)
    except TypeError as error:
        raise framing.FrameError(f"a {cls.__name__} frame with the wrong fields") from error


def _track(track: VideoTrack | AudioTrack | None) -> dict[str, Any] | None:
    return None if track is None else {field.name: getattr(track, field.name) for field in fields(track)}
