"""What a request may say of a watermark, shared by the kinds that take one."""

from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.kinds.kind import Params, Parts
from gateway.kinds.names import file_below
from media.pictures import Reading
from media.placement import Anchor, Placement
from media.watermark import Watermark

FARTHEST: Final = 16384  # pixels

Place = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False, strict=False)]
Width = Annotated[float, Field(gt=0, le=FARTHEST, allow_inf_nan=False, strict=False)]
Opacity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=False)]
ANCHORS: Final = get_args(Anchor)


class MarkParams(Params):
    """`file` below the media folder. `x`, `y` and `width` are pixels, or parts of the frame when under 1 (width: up
    to 1); see `media.placement`."""

    file: str = Field(min_length=1, max_length=1024)
    anchor: Anchor | None = None
    x: Place | None = None
    y: Place | None = None
    width: Width | None = None
    opacity: Opacity = 1.0

    def placement(self) -> Placement:
        """As the media side takes it."""
        return Placement(self.anchor, self.x, self.y, self.width, self.opacity)


MarkField = Annotated[str, Field(min_length=1, max_length=1024)] | MarkParams


def full(mark: MarkField) -> MarkParams:
    """A file name alone means the default place."""
    return MarkParams(file=mark) if isinstance(mark, str) else mark


class NamedPicture:
    """A watermark that was asked for, before its picture is read."""

    def __init__(self, file: str, placement: Placement, reading: Reading, parts: Parts) -> None:
        self._file = file
        self._placement = placement
        self._reading = reading
        self._pictures = parts.pictures

    async def read(self) -> Watermark:
        """Reads and checks it. Raises `Fault`."""
        picture = await self._reading.run()
        path = str(self._pictures.path(picture.sha256))
        return Watermark(self._file, picture.sha256, path, self._placement)

    def let_go(self) -> None:
        """It is in a stream now, which keeps it in the store."""
        self._reading.let_go()

    async def stop(self) -> None:
        """Returns when its worker is gone."""
        await self._reading.stop()

    def kill(self) -> None:
        """SIGKILL now."""
        self._reading.kill()


async def named(file: str, placement: Placement, parts: Parts) -> NamedPicture:
    """Looks that the file is there. Raises `Failure`."""
    path: Path = await parts.files.library.on_disk(
        file_below, parts.settings.media_dir, file, "watermark", "image-not-found"
    )
    return NamedPicture(file, placement, parts.pictures.reading(path), parts)


def invalid(field: str, detail: str) -> Failure:
    """A wrong field."""
    return Failure("invalid-field", detail, errors=[{"field": field, "detail": detail}])


def echo_of(mark: MarkField | None) -> Any:
    """What the job's record shows of it."""
    return mark.model_dump(exclude_none=True) if isinstance(mark, MarkParams) else mark
