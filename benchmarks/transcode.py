"""What a watermarked stream costs: the transcoder beside ffmpeg with the same decoder, overlay, encoder and settings.

    python -m benchmarks.transcode [SECONDS] [RUNS]

Both get the same file, logo and settings, one after the other, and are nice to the same degree. CPU time is what the
kernel counted for the child process; the smaller part of ffmpeg's that is its start (measured with one frame) is told
beside it. Then a gateway runs a live channel and its watermarked twin: the delay that the transcoder adds, from the
end of a chunk in the source's ring to the same moment in the twin's. Last, looping channels with a watermark that the
packager has burnt in, one HLS viewer each, beside an ffmpeg that loops the same file and puts the picture on it live.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import cast

import aiohttp
import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from benchmarks import loops
from media.codecs import libav
from media.codecs.cutter import Epoch
from media.codecs.h264_encoder import EncoderRate, PictureForm, bits, options, threads
from media.effects import pixels
from media.mp4.fmp4 import Sample, fragment
from media.pictures.worker import image_header, read_picture
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Message
from media.ring import Ring
from media.transcoding.worker.transcode import NICE, Spec, Transcoder
from tests.support import torture_pictures
from tests.support.pictures import plain

SIZES = ((1280, 720, 25), (1920, 1080, 30))
LOGO = (200, 100)
CHANNELS = 20  # looping ones with a watermark
STRETCH = 8.0  # seconds over which they are measured
SETTLE = 4.0  # seconds for what has just started to become steady


def main(seconds: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logo = Path(folder, "logo.png")
        logo.write_bytes(plain((255, 0, 0, 128), *LOGO))
        for width, height, fps in SIZES:
            clip = write(Path(folder, f"{height}.mp4"), (width, height), fps, seconds)
            compare(clip, logo, (width, height, fps), seconds, runs)
        asyncio.run(delay(Path(folder)))
        for width, height, fps in SIZES:
            asyncio.run(looping(Path(folder), logo, (width, height, fps), seconds))


def write(path: Path, size: tuple[int, int], fps: int, seconds: int) -> Path:
    """FFmpeg's moving test pattern with B-frames."""
    with (
        av.open(f"testsrc2=size={size[0]}x{size[1]}:rate={fps}:duration={seconds}", format="lavfi") as source,
        av.open(str(path), "w") as container,
    ):
        stream = cast(VideoStream, container.add_stream("libx264", rate=fps))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.options = {"preset": "veryfast", "g": str(2 * fps), "bf": "2"}
        for number, frame in enumerate(cast(InputContainer, source).decode(video=0)):
            plain_frame: VideoFrame = frame.reformat(format="yuv420p")
            plain_frame.pict_type = PictureType.NONE
            plain_frame.pts, plain_frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(plain_frame))
        container.mux(stream.encode(None))
    return path


def compare(clip: Path, logo: Path, shape: tuple[int, int, int], seconds: int, runs: int) -> None:
    _, height, fps = shape
    fed = list(chunks(clip, fps))
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(cost(lambda: child(lambda: transcode(fed, logo))))
        theirs.append(cost(lambda: ffmpeg(clip, logo, shape)))
    start = min(cost(lambda: ffmpeg(clip, logo, shape, "-frames:v", "1")) for _ in range(3))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"{height}p{fps}: {median(ours) / seconds:.3f} cores, ffmpeg {median(theirs) / seconds:.3f} ", end="")
    print(f"(of which start {start / seconds:.3f}), ratio {ratio:.2f}, without its start ", end="")
    print(
        f"{median(a / (b - start) for a, b in zip(ours, theirs, strict=True)):.2f}; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def cost(run: Callable[[], None]) -> float:
    """CPU seconds of the children that ended meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def child(run: Callable[[], None]) -> None:
    """Forks, as the fork server does."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.nice(NICE)
            run()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the transcoder failed")


class Fed:
    """Stands for the socket: everything is there at once, nothing is kept."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = iter(messages)
        self._left = sum(isinstance(message, ChunkMade) for message in messages)
        self.stopping = False

    def receive(self, seconds: float) -> Message | None:
        message = next(self._messages, None)
        if message is None and seconds > 0:
            time.sleep(seconds)
        return message

    def send(self, message: Message) -> None:
        used = getattr(message, "info", {}).get("used")
        self.stopping = self.stopping or used == self._left


def transcode(fed: list[Message], logo: Path) -> None:
    transcoder = Transcoder(cast(GatewaySocket, Fed(fed)), Spec(), Epoch(time.monotonic(), 0.0))
    frame = pixels.normalised(read_picture.decode(image_header.examine(logo.read_bytes())))
    stored = logo.with_suffix(".rgba")
    pixels.save(stored, frame)
    transcoder.order({"mark": {"path": str(stored), "placement": {"x": 100, "y": 100}}, "number": 0})
    transcoder.run()


def chunks(clip: Path, fps: int) -> Iterator[Message]:
    """The file as a stream's chunks of a third of a second."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        scale = round(1 / cast(Fraction, video.time_base))
        yield InitMade.of(libav.init_segment(video, None, scale, float(fps)))
        packets: list[Packet] = [packet for packet in container.demux(video) if packet.size]
    start = cast(int, packets[0].dts)
    for at in range(0, len(packets), fps // 3):
        part = packets[at : at + fps // 3]
        samples = [
            Sample(bytes(each), scale // fps, each.is_keyframe, cast(int, each.pts) - cast(int, each.dts))
            for each in part
        ]
        time_ = cast(int, part[0].dts) - start
        body = fragment(1, at, time_, samples)
        yield ChunkMade(time_, len(part) * scale // fps, part[0].is_keyframe, False, body)


def ffmpeg(clip: Path, logo: Path, shape: tuple[int, int, int], *more: str) -> None:
    subprocess.run(command(clip, logo, shape, *more), check=True)


def command(clip: Path, logo: Path, shape: tuple[int, int, int], *more: str, live: bool = False) -> list[str]:
    """What ffmpeg is called with; `live`: for ever, at the pace of the file."""
    width, height, fps = shape
    look, rate = PictureForm(width, height, Fraction(1), 2, 2, 2), EncoderRate(float(fps), None, Fraction(2))
    settings = [word for name, value in options(rate, look).items() for word in (f"-{name}:v", value)]
    count = str(threads(look))
    decoder = ("-threads", count, "-thread_type", "slice")
    for_ever = ("-re", "-stream_loop", "-1") if live else ()
    return [
        "nice", "-n", str(NICE), "ffmpeg", "-nostdin", "-v", "error", "-y", *for_ever, *decoder,
        "-i", str(clip), "-i", str(logo),
        "-filter_complex_threads", "1",
        "-filter_complex", "[1]format=yuva420p[l];[0][l]overlay=x=100:y=100:format=yuv420:eof_action=repeat",
        "-an", "-c:v", "libx264", *settings, "-b:v", str(bits(rate, look)), "-threads", count,
        "-force_key_frames", "expr:gte(t,n_forced*2)", *more,
        "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "/dev/null",
    ]  # fmt: skip


async def looping(folder: Path, logo: Path, shape: tuple[int, int, int], seconds: int) -> None:
    """The gateway's CPU for each marked channel after its first round, and ffmpeg's for the same."""
    _, height, fps = shape
    process = await asyncio.create_subprocess_exec(*command(folder / f"{height}.mp4", logo, shape, live=True))
    try:
        await asyncio.sleep(SETTLE)
        theirs = await loops.load([process.pid], STRETCH)
    finally:
        process.kill()
        await process.wait()
    place = folder / f"loop{height}"
    (place / "media").mkdir(parents=True)
    for each in (folder / f"{height}.mp4", logo):
        shutil.copyfile(each, place / "media" / each.name)
    async with loops.gateway(place) as (base, pid), aiohttp.ClientSession() as session:
        await asyncio.sleep(SETTLE)
        quiet = await loops.load([pid], STRETCH)
        for number in range(CHANNELS):
            await loops.start(session, base, f"c{number}", f"{height}.mp4", watermark={"file": logo.name})
        viewers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.loops", "--watch", base, str(CHANNELS), stdout=subprocess.PIPE
        )
        try:
            await asyncio.sleep(2 * seconds + SETTLE)  # packaged, and the first round is over
            ours = max(1e-6, await loops.load([pid], 2 * STRETCH) - quiet) / CHANNELS
        finally:
            viewers.kill()
            told, _ = await viewers.communicate()
    counts = [int(line) for line in told.split()]
    got = (counts[-2] - counts[len(counts) // 2]) / (len(counts) - 2 - len(counts) // 2) / CHANNELS
    print(
        f"{height}p{fps} loop, marked, watched: {100 * ours:.3f} % of a core each ({got:.2f} segments a second), ",
        end="",
    )
    print(f"ffmpeg live {100 * theirs:.1f} %: {theirs / ours:.0f} times cheaper", flush=True)


async def delay(folder: Path) -> None:
    """From a chunk's end in one ring to the same moment in the other."""
    async with torture_pictures.gateway(folder) as api:
        torture_pictures.put(api, "logo.png", plain((255, 0, 0, 128), *LOGO))
        answer = await torture_pictures.start(api, "logo.png")
        assert answer.status == 200, answer.body
        source, made = torture_pictures.live(api, "grey"), torture_pictures.live(api)
        key = next(segment for segment in source.segments() if segment.independent)
        lags = await asyncio.gather(lag(source), lag(made))
        # The twin's clock starts where its first picture is: at one of the source's key frames, which are 1 s apart.
        starts = [segment.decode_time / segment.init.timescale for segment in (key, made.segments()[0])]
        print(f"delay added: {(lags[1] - lags[0] - starts[0] + starts[1]) % 1.0 * 1000:.0f} ms (median of 20 chunks)")


async def lag(ring: Ring) -> float:
    """Seconds of the monotonic clock less seconds of the stream at the end of a chunk, when it is there."""
    found, first = [], ring.head
    for number in range(first, first + 20):
        await ring.wait(number)
        at = time.monotonic()
        chunk = await ring.chunk(number)
        if chunk is not None:
            found.append(at - (chunk.decode_time + chunk.duration) / chunk.init.timescale)
    return median(found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
