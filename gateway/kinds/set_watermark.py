"""Changing a stream's watermark while it is watched: `/transcoder/set_watermark`."""

from typing import Any, Final

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Plan, Services, as_failure
from gateway.kinds.marks import Change, ChangeParams, change, plan_change
from media.transcoding.transcoder import TranscodedStream
from media.watermark import Watermark


class SetWatermarkParams(ChangeParams):
    """`uri` is that of a transcoder. `watermark` is another picture; without it the one that is there is moved or
    faded, and with nothing but `uri` (or `watermark` null) it is removed. What is not said stays as it is."""

    uri: str = Field(max_length=1024)


class SetWatermark:
    """The work of one job: the picture read, and the first frame with it encoded."""

    def __init__(self, stream: TranscodedStream, change: Change) -> None:
        self._stream = stream
        self._change = change
        self._mark: Watermark | None = None
        self._sent = False

    async def run(self, progress: Progress) -> None:
        with as_failure():
            if self._change.picture is not None:
                progress.stage("reading")
            self._mark = await self._change.read()
            progress.stage("waiting-frame")
            self._sent = True
            await self._stream.show(self._mark)

    def publish(self) -> dict[str, Any]:
        self._stream.shown(self._mark)
        self._change.let_go()
        return self._stream.record()

    async def stop(self) -> None:
        await self._change.stop()
        if self._sent:
            self._stream.take_back()

    def kill(self) -> None:
        self._change.kill()


async def plan(params: SetWatermarkParams, ask: Ask, parts: Services) -> Plan:
    """Finds the transcoder, and looks that the picture is there."""
    stream = parts.catalog.holder_of_uri(params.uri)
    if not isinstance(stream, TranscodedStream):
        raise Failure("not-found", f"There is no transcoder {params.uri!r}.")
    wanted = await change(params, stream.mark, parts)
    return plan_change(params, ask, stream, SetWatermark(stream, wanted))


KIND: Final = Kind(
    name="transcoder.set_watermark",
    path="/transcoder/set_watermark",
    pool="picture",
    params=SetWatermarkParams,
    plan=plan,
    timeout_cause={"waiting-frame": "source-timeout"}.get,
)
