"""Changing the watermark of a looping channel: `/vod/set_watermark`; the new version is packaged beside it."""

from typing import Any, Final

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Plan, Services, as_failure
from gateway.kinds.marks import Change, ChangeParams, change, invalid, plan_change
from gateway.kinds.names import StreamName
from media.channel.channel import ChannelStream
from media.channel.playlist.playlist import Playlist


class ChannelWatermarkParams(ChangeParams):
    """`localStreamName` is that of a looping channel. `watermark` is another picture; without it the one that is there
    is moved or faded, and with nothing else (or `watermark` null) it is removed. What is not said stays as it is."""

    local_stream_name: StreamName


class RemarkChannel:
    """The work of one job: the picture read, and the new version packaged so far that nothing can stop it any more.

    Viewers see it from a join on, when all of it is packaged.
    """

    def __init__(self, stream: ChannelStream, change: Change) -> None:
        self._stream = stream
        self._change = change
        self._playlist: Playlist | None = None

    async def run(self, progress: Progress) -> None:
        with as_failure():
            if self._change.picture is not None:
                progress.stage("reading")
            self._playlist = self._stream.version(await self._change.read())
            await self._playlist.acquire(progress.stage)

    def publish(self) -> dict[str, Any]:
        if self._playlist is None:
            raise RuntimeError("there is no version to publish")
        with as_failure():
            self._stream.take(self._playlist)
        self._playlist = None
        self._change.let_go()
        return self._stream.record()

    async def stop(self) -> None:
        await self._change.stop()
        if self._playlist is not None:
            await self._playlist.release()

    def kill(self) -> None:
        self._change.kill()
        if self._playlist is not None:
            self._playlist.kill()


async def plan(params: ChannelWatermarkParams, ask: Ask, parts: Services) -> Plan:
    """Finds the channel, and looks that the picture is there."""
    stream = parts.catalog.holder(params.local_stream_name)
    if not isinstance(stream, ChannelStream):
        raise Failure("not-found", f"There is no channel of a file named {params.local_stream_name!r}.")
    if not stream.loops:
        raise invalid("localStreamName", "The channel does not loop: there is no join at which it could change.")
    wanted = await change(params, stream.mark, parts)
    return plan_change(params, ask, stream, RemarkChannel(stream, wanted))


KIND: Final = Kind(
    name="vod.set_watermark",
    path="/vod/set_watermark",
    pool="file",
    params=ChannelWatermarkParams,
    plan=plan,
    timeout_cause={"stalled": "source-timeout"}.get,
    example={"localStreamName": "channel", "watermark": "logo.png"},
)
