"""GStreamer's RTSP server as a camera, and its HLS demuxer as a viewer."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

H264: Final = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! "
    "x264enc tune=zerolatency speed-preset=superfast bitrate=600 key-int-max=25 ! "
    "video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 config-interval=-1"
)
AAC: Final = (
    "audiotestsrc is-live=true wave=sine ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! avenc_aac ! "
    "rtpmp4gpay name=pay1 pt=97"
)
H265: Final = (  # small: it is dear to encode, and a busy machine has to keep up
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=90,framerate=25/1 ! "
    "x265enc tune=zerolatency speed-preset=ultrafast bitrate=200 key-int-max=25 option-string=pools=none ! "
    "h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1"
)
JPEG: Final = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 ! "
    "jpegenc quality=60 ! rtpjpegpay name=pay0 pt=26"
)
VP8: Final = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! "
    "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=25 target-bitrate=600000 ! rtpvp8pay name=pay0 pt=96"
)
PCMA: Final = (
    "audiotestsrc is-live=true wave=sine ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
)
OPUS: Final = (
    "audiotestsrc is-live=true wave=sine ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay name=pay1 pt=97"
)


@asynccontextmanager
async def gst_camera(launch: str) -> AsyncIterator[str]:
    """Serves a pipeline; gives its `rtsp://` address. One server a test: it does not like many clients at once."""
    script = Path(__file__).with_name("gst_server.py")
    process = await asyncio.create_subprocess_exec("/usr/bin/python3", script, launch, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):  # the first one on a machine looks through all of GStreamer's plugins
            word, port = (await process.stdout.readline()).split()
        assert word == b"ready"
        yield f"rtsp://127.0.0.1:{int(port)}/live"
    finally:
        process.terminate()
        await process.wait()


async def hls_frames(url: str, count: int, seconds: float = 60.0) -> tuple[list[float], str]:
    """The presentation times (seconds) of the first frames decoded from an HLS playlist, and what it complained of."""
    pipeline = f"souphttpsrc location={url} ! hlsdemux ! qtdemux ! h264parse ! avdec_h264 ! fakesink silent=false"
    process = await asyncio.create_subprocess_exec(
        *("gst-launch-1.0", "-v", *pipeline.split(), "sync=false"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    times: list[float] = []
    try:
        async with asyncio.timeout(seconds):
            while len(times) < count and (line := (await process.stdout.readline()).decode()):
                found = re.search(r"chain .* pts: (\d+):(\d+):([\d.]+)", line)
                if found:
                    times.append(int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]))
    finally:
        process.kill()
        _, errors = await process.communicate()
    return times, errors.decode()
