"""A watermark as a stream knows it: a picture of the store, and where it goes."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from media.placement import Placement


@dataclass(frozen=True, slots=True)
class Watermark:
    """Under the name of the file that the picture came from; `sha256` is that file's, `path` the store's copy."""

    file: str
    sha256: str
    path: str
    placement: Placement = field(default_factory=Placement)

    @classmethod
    def of(cls, kept: dict[str, Any] | None) -> "Watermark | None":
        """The inverse of `asdict`."""
        return cls(**{**kept, "placement": Placement(**kept["placement"])}) if kept else None

    def moved(self, placement: Placement) -> "Watermark":
        """The same picture elsewhere."""
        return replace(self, placement=placement)

    def order(self) -> dict[str, Any]:
        """What a worker is told of it."""
        return {"path": self.path, "placement": asdict(self.placement)}

    def record(self) -> dict[str, Any]:
        """As the stream's record shows it."""
        return {"file": self.file, "sha256": self.sha256, **asdict(self.placement)}
