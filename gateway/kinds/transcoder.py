"""Putting a watermark on a stream: `/transcoder/startup` makes another stream of it."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.jobs.failures import Failure
from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services, as_failure
from gateway.kinds.marks import Change, MarkField, echo_of, invalid, wanted
from gateway.kinds.names import StreamName
from media.catalog import Catalog
from media.stream import Identity, Status
from media.transcoding.transcoder import TranscodedStream, TranscoderSpec
from media.watermark import Watermark

SCHEME: Final = "transcoder://"
USUAL_FPS: Final = 25.0  # for a key frame interval in frames, when the caller does not say how many a second

TIMEOUT_CAUSES: Final = {"waiting-source": "source-timeout", "waiting-keyframe": "source-no-keyframe"}

# A bitrate is meant as WCS has it, in kbit/s, when it is less than 10,000.
KILOBITS: Final = range(50, 10_000)
BITS: Final = range(50_000, 50_000_001)

Side = Annotated[int, Field(ge=16, le=4096)]


def _bitrate(value: int) -> int:
    if value not in KILOBITS and value not in BITS:
        raise ValueError(f"{BITS[0]} to {BITS[-1]} bits a second, or {KILOBITS[0]} to {KILOBITS[-1]} kbit/s")
    return value


_RANGES: Final = [{"type": "integer", "minimum": each[0], "maximum": each[-1]} for each in (KILOBITS, BITS)]
Bitrate = Annotated[int, AfterValidator(_bitrate), WithJsonSchema({"anyOf": _RANGES})]


class EncoderParams(Params):
    """The output. `width` and `height` in pixels (one alone keeps the shape; none: the source's size), `fps` at most
    so many frames a second, `bitrate` in bits a second (below 10,000 in kbit/s, as WCS has it), `keyFrameInterval` in
    frames."""

    width: Side | None = None
    height: Side | None = None
    fps: Annotated[float, Field(ge=1, le=120, allow_inf_nan=False, strict=False)] | None = None
    bitrate: Bitrate | None = None
    key_frame_interval: Annotated[int, Field(ge=1, le=3000)] | None = None
    watermark: MarkField | None = None

    @property
    def bits(self) -> int | None:
        """The bitrate in bits a second."""
        return self.bitrate * 1000 if self.bitrate is not None and self.bitrate in KILOBITS else self.bitrate


class TranscoderParams(Params):
    """`uri` is `transcoder://` and an id of the caller's; `remoteStreamName` is the stream that it reads."""

    uri: str = Field(max_length=1024)
    remote_stream_name: StreamName
    local_stream_name: StreamName
    encoder: EncoderParams = EncoderParams()


class OpenTranscoder:
    """The work of one job: the picture read, the source there, a frame encoded."""

    def __init__(self, stream: TranscodedStream, mark: Change, catalog: Catalog) -> None:
        self._stream = stream
        self._mark = mark
        self._catalog = catalog

    async def run(self, progress: Progress) -> None:
        with as_failure():
            if self._mark.picture is not None:
                progress.stage("reading")
            self._stream.mark = await self._mark.read()
            self._stream.on_phase = progress.stage
            await self._stream.open()

    def publish(self) -> dict[str, Any]:
        self._catalog.publish(self._stream)
        self._mark.let_go()
        self._stream.keep()
        return self._stream.record()

    async def stop(self) -> None:
        await self._mark.stop()
        await self._stream.stop()

    def kill(self) -> None:
        self._mark.kill()
        self._stream.kill()


def check_uri(uri: str) -> str:
    """The address of a transcoder, if it is one. Raises `Failure`."""
    if not uri.startswith(SCHEME):
        raise Failure("unsupported-scheme", f"The address of a transcoder begins with {SCHEME}.")
    if len(uri) == len(SCHEME) or any(char.isspace() or ord(char) < 32 for char in uri):
        raise invalid("uri", f"An id without blanks follows {SCHEME}.")
    return uri


def key_seconds(encoder: EncoderParams, usual: int) -> float:
    """Seconds between key frames: by default what a segment lasts."""
    if encoder.key_frame_interval is None:
        return float(usual)
    return encoder.key_frame_interval / (encoder.fps or USUAL_FPS)


async def plan(params: TranscoderParams, ask: Ask, parts: Services) -> Plan:
    """Looks that the source and the picture are there."""
    uri, encoder = check_uri(params.uri), params.encoder
    if parts.catalog.holder(params.remote_stream_name) is None:
        raise Failure("not-found", f"There is no stream named {params.remote_stream_name!r} to transcode.")
    mark = await wanted(encoder.watermark, parts)
    spec = TranscoderSpec(
        source=params.remote_stream_name,
        width=encoder.width,
        height=encoder.height,
        fps=encoder.fps,
        bitrate=encoder.bits,
        key_every=key_seconds(encoder, parts.settings.hls_segment_duration),
    )
    identity = Identity(params.local_stream_name, "transcoder", uri, False, parts.wall(), ask.job_id)
    stream = TranscodedStream(identity, spec, parts.transcoders, None)
    ask.warn(stream)
    if encoder.bits != encoder.bitrate:
        detail = f"A bitrate of {encoder.bitrate} is taken as kbit/s, as WCS has it: {encoder.bits} bits a second."
        stream.warn("bitrate-in-kilobits", detail)
    echo = {
        "uri": uri,
        "remoteStreamName": params.remote_stream_name,
        "localStreamName": params.local_stream_name,
        "encoder": encoder.model_dump(by_alias=True, exclude_none=True) | {"watermark": echo_of(encoder.watermark)},
    }
    names = (f"name:{params.local_stream_name}", f"uri:{uri}")
    return Plan(names, echo, OpenTranscoder(stream, mark, parts.catalog))


def restore(wanted: dict[str, Any], parts: Services) -> TranscodedStream:
    """A transcoder that was wanted before the gateway went down: it begins WAITING and opens itself."""
    identity, spec = Identity(**wanted["identity"]), TranscoderSpec(**wanted["transcoder"])
    stream = TranscodedStream(identity, spec, parts.transcoders, Watermark.of(wanted["mark"]), Status.WAITING)
    parts.catalog.publish(stream)
    stream.keep()
    return stream


KIND: Final = Kind(
    name="transcoder.startup",
    path="/transcoder/startup",
    pool="transcoder",
    params=TranscoderParams,
    plan=plan,
    timeout_cause=TIMEOUT_CAUSES.get,
    stream_kind="transcoder",
    restore=restore,
)
