"""Files over HTTP: list, send, fetch and delete what is below the media folder."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import quote

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway import files
from gateway.files import TYPES, Found, Upload
from gateway.jobs.failures import Failure
from gateway.jobs.job import time_of_day
from gateway.kinds.kind import Flag
from gateway.web import body
from gateway.web.calls.file_answer import FileAnswer, TransferPace, Wanted, wanted
from gateway.web.calls.media_threads import MediaThreads, Steps
from gateway.web.calls.media_use import MediaUse
from gateway.web.calls.paging import PageParams, Position, cut, linked
from gateway.web.calls.selection import refuse_query, selection
from gateway.web.context import BASE
from media.channel.packages.probes import FileStamp, Probe, Probes

T = TypeVar("T")

PIECE: Final = 256 * 1024  # bytes written at once
MOST_UPLOADS: Final = 4  # at once
LOOKING: Final = 5.0  # seconds that a list is held while files are looked into
FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}
# What was sent in is data to everybody, also to a browser that is led to it.
INERT: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class ProbedTrack(BaseModel):
    """One track that would be played. `mode` says whether it can stay as it is, `reason` why not."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    codec: str = Field(examples=["h264"])
    mode: Literal["copy", "transcode"]
    reason: str | None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    sample_rate: int | None = None
    channels: int | None = None


class ProbeError(BaseModel):
    """Why a file cannot be played: the failure that `/vod/startup` would have."""

    code: str
    detail: str


class ProbeRecord(BaseModel):
    """What is in a video. `duration` is in seconds."""

    duration: float | None
    video: ProbedTrack | None
    audio: ProbedTrack | None
    error: ProbeError | None = None


class ListParams(PageParams):
    """All files by name, or a page of them: `limit` is how many at the most, `cursor` is from the `Link` with
    `rel="next"` of the answer before. `probe`: have files that are not known looked into, for some seconds; those that
    are left have a null `probe`, and are looked into when the list is asked for again.
    """

    probe: Flag = False


class FileRecord(BaseModel):
    """A file of the media folder, as answers show it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    name: str = Field(examples=["intro.mp4"])
    size: int = Field(description="Bytes.", examples=[1048576])
    modified_at: str = Field(json_schema_extra={"format": "date-time"})
    format: str | None = Field(description="By its content: mp4, png, jpeg or webp; null for what no method can use.")
    type: str | None = Field(description="The media type that belongs to the format.")
    uri: str | None = Field(description="The address for /vod/startup, if it is a video.")
    probe: ProbeRecord | None = Field(description="What is in a video, if that is known; `probe` has it found out.")

    @classmethod
    def of(cls, found: Found, probe: Probe | None) -> "FileRecord":
        """The record of a file."""
        uri = f"vod-live://{found.name}" if found.format == "mp4" else None
        return cls(
            name=found.name,
            size=found.size,
            modified_at=time_of_day(found.modified),
            format=found.format,
            type=TYPES.get(found.format or ""),
            uri=uri,
            probe=None if probe is None else ProbeRecord.model_validate(probe),
        )


def routes(
    root: Path,
    use: MediaUse,
    max_bytes: int,
    probes: Probes,
    pace: TransferPace | None = None,
    threads: MediaThreads | None = None,
) -> list[web.RouteDef]:
    """`/media/find_all` and `/media/{name}`. `max_bytes` is the size of the largest file that is taken."""
    folder = _MediaFolder(root, use, max_bytes, probes, pace or TransferPace(), threads or MediaThreads())
    one = f"{BASE}/media/{{name:(?!find_all$).+}}"
    return [
        web.get(f"{BASE}/media/find_all", folder.find_all, allow_head=False),
        web.post(f"{BASE}/media/find_all", folder.find_all),
        web.put(one, folder.put),
        web.get(one, folder.get),
        web.delete(one, folder.delete),
    ]


@dataclass(frozen=True, slots=True)
class _MediaFolder:
    """The handlers."""

    root: Path
    use: MediaUse
    max_bytes: int
    probes: Probes
    pace: TransferPace
    threads: MediaThreads
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_UPLOADS))

    async def find_all(self, request: web.Request) -> web.StreamResponse:
        """All files by name, or a page of them; 200 and an empty array when there is none."""
        asked = await selection(request, ListParams)
        found, following = cut(await self.threads.look(files.listed, self.root), _name, (str,), asked)
        if asked.probe:
            await self.probes.learn(await self.threads.look(self._videos, found), LOOKING)
        response = web.json_response([self._record(each) for each in found], headers=FRESH)
        linked(request, response, following, limit=asked.limit, probe="true" if asked.probe else None)
        return response

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Takes the body as a file: 201 when it is new, 200 when it has replaced one, whole or not at all."""
        refuse_query(request)
        name = request.match_info["name"]
        upload = Upload(self.root, name)
        self.use.check(name)
        if (request.content_length or 0) > self.max_bytes:
            raise self._too_large()
        if self.places.locked():
            raise Failure("capacity-exceeded", f"{MOST_UPLOADS} files are coming in already.", retry_after=5)
        steps = Steps(self.threads)
        async with self.places:
            try:
                size = await self._receive(request, upload, steps)
                found, new = await self._change(name, steps, upload.commit, size=size)
            finally:
                await steps.finish(upload.discard)
        headers = {**FRESH, hdrs.LOCATION: f"{BASE}/media/{quote(name)}"}
        return web.json_response(self._record(found), status=201 if new else 200, headers=headers)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file, or those of a `Range`."""
        file, found = await self.threads.look(files.opened, self.root, request.match_info["name"])
        part = wanted(request, found)
        answer: web.StreamResponse
        if isinstance(part, Wanted):
            answer = FileAnswer(file, found, part, self.pace, self.threads)
            answer.content_type = TYPES.get(found.format or "", "application/octet-stream")
        else:
            answer = part
            self.threads.begin(file.close)
        answer.headers.update(INERT)
        return answer

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Deletes a file. It is refused while a stream plays the file, which could not come back after a restart, or a
        job is about to.
        """
        refuse_query(request)
        name = request.match_info["name"]
        await self.threads.look(files.known, self.root, name)
        await self._change(name, Steps(self.threads), files.remove, self.root, name)
        return web.Response(status=204)

    async def _change(self, name: str, steps: Steps, call: Callable[..., T], *arguments: object, size: int = 0) -> T:
        """Runs a step that changes a file. No job for the file is accepted until the step is over."""
        held = contextlib.ExitStack()
        held.enter_context(self.use.changing(name))
        try:
            return await steps.run(call, *arguments, size=size)
        finally:
            steps.then(held.close)

    async def _receive(self, request: web.Request, upload: Upload, steps: Steps) -> int:
        """Writes the body to the disk, and returns its size. One that is too slow or too large is refused."""
        loop = asyncio.get_running_loop()
        await body.invite(request)
        begun, received, pieces = loop.time(), 0, bytearray()
        while True:
            left = begun + self.pace.limit(received) - loop.time()
            try:
                async with asyncio.timeout(min(left, self.pace.silence)):
                    data = await request.content.readany()
            except TimeoutError:
                raise Failure("too-slow", f"{received} bytes came, and then too few; send the file again.") from None
            received += len(data)
            if received > self.max_bytes:
                raise self._too_large()
            pieces += data
            if len(pieces) >= PIECE or (pieces and not data):
                await steps.run(upload.write, bytes(pieces))
                pieces.clear()
            if not data:
                return received

    def _videos(self, found: list[Found]) -> list[tuple[FileStamp, Path]]:
        """The videos that can be looked into and were not yet, and where they are."""
        videos = []
        for each in found:
            if each.format == "mp4" and self.probes.known(each.identity) is None:
                with contextlib.suppress(Failure):
                    path, now = files.known(self.root, each.name)
                    videos.append((now.identity, path))
        return videos

    def _record(self, found: Found) -> dict[str, object]:
        return FileRecord.of(found, self.probes.known(found.identity)).model_dump(by_alias=True)

    def _too_large(self) -> Failure:
        return Failure("too-large", f"The file is over {self.max_bytes} bytes; media_max_bytes sets the limit.")


def _name(found: Found) -> Position:
    return (found.name,)
