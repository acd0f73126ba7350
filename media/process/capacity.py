"""How many cores may encode in all, what each who asks will need, and whether there is room for it."""

from dataclasses import dataclass, field
from typing import Any, Final

from media.faults import Fault

# Cores for each million pixels a second, measured up to 1080p30 with the settings of `media.codecs.h264_encoder`.
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
        """How many cores of a machine of the usual speed it will take."""
        fps = self.fps or USUAL_FPS
        read, written = (side[0] * side[1] * fps / 1e6 for side in (self.source, self.output))
        return read * DECODE + written * ENCODE


@dataclass(slots=True)
class Capacity:
    """The budget. `speed` is what a load costs on this machine as a multiple of the usual (see `calibration`)."""

    cores: float
    speed: float = 1.0
    _held: dict[str, float] = field(default_factory=dict)

    @property
    def used(self) -> float:
        """Cores that are promised."""
        return sum(self._held.values())

    def reserve(self, stream_id: str, load: Load, *, insist: bool = False) -> None:
        """Promises cores to a stream, until `release`. Fault: `capacity-exceeded`, but not with `insist`."""
        hint = "End another transcoder, ask for a smaller picture, or raise transcode_cores."
        self._take(stream_id, load.cores * self.speed, hint, insist=insist)

    def reserve_thread(self, holder: str) -> None:
        """Promises what one busy thread takes, a core, to a task that ends by itself and hurries as it can.

        Where there is less than a core in all, it takes it all. Fault: `capacity-exceeded`.
        """
        hint = "Try again when another file is done, end a transcoder, or raise transcode_cores."
        self._take(holder, min(1.0, self.cores), hint)

    def release(self, holder: str) -> None:
        """Gives a holder's cores back. May be called again."""
        self._held.pop(holder, None)

    def _take(self, holder: str, cost: float, hint: str, *, insist: bool = False) -> None:
        others = self.used - self._held.get(holder, 0.0)
        if not insist and others + cost > self.cores:
            free = max(0.0, self.cores - others)
            detail = f"It needs {cost:.2f} cores; {free:.2f} of {self.cores:.2f} are free. {hint}"
            raise Fault("capacity-exceeded", detail, "admission")
        self._held[holder] = cost

    def record(self) -> dict[str, Any]:
        """The budget for those who look: cores, those in use, and the machine's speed."""
        return {"cores": self.cores, "used": round(self.used, 3), "speed": round(self.speed, 3)}
