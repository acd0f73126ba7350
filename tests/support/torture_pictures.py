"""A gateway with a plain grey channel and its watermarked twin, and what comes out of them at the player's end."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gateway.settings import Settings
from media.chunk import Chunk
from media.ring import Ring
from tests.support.api import Answer, Api, running
from tests.support.pictures import Pixel

WIDTH, HEIGHT = 640, 360
GREY: Pixel = (128, 128, 128, 255)
URI = "transcoder://one"
TOLERANCE = 6  # of 255, after two conversions of colour and an encoder


@asynccontextmanager
async def gateway(folder: Path, **settings: Any) -> AsyncIterator[Api]:
    """A gateway with a channel `grey`: 2 s of one colour, looped."""
    grey(folder / "media" / "grey.mp4")
    places: dict[str, Any] = {"media_dir": folder / "media", "data_dir": folder / "data", "cache_dir": folder / "cache"}
    made = Settings(http_port=0, jobs_max_prefer_wait_time=30, **places, **settings)
    async with running(made) as api:
        answer = await api.post("/vod/startup", {"uri": "vod-live://grey.mp4", "localStreamName": "grey", "loop": True})
        assert answer.status == 200, answer.body
        yield api


def grey(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), seconds: int = 2) -> Path:
    """A film of one grey."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "g": "25", "qp": "10"}
        stream.codec_context.thread_count = 1
        # BT.709, and said so: players guess differently where nothing is said.
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1
        for number in range(25 * seconds):
            frame = VideoFrame(*size, "yuv420p")
            for plane, value in zip(frame.planes, (126, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shutil.move(part, path)
    return path


def put(api: Api, name: str, data: bytes) -> str:
    """A file in the media folder."""
    (api.gateway.settings.media_dir / name).write_bytes(data)
    return name


async def start(api: Api, watermark: Any = None, source: str = "grey", name: str = "marked", **encoder: Any) -> Answer:
    """`/transcoder/startup` of `grey`."""
    body = {
        "uri": URI if name == "marked" else f"transcoder://{name}",
        "remoteStreamName": source,
        "localStreamName": name,
        "encoder": encoder | ({"watermark": watermark} if watermark is not None else {}),
    }
    return await api.post("/transcoder/startup", body, prefer="wait=30, timeout=30")


async def change(api: Api, **what: Any) -> Answer:
    """`/transcoder/set_watermark`."""
    return await api.post("/transcoder/set_watermark", {"uri": URI, **what}, prefer="wait=30, timeout=30")


async def check(api: Api, name: str) -> Answer:
    """`/watermark/startup`."""
    return await api.post("/watermark/startup", {"watermark": name}, prefer="wait=30, timeout=30")


def live(api: Api, name: str = "marked") -> Ring:
    """The ring of a stream."""
    ring = api.gateway.catalog.ring(name)
    assert ring is not None
    return ring


async def newest(ring: Ring, more: int = 2) -> list[Chunk]:
    """The chunks from the newest key frame on, when `more` have come from now on."""
    async with asyncio.timeout(30):
        assert await ring.wait(ring.head + more - 1)
    first = ring.newest_key()
    assert first is not None
    return [chunk for number in range(first, ring.head) if (chunk := await ring.chunk(number))]


async def collected(ring: Ring, first: int, last: int) -> list[Chunk]:
    """Chunks `first` to `last` as they come; fails when one is missing."""
    found = []
    for number in range(first, last + 1):
        async with asyncio.timeout(30):
            assert await ring.wait(number)
        chunk = await ring.chunk(number)
        assert chunk is not None
        found.append(chunk)
    return found


def frames(chunks: Sequence[Chunk]) -> list[VideoFrame]:
    """What a player sees of chunks of one init."""
    data = chunks[0].init.data + b"".join(chunk.data for chunk in chunks)
    container = av.open(io.BytesIO(data), format="mov")
    assert isinstance(container, InputContainer)
    with container:
        return [frame.reformat(format="rgb24") for frame in container.decode(video=0)]


async def picture(api: Api, name: str = "marked") -> "Shown":
    """The newest frame of a stream, as its ring gives it to any player."""
    return Shown(frames(await newest(live(api, name)))[-1])


class Shown:
    """A frame, by its pixels."""

    def __init__(self, frame: VideoFrame) -> None:
        self.size = (frame.width, frame.height)
        self._line = frame.planes[0].line_size
        self._data = bytes(frame.planes[0])

    def at(self, x: int, y: int) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        start = y * self._line + 3 * x
        return self._data[start], self._data[start + 1], self._data[start + 2]

    def is_(self, colour: Sequence[int], x: int, y: int, tolerance: int = TOLERANCE) -> bool:
        """Whether the pixel has that colour, but for what encoding does."""
        return all(abs(a - b) <= tolerance for a, b in zip(self.at(x, y), colour[:3], strict=True))

    def check_box(self, colour: Sequence[int], x: int, y: int, width: int, height: int) -> None:
        """That colour inside of the box (2 px from its edges), grey outside (4 px off)."""
        inside = [(x + 3, y + 3), (x + width - 4, y + 3), (x + 3, y + height - 4), (x + width - 4, y + height - 4)]
        for at in (*inside, (x + width // 2, y + height // 2)):
            assert self.is_(colour, *at), (at, self.at(*at), colour)
        middle = (x + width // 2, y + height // 2)
        for at in ((x - 5, middle[1]), (x + width + 4, middle[1]), (middle[0], y - 5), (middle[0], y + height + 4)):
            if 0 <= at[0] < self.size[0] and 0 <= at[1] < self.size[1]:
                assert self.is_(GREY, *at), (at, self.at(*at))
