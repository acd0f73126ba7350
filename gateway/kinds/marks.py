"""What a request may say of a watermark, shared by the kinds that take one."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Work
from gateway.kinds.kind import Ask, Exact, Params, Plan, Services
from gateway.kinds.mediafile import media_file
from media.pictures.picture_store import Reading
from media.placement import Anchor, Placement
from media.stream import Stream
from media.watermark import Watermark

FARTHEST: Final = 16384  # pixels

Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False, strict=False)]
Width = Annotated[float, Field(gt=0, le=FARTHEST, allow_inf_nan=False, strict=False)]
Opacity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=False)]
ANCHORS: Final = get_args(Anchor)


class MarkParams(Params):
    """`file` below the media folder. `x`, `y` and `width` are pixels, or parts of the frame when under 1 (width: up
    to 1); see `media.placement`."""

    file: str = Field(min_length=1, max_length=1024)
    anchor: Anchor | None = None
    x: Coordinate | None = None
    y: Coordinate | None = None
    width: Width | None = None
    opacity: Opacity = 1.0

    def placement(self) -> Placement:
        """The place as the data plane takes it."""
        return Placement(self.anchor, self.x, self.y, self.width, self.opacity)


MarkField = Annotated[str, Field(min_length=1, max_length=1024)] | MarkParams


class ChangeParams(Exact):
    """`watermark` is another picture; without it the one that is there is moved or faded, and with nothing at all (or
    `watermark` null) it is removed. What is not said stays as it is."""

    watermark: MarkField | None = None
    anchor: Anchor | None = None
    x: Coordinate | None = None
    y: Coordinate | None = None
    width: Width | None = None
    opacity: Opacity | None = None

    @property
    def says_where(self) -> bool:
        """Whether any field but the picture is given."""
        return any(value is not None for value in (self.anchor, self.x, self.y, self.width, self.opacity))

    def placement(self, before: Placement) -> Placement:
        """The fields that are given, on top of the placement so far.

        A new anchor forgets the old distances, and a new place forgets the old anchor.
        """
        mark = self.watermark if isinstance(self.watermark, MarkParams) else None
        if mark is not None:
            before = mark.placement()
        anchor, x, y = self.anchor, self.x, self.y
        if anchor is None and x is None and y is None:
            anchor, x, y = before.anchor, before.x, before.y
        elif anchor is None and before.anchor is None:
            x, y = before.x if x is None else x, before.y if y is None else y
        width = before.width if self.width is None else self.width
        opacity = before.opacity if self.opacity is None else self.opacity
        return Placement(anchor, x, y, width, opacity)


def full(mark: MarkField) -> MarkParams:
    """The watermark's parameters. A file name alone means the default place."""
    return MarkParams(file=mark) if isinstance(mark, str) else mark


class NamedPicture:
    """A watermark that was asked for, before its picture is read."""

    def __init__(self, file: str, placement: Placement, reading: Reading, parts: Services) -> None:
        self._file = file
        self._placement = placement
        self._reading = reading
        self._pictures = parts.pictures

    async def read(self) -> Watermark:
        """Reads and checks the picture. Raises `Fault`."""
        picture = await self._reading.run()
        path = str(self._pictures.path(picture.sha256))
        return Watermark(self._file, picture.sha256, path, self._placement)

    def let_go(self) -> None:
        """The picture is in a stream now, and the stream keeps it in the store."""
        self._reading.let_go()

    async def stop(self) -> None:
        """Returns when the worker that reads the picture is gone."""
        await self._reading.stop()

    def kill(self) -> None:
        """Kills the worker that reads the picture, now (SIGKILL)."""
        self._reading.kill()


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a watermark: a `picture` that has to be read first, or a `mark` that is known; neither: none."""

    picture: NamedPicture | None = None
    mark: Watermark | None = None

    async def read(self) -> Watermark | None:
        """The watermark from now on, None for none. Raises `Fault`."""
        return self.mark if self.picture is None else await self.picture.read()

    def let_go(self) -> None:
        """The new picture, if there is one, is in a stream now, and the stream keeps it in the store."""
        if self.picture is not None:
            self.picture.let_go()

    async def stop(self) -> None:
        """Returns when the worker that reads the new picture, if there is one, is gone."""
        if self.picture is not None:
            await self.picture.stop()

    def kill(self) -> None:
        """Kills the worker that reads the new picture, if there is one, now (SIGKILL)."""
        if self.picture is not None:
            self.picture.kill()


async def change(params: ChangeParams, before: Watermark | None, parts: Services) -> Change:
    """The change that is asked for, given the watermark so far. Looks that a new picture is there. Raises `Failure`."""
    if params.watermark is not None:
        where = params.placement(before.placement if before else Placement())
        return Change(picture=await named(full(params.watermark).file, where, parts))
    if not params.says_where:
        return Change()
    if before is None:
        raise invalid("watermark", "There is no watermark to move; name a picture.")
    return Change(mark=before.moved(params.placement(before.placement)))


def plan_change(params: ChangeParams, ask: Ask, stream: Stream, work: Work) -> Plan:
    """The plan of a job that changes the watermark of a stream on air."""
    ask.warn(stream)
    echo = params.model_dump(by_alias=True, exclude_none=True) | {"watermark": echo_of(params.watermark)}
    # Not its name, which the stream holds: only one job at a time changes a watermark.
    return Plan((f"watermark:{stream.identity.id}",), echo, work)


async def wanted(mark: MarkField | None, parts: Services) -> Change:
    """The watermark that a new stream shows from its start. Looks that its picture is there. Raises `Failure`."""
    if mark is None:
        return Change()
    said = full(mark)
    return Change(picture=await named(said.file, said.placement(), parts))


async def named(file: str, placement: Placement, parts: Services) -> NamedPicture:
    """A watermark whose file is there. Raises `Failure` if it is not."""
    path = await media_file(file, "watermark", "image-not-found", parts)
    return NamedPicture(file, placement, parts.pictures.reading(path), parts)


def invalid(field: str, detail: str) -> Failure:
    """The failure for a wrong field."""
    return Failure("invalid-field", detail, errors=[{"field": field, "detail": detail}])


def echo_of(mark: MarkField | None) -> Any:
    """The watermark as the job's record shows it."""
    return mark.model_dump(exclude_none=True) if isinstance(mark, MarkParams) else mark
