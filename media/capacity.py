"""How many cores transcoders may use in all, what one will need, and whether there is room for it."""

from dataclasses import dataclass, field
from typing import Any, Final

from media.faults import Fault

# Cores for each million pixels a second, measured up to 1080p30 with the settings of `media.effects.encoder`.
DECODE: Final = 0.0030
ENCODE: Final = 0.0080
USUAL_FPS: Final = 30.0
RETRY_AFTER: Final = 10  # seconds after which somebody may have ended a stream


@dataclass(frozen=True, slots=True)
class Load:
    """What a transcoder reads and writes: sides in pixels, frames a second."""

    source: tuple[int, int]
    output: tuple[int, int]
    fps: float

    @property
    def cores(self) -> float:
        """What it will take of a machine of the usual speed."""
        fps = self.fps or USUAL_FPS
        read, written = (side[0] * side[1] * fps / 1e6 for side in (self.source, self.output))
        return read * DECODE + written * ENCODE


@dataclass(slots=True)
class Capacity:
    """The budget. `speed` is what a load costs on this machine as a multiple of the usual (`media.calibration`)."""

    cores: float
    speed: float = 1.0
    _held: dict[str, float] = field(default_factory=dict)

    @property
    def used(self) -> float:
        """Cores that are promised."""
        return sum(self._held.values())

    def reserve(self, stream_id: str, load: Load, *, insist: bool = False) -> None:
        """Promises cores to a stream, until `release`. Fault: `capacity-exceeded`; `insist`: never."""
        cost = load.cores * self.speed
        others = self.used - self._held.get(stream_id, 0.0)
        if not insist and others + cost > self.cores:
            detail = (
                f"The stream needs {cost:.2f} cores; {max(0.0, self.cores - others):.2f} of {self.cores:.2f} are free. "
                "End another transcoder, ask for a smaller picture, or raise transcode_cores."
            )
            raise Fault("capacity-exceeded", detail, "admission")
        self._held[stream_id] = cost

    def release(self, stream_id: str) -> None:
        """Gives them back. May be called again."""
        self._held.pop(stream_id, None)

    def record(self) -> dict[str, Any]:
        """For those who look."""
        return {"cores": self.cores, "used": round(self.used, 3), "speed": round(self.speed, 3)}
