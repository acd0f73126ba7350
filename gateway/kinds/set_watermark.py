"""Changing a stream's watermark while it is watched: `/transcoder/set_watermark`."""

from typing import Any, Final

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Parts, Plan, as_failure
from gateway.kinds.marks import (
    MarkField,
    MarkParams,
    NamedPicture,
    Opacity,
    Place,
    Width,
    echo_of,
    full,
    invalid,
    named,
)
from media.placement import Anchor, Placement
from media.transcoder import TranscodedStream
from media.watermark import Watermark


class SetWatermarkParams(Params):
    """`watermark` is another picture; without it the one that is there is moved or faded, and with nothing but `uri`
    (or `watermark` null) it is removed. What is not said stays as it is."""

    uri: str = Field(max_length=1024)
    watermark: MarkField | None = None
    anchor: Anchor | None = None
    x: Place | None = None
    y: Place | None = None
    width: Width | None = None
    opacity: Opacity | None = None

    @property
    def says_where(self) -> bool:
        """Whether anything but the picture is said."""
        return any(value is not None for value in (self.anchor, self.x, self.y, self.width, self.opacity))


class SetWatermark:
    """The work of one job: the picture read, and the first frame with it encoded."""

    def __init__(self, stream: TranscodedStream, picture: NamedPicture | None, mark: Watermark | None) -> None:
        self._stream = stream
        self._picture = picture
        self._mark = mark
        self._sent = False

    async def run(self, progress: Progress) -> None:
        with as_failure():
            if self._picture is not None:
                progress.stage("reading")
                self._mark = await self._picture.read()
            progress.stage("waiting-frame")
            self._sent = True
            await self._stream.show(self._mark)

    def publish(self) -> dict[str, Any]:
        self._stream.shown(self._mark)
        if self._picture is not None:
            self._picture.let_go()
        return self._stream.record()

    async def stop(self) -> None:
        if self._picture is not None:
            await self._picture.stop()
        if self._sent:
            self._stream.take_back()

    def kill(self) -> None:
        if self._picture is not None:
            self._picture.kill()


def placement(params: SetWatermarkParams, before: Placement) -> Placement:
    """What is said, on top of what is there. An anchor said anew forgets the old distances; a place the old anchor."""
    mark = params.watermark if isinstance(params.watermark, MarkParams) else None
    if mark is not None:
        before = mark.placement()
    anchor, x, y = params.anchor, params.x, params.y
    if anchor is None and x is None and y is None:
        anchor, x, y = before.anchor, before.x, before.y
    elif anchor is None and before.anchor is None:
        x, y = before.x if x is None else x, before.y if y is None else y
    width = before.width if params.width is None else params.width
    opacity = before.opacity if params.opacity is None else params.opacity
    return Placement(anchor, x, y, width, opacity)


async def plan(params: SetWatermarkParams, ask: Ask, parts: Parts) -> Plan:
    """Finds the transcoder, and looks that the picture is there."""
    stream = parts.catalog.holder_of_uri(params.uri)
    if not isinstance(stream, TranscodedStream):
        raise Failure("not-found", f"There is no transcoder {params.uri!r}.")
    before, picture, mark = stream.mark, None, None
    if params.watermark is not None:
        where = placement(params, before.placement if before else Placement())
        picture = await named(full(params.watermark).file, where, parts)
    elif params.says_where:
        if before is None:
            raise invalid("watermark", "There is no watermark to move; name a picture.")
        mark = before.moved(placement(params, before.placement))
    for code, detail in ask.warnings().items():
        stream.warn(code, detail)
    echo = params.model_dump(by_alias=True, exclude_none=True) | {"watermark": echo_of(params.watermark)}
    # Not its name, which the stream holds: only one job at a time changes a watermark.
    return Plan((f"watermark:{stream.identity.id}",), echo, SetWatermark(stream, picture, mark))


KIND: Final = Kind(
    name="transcoder.set_watermark",
    path="/transcoder/set_watermark",
    pool="picture",
    params=SetWatermarkParams,
    plan=plan,
    timeout_cause={"waiting-frame": "source-timeout"}.get,
)
