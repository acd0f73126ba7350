"""Playing files as a live channel: `/vod/startup`."""

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Flag, Kind, Params, Plan, Services, as_failure
from gateway.kinds.marks import Change, MarkField, echo_of, wanted
from gateway.kinds.mediafile import media_file
from gateway.kinds.names import StreamName
from media.catalog import Catalog
from media.channel.channel import ChannelStream
from media.channel.spec import FileSpec, Kept
from media.stream import Identity
from media.watermark import Watermark

SCHEME: Final = "vod-live://"
MOST_FILES: Final = 100  # in a list


def _uris(value: Any) -> Any:
    """One address, or a list of them."""
    if isinstance(value, list):
        if not all(isinstance(one, str) for one in value):
            raise ValueError("each address in a list is a string")
        if not 1 <= len(value) <= MOST_FILES:
            raise ValueError(f"a list of files has 1 to {MOST_FILES} addresses")
        return tuple(value)
    if not isinstance(value, str):
        raise ValueError("an address, or a list of addresses")
    return value


class VodParams(Params):
    """`uri` is `vod-live://` and a path below the media folder, or a list of such that is played in order.

    `startAt` is in seconds, from the beginning of the first file; `watermark` is burnt in.
    """

    uri: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_FILES)], BeforeValidator(_uris)]
    local_stream_name: StreamName
    loop: Flag | None = None
    start_at: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    watermark: MarkField | None = None


class OpenFile:
    """The work of one job: the picture read, the files packaged as far as is needed to begin."""

    def __init__(self, stream: ChannelStream, mark: Change, catalog: Catalog) -> None:
        self._stream = stream
        self._mark = mark
        self._catalog = catalog

    async def run(self, progress: Progress) -> None:
        self._stream.on_phase = progress.stage
        with as_failure():
            if self._mark.picture is not None:
                progress.stage("reading")
            self._stream.mark = await self._mark.read()
            await self._stream.open()

    def publish(self) -> dict[str, Any]:
        self._stream.begin()
        self._catalog.publish(self._stream)
        self._mark.let_go()
        return self._stream.record()

    async def stop(self) -> None:
        await self._mark.stop()
        await self._stream.stop()

    def kill(self) -> None:
        self._mark.kill()
        self._stream.kill()


def file_name(uri: str) -> str:
    """The path in a `vod-live://` address. Raises `Failure` `unsupported-scheme` with the reason."""
    if re.match(r"vod://", uri, re.IGNORECASE):
        detail = "vod:// plays a file once for each viewer, which is not offered; use vod-live:// for one live channel."
        raise Failure("unsupported-scheme", detail)
    if not uri.startswith(SCHEME):
        raise Failure("unsupported-scheme", f"The address of a file begins with {SCHEME}.")
    return uri.removeprefix(SCHEME)


async def plan(params: VodParams, ask: Ask, parts: Services) -> Plan:
    """Looks that the files and the picture are there and are regular ones."""
    uris = (params.uri,) if isinstance(params.uri, str) else params.uri
    paths = await _paths(uris, parts)
    mark = await wanted(params.watermark, parts)
    loop = parts.settings.vod_live_loop if params.loop is None else params.loop
    identity = Identity(params.local_stream_name, "vod", params.uri, False, parts.wall(), ask.job_id)
    stream = ChannelStream(identity, FileSpec(tuple(map(str, paths)), loop, params.start_at), parts.files)
    ask.warn(stream)
    echo = {
        "uri": params.uri,
        "localStreamName": params.local_stream_name,
        "loop": loop,
        "startAt": params.start_at,
        "watermark": echo_of(params.watermark),
    }
    work = OpenFile(stream, mark, parts.catalog)
    return Plan((f"name:{params.local_stream_name}",), echo, work, tuple(map(str, paths)))


async def _paths(uris: tuple[str, ...], parts: Services) -> list[Path]:
    """Where the files of a list are. A `Failure` names the file in the list."""
    found: dict[str, Path] = {}
    for number, uri in enumerate(uris):
        field = "uri" if len(uris) == 1 else f"uri.{number}"
        try:
            if uri not in found:
                found[uri] = await media_file(file_name(uri), field, "file-not-found", parts)
        except Failure as failure:
            if len(uris) == 1:
                raise
            detail = f"File {number + 1} of {len(uris)}: {failure.detail}"
            raise Failure(failure.code, detail, errors=[{"field": field, "detail": failure.detail}]) from None
    return [found[uri] for uri in uris]


def restore(wanted: dict[str, Any], parts: Services) -> ChannelStream:
    """A channel that was wanted before the gateway went down: it goes on where it would have been."""
    identity, spec = Identity.of(wanted["identity"]), FileSpec.of(wanted["file"])
    stream = ChannelStream(identity, spec, parts.files, Kept.of(wanted))
    stream.mark = Watermark.of(wanted.get("nextMark", wanted.get("mark")))
    parts.catalog.publish(stream)
    stream.keep()
    return stream


KIND: Final = Kind(
    name="vod.startup",
    path="/vod/startup",
    pool="file",
    params=VodParams,
    plan=plan,
    timeout_cause={"stalled": "source-timeout"}.get,
    stream_kind="vod",
    restore=restore,
    example={"uri": "vod-live://sample.mp4", "localStreamName": "channel", "loop": True},
)
