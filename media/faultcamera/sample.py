"""Sample media for a demo: `python -m media.faultcamera.sample FOLDER` writes `sample.mp4` and `logo.png`."""

import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.filter
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame

from media.faultcamera.clip import clip
from media.faultcamera.settings import ClipSettings

SECONDS: Final = 12
CLIP: Final = ClipSettings(b_frames=2)
AUDIO_RATE: Final = 48_000
LOGO_SIZE: Final = 96  # pixels a side


def write_video(path: Path, seconds: int = SECONDS, settings: ClipSettings = CLIP) -> None:
    """An MP4 as people have them: H.264 with B-frames and AAC, its index in front; every frame bears its number."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=settings.fps)
        video.width, video.height, video.pix_fmt = settings.width, settings.height, "yuv420p"
        video.bit_rate = settings.bitrate
        video.codec_context.gop_size = settings.gop_frames
        video.codec_context.max_b_frames = settings.b_frames
        video.options = {"preset": "superfast", "x264-params": "scenecut=0:open-gop=0"}
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        audio.bit_rate = 64_000
        sound = _sound(seconds)
        heard = 0
        for number, frame in enumerate(clip.pictures(settings, round(seconds * settings.fps))):
            # The source marks each picture as a key frame, and x264 would obey.
            frame.pts, frame.time_base, frame.pict_type = number, 1 / settings.fps, PictureType.NONE
            container.mux(video.encode(frame))
            while heard < (number + 1) / settings.fps * AUDIO_RATE:
                samples = sound.pull()
                assert isinstance(samples, AudioFrame)
                heard += samples.samples
                container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def write_logo(path: Path, side: int = LOGO_SIZE) -> None:
    """A PNG with an alpha channel: a ring of one colour with a soft edge on nothing."""
    pixels = bytearray()
    for y in range(side):
        for x in range(side):
            radius = math.hypot(x - side / 2 + 0.5, y - side / 2 + 0.5) / side
            alpha = max(0.0, min(1.0, 12 - abs(radius - 0.36) * 100))
            pixels += bytes((240, 90, 40, round(alpha * 255)))
    frame = VideoFrame(side, side, "rgba")
    frame.planes[0].update(bytes(pixels))
    frame.pts, frame.time_base = 0, Fraction(1)
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = side, side, "rgba", Fraction(1)
    path.write_bytes(b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None))))


def _sound(seconds: int) -> av.filter.Graph:
    graph = av.filter.Graph()
    tone = f"frequency=440:beep_factor=4:sample_rate={AUDIO_RATE}:samples_per_frame=1024:duration={seconds + 1}"
    source, shape, sink = (
        graph.add("sine", tone),
        graph.add("aformat", f"sample_fmts=fltp:channel_layouts=mono:sample_rates={AUDIO_RATE}"),
        graph.add("abuffersink"),
    )
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    return graph


def main(folder: str) -> int:
    """Returns the exit status."""
    write_video(Path(folder) / "sample.mp4")
    write_logo(Path(folder) / "logo.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
