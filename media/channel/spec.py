"""What a channel of files is asked for, what it remembers, and what all channels share."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from media.channel.packages.library import Library
from media.channel.recent_chunks import Recent
from media.channel.running_clock import RunningClock
from media.channel.span import SpanStart
from media.ring import RingLimits
from media.watermark import Watermark


@dataclass(frozen=True, slots=True)
class FileSpec:
    """The files to play, one after the other: their paths, whether that repeats, and the second that it begins at."""

    paths: tuple[str, ...]
    loop: bool
    start_at: float = 0.0

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "FileSpec":
        """A spec from what `asdict` made of it, after its way through JSON. What an older version has written has one
        `path`.
        """
        kept = dict(wanted)
        kept["paths"] = tuple(kept["paths"]) if "paths" in kept else (kept.pop("path"),)
        return cls(**kept)


@dataclass(frozen=True, slots=True)
class FileParts:
    """The parts that all channels of files share."""

    library: Library
    ring: RingLimits
    wall: Callable[[], float]
    clock: RunningClock
    fault_injection: bool = False
    recent: Recent = field(default_factory=Recent)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a channel remembers over a restart of the gateway: where it is, and whether it stands still.

    `mark` is what is burnt into the version that `start` counts the chunks of; another one may be wanted.
    """

    start: SpanStart
    paused: bool
    mark: Watermark | None = None

    def resumed(self, now: float, wall: float) -> SpanStart:
        """Where the channel goes on: `now` on the channel's clock, `wall` the same moment as Unix time."""
        ago = 0.0 if self.paused else max(0.0, wall - self.start.wall)
        return replace(self.start, at=now - ago)

    def wanted(self) -> dict[str, Any]:
        """The values as the store keeps them."""
        return {"mark": asdict(self.mark) if self.mark else None, "start": asdict(self.start), "paused": self.paused}

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "Kept":
        """What the store has kept, from the values that `wanted` gave it."""
        return cls(SpanStart(**wanted["start"]), wanted["paused"], Watermark.of(wanted.get("mark")))
