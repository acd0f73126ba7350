"""The measurement itself, in a worker: a second of a moving picture is encoded, and the CPU time compared."""

import time
from fractions import Fraction
from typing import Any, Final

import av
from av.video.frame import VideoFrame

from media.codecs.h264_encoder import Encoder, EncoderRate, PictureForm
from media.process.capacity import Load
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished
from media.timing.clock import VIDEO_RATE

SIZE: Final = (640, 360)
FRAMES: Final = 25
USUAL: Final = 0.8  # times the table's cost: a picture of this size is cheaper for each pixel than the large ones


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """Answers `Finished` with `speed`: CPU time as a multiple of what `media.process.capacity` expects."""
    del spec
    frames = _pictures()
    encoder = Encoder(PictureForm(*SIZE, Fraction(1), 2, 2, 2), EncoderRate(float(FRAMES), None, Fraction(2)), None)
    began = time.process_time()
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number * VIDEO_RATE // FRAMES, Fraction(1, VIDEO_RATE)
        encoder.encode(frame, key=number == 0)
    taken = time.process_time() - began
    expected = Load((0, 0), SIZE, float(FRAMES)).cores
    channel.send(Finished({"speed": taken / expected / USUAL}))


def _pictures() -> list[VideoFrame]:
    """One second of FFmpeg's moving test pattern."""
    source = f"testsrc2=size={SIZE[0]}x{SIZE[1]}:rate={FRAMES}:duration=1"
    with av.open(source, format="lavfi") as container:
        return [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
