"""Jobs on a channel that is on air: `/vod/seek`, `/vod/pause`, `/vod/resume`, `/vod/fault`; done when it is so."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services, as_failure
from gateway.kinds.names import StreamName
from media.catalog import Catalog
from media.channel.channel import ChannelStream
from media.channel.channel_faults import ChannelFaults


class ChannelParams(Params):
    """`localStreamName` is that of a channel made by `/vod/startup`."""

    local_stream_name: StreamName


class SeekParams(ChannelParams):
    """`position` is in seconds from the beginning of the file."""

    position: float = Field(ge=0, le=1e6, allow_inf_nan=False)


class MoveChannel:
    """The work of one job: `prepare` while it may take time, then `move`, which is done when it returns."""

    def __init__(
        self,
        stream: ChannelStream,
        prepare: Callable[[ChannelStream], Awaitable[None]] | None,
        move: Callable[[ChannelStream], None],
    ) -> None:
        self._stream = stream
        self._prepare = prepare
        self._move = move

    async def run(self, progress: Progress) -> None:
        progress.stage("seeking" if self._prepare else "moving")
        if self._prepare is not None:
            with as_failure():
                await self._prepare(self._stream)

    def publish(self) -> dict[str, Any]:
        with as_failure():
            self._move(self._stream)
        return self._stream.record()

    async def stop(self) -> None:
        """Does nothing: nothing has moved yet."""

    def kill(self) -> None:
        """Does nothing: there is no process."""


def channel(catalog: Catalog, name: str) -> ChannelStream:
    """The channel of that name. Raises `Failure` `not-found` where there is none."""
    stream = catalog.holder(name)
    if not isinstance(stream, ChannelStream):
        raise Failure("not-found", f"There is no channel of a file named {name!r}.")
    return stream


class FaultParams(ChannelParams):
    """`fault` is one of `stall`, `gap`, `timestamps`, `missing`, `slow`; `seconds` is how long."""

    fault: ChannelFaults = Field(strict=False)
    seconds: float = Field(gt=0, le=3600, allow_inf_nan=False)


async def fault(params: FaultParams, ask: Ask, parts: Services) -> Plan:
    """Makes the channel misbehave for a while. Only where the setting `fault_injection` allows it."""
    if not parts.files.fault_injection:
        raise Failure("forbidden", "Faults on command are switched off; the setting fault_injection allows them.")
    work = MoveChannel(_of(params, parts), None, lambda stream: stream.misbehave(params.fault, params.seconds))
    return _plan(params, ask, parts, work)


async def seek(params: SeekParams, ask: Ask, parts: Services) -> Plan:
    """Moves the channel to a position. If the file is still being packaged, waits until the position is on disk."""
    position = params.position

    async def prepare(stream: ChannelStream) -> None:
        await stream.reach(position)

    return _plan(params, ask, parts, MoveChannel(_of(params, parts), prepare, lambda stream: stream.seek(position)))


async def pause(params: ChannelParams, ask: Ask, parts: Services) -> Plan:
    """Makes the channel stand still."""
    return _plan(params, ask, parts, MoveChannel(_of(params, parts), None, ChannelStream.pause))


async def resume(params: ChannelParams, ask: Ask, parts: Services) -> Plan:
    """Makes the channel go on."""
    return _plan(params, ask, parts, MoveChannel(_of(params, parts), None, ChannelStream.resume))


def _of(params: ChannelParams, parts: Services) -> ChannelStream:
    return channel(parts.catalog, params.local_stream_name)


def _plan(params: ChannelParams, ask: Ask, parts: Services, work: MoveChannel) -> Plan:
    stream = channel(parts.catalog, params.local_stream_name)
    ask.warn(stream)
    # Not its name, which the stream holds: only one job at a time moves a channel.
    return Plan((f"channel:{params.local_stream_name}",), params.model_dump(by_alias=True), work)


CHANNEL: Final[dict[str, Any]] = {"localStreamName": "channel"}  # the file of the demo

KINDS: Final = (
    Kind(
        name="vod.seek",
        path="/vod/seek",
        pool="file",
        params=SeekParams,
        plan=seek,
        example=CHANNEL | {"position": 3.5},
    ),
    Kind(name="vod.pause", path="/vod/pause", pool="file", params=ChannelParams, plan=pause, example=CHANNEL),
    Kind(name="vod.resume", path="/vod/resume", pool="file", params=ChannelParams, plan=resume, example=CHANNEL),
    Kind(name="vod.fault", path="/vod/fault", pool="file", params=FaultParams, plan=fault),
)
