"""A watermark as a stream knows it: a picture of the store, and where it goes."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from media.placement import Placement


@dataclass(frozen=True, slots=True)
class Watermark:
    """A watermark under the name of the file that its picture came from. `sha256` is that file's, `path` the store's
    copy.
    """

    file: str
    sha256: str
    path: str
    placement: Placement = field(default_factory=Placement)

    @classmethod
    def of(cls, kept: dict[str, Any] | None) -> "Watermark | None":
        """A watermark from what `asdict` made of it."""
        return cls(**{**kept, "placement": Placement(**kept["placement"])}) if kept else None

    def moved(self, placement: Placement) -> "Watermark":
        """A watermark with the same picture in another place."""
        return replace(self, placement=placement)

    def order(self) -> dict[str, Any]:
        """The watermark as a worker is told of it."""
        return {"path": self.path, "placement": asdict(self.placement)}

    def record(self) -> dict[str, Any]:
        """The watermark as the stream's record shows it."""
        return {"file": self.file, "sha256": self.sha256, **asdict(self.placement)}
