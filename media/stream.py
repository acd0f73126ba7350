"""A stream: being there. Its identity, its status behind one gate, and its public record."""

import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from media.chunk import AudioTrack, Init, VideoTrack
from media.ring import Ring

log = logging.getLogger(__name__)

MAX_WARNINGS: Final = 20


class Status(StrEnum):
    """What a stream is, from its job's commit on (docs/reference/api.md, Stream)."""

    LIVE = "LIVE"
    WAITING = "WAITING"
    IDLE = "IDLE"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


# The legal moves. FAILED and STOPPED are ends and hold no name.
MOVES: Final[dict[Status, frozenset[Status]]] = {
    Status.LIVE: frozenset({Status.WAITING, Status.PAUSED, Status.IDLE, Status.STOPPED, Status.FAILED}),
    Status.WAITING: frozenset({Status.LIVE, Status.STOPPED, Status.FAILED}),
    Status.IDLE: frozenset({Status.LIVE, Status.WAITING, Status.STOPPED}),
    Status.PAUSED: frozenset({Status.LIVE, Status.STOPPED}),
    Status.FAILED: frozenset({Status.STOPPED}),
    Status.STOPPED: frozenset(),
}

ENDED: Final = frozenset({Status.FAILED, Status.STOPPED})


@dataclass(frozen=True, slots=True)
class Identity:
    """What a stream keeps for life, over restarts of its source and of the gateway. Times are Unix seconds.

    `uri` is a tuple for a list of files.
    """

    name: str
    kind: str
    uri: str | tuple[str, ...]
    has_credentials: bool
    created_at: float
    job_id: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "Identity":
        """An identity from what `asdict` made of it, after its way through JSON."""
        uri = wanted["uri"]
        return cls(**{**wanted, "uri": uri if isinstance(uri, str) else tuple(uri)})

    @property
    def uris(self) -> tuple[str, ...]:
        """All addresses of the stream: one, or those of a list."""
        return (self.uri,) if isinstance(self.uri, str) else self.uri


class Stream(ABC):
    """What the catalog holds. `on_change` is called after each change of status, on the event loop."""

    def __init__(self, identity: Identity, wall: Callable[[], float], status: Status = Status.LIVE) -> None:
        self.identity = identity
        self.viewers = 0
        self.on_change: Callable[[Stream], None] = lambda _: None
        self._wall = wall
        self._status = status
        self._live_since: float | None = wall() if status is Status.LIVE else None
        self._warnings: dict[str, str] = {}

    @property
    def status(self) -> Status:
        return self._status

    @property
    @abstractmethod
    def ring(self) -> Ring | None:
        """What viewers read; None while there is nothing to see."""

    @property
    def source(self) -> str | None:
        """The name of the stream that this one is made of; None for one that is made of no other stream."""
        return None

    @property
    def pictures(self) -> frozenset[str]:
        """The hashes of the stored pictures that it shows, or will."""
        return frozenset()

    @property
    def files(self) -> tuple[str, ...]:
        """The real paths of the files that it plays."""
        return ()

    def bitrate(self) -> int | None:
        """Bits a second of the newest whole segment; None while there is no picture."""
        ring = self.ring if self._status in (Status.LIVE, Status.PAUSED) else None
        rate = ring.bitrate() if ring is not None else None
        return None if rate is None else round(rate)

    def frame_age(self) -> float | None:
        """Seconds since the newest frame came in; None for a source that is arithmetic, and before the first one."""
        return None

    def demanded(self) -> None:
        """Somebody asks for the picture just now. A source that was let go for want of viewers comes back."""
        return

    @abstractmethod
    async def stop(self) -> None:
        """Ends the stream and releases everything; returns when nothing of it is left. May be called again."""

    @abstractmethod
    def wanted(self) -> dict[str, Any]:
        """What the store keeps so that the stream can be made again after a restart; holds secrets."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """The members of the record that depend on the kind."""

    def move(self, status: Status) -> None:
        """Changes the status; nothing else does. Refuses an illegal move with `ValueError`, logs a legal one."""
        if status is self._status:
            return
        if status not in MOVES[self._status]:
            raise ValueError(f"a stream does not go from {self._status} to {status}")
        log.info(
            "stream-status",
            extra={"stream": self.identity.id, "stream_name": self.identity.name, "from": self._status, "to": status},
        )
        self._status = status
        self._live_since = self._wall() if status is Status.LIVE else None
        self.on_change(self)

    def warn(self, code: str, detail: str) -> None:
        """Adds a warning to the record; one of each code, the newest text."""
        if code in self._warnings or len(self._warnings) < MAX_WARNINGS:
            self._warnings[code] = detail

    def forget_warning(self, code: str) -> None:
        """Removes a warning from the record: it is true no longer."""
        self._warnings.pop(code, None)

    def record(self) -> dict[str, Any]:
        """The public Stream object of the REST API, as of now."""
        identity = self.identity
        return {
            "id": identity.id,
            "mediaSessionId": identity.id,
            "name": identity.name,
            "localStreamName": identity.name,
            "kind": identity.kind,
            "uri": identity.uri,
            "hasCredentials": identity.has_credentials,
            "status": self._status.value,
            "wanted": self._status not in ENDED,
            "createdAt": timestamp(identity.created_at),
            "liveSince": timestamp(self._live_since),
            "viewers": self.viewers,
            "bitrate": self.bitrate(),
            **self.details(),
            "warnings": [{"code": code, "detail": detail} for code, detail in self._warnings.items()],
            "playback": playback(identity.name),
            "jobId": identity.job_id or None,
        }


def timestamp(unix: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; None stays None."""
    if unix is None:
        return None
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def playback(name: str) -> dict[str, str]:
    """The ways of watching a stream, as paths on this server; the name in them is percent-encoded."""
    base = f"/live/{quote(name, safe='')}"
    return {
        "page": f"{base}/",
        "hls": f"{base}/index.m3u8",
        "mse": f"{base}/mse",
        "mp4": f"{base}.mp4",
        "snapshot": f"{base}.jpg",
        "mjpeg": f"{base}.mjpeg",
        "whep": f"{base}/whep",
    }


CODEC_NAMES: Final = {"avc1": "h264", "hvc1": "h265", "mp4a": "aac"}


def video_record(track: VideoTrack | None, **more: Any) -> dict[str, Any] | None:
    """The `video` member of a record: codec, profile, size in pixels, frames a second."""
    if track is None:
        return None
    return {
        "codec": CODEC_NAMES.get(track.codec[:4], track.codec),
        "codecString": track.codec,
        "profile": track.profile or None,
        "width": track.width,
        "height": track.height,
        "fps": round(track.fps, 3) or None,
        "mode": "copy",
        **more,
    }


def audio_record(track: AudioTrack | None, **more: Any) -> dict[str, Any] | None:
    """The `audio` member of a record."""
    if track is None:
        return None
    return {
        "codec": CODEC_NAMES.get(track.codec[:4], track.codec),
        "codecString": track.codec,
        "sampleRate": track.sample_rate,
        "channels": track.channels,
        "mode": "copy",
        **more,
    }


def tracks_of(init: Init | None, recoded: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """`video` and `audio` of a record, from an init; `recoded`: those that are no copies, each with the reason."""
    made = {
        "video": video_record(init.video if init else None),
        "audio": audio_record(init.audio if init else None),
    }
    for track, reason in recoded:
        told = made[track]
        if told is not None:
            told |= {"mode": "transcode", "reason": reason}
    return made
