#!/bin/sh
# FFmpeg's overlay stops after one frame when its second input is a single picture.
# PyAV 18.1.0 with FFmpeg 8.1.2. A logo is one picture, and `eof_action=repeat` is the default. Still the filter gives
# one frame and then asks for more input for ever (`BlockingIOError`, EAGAIN): it cannot know that no second picture of
# the logo comes before the next frame. It must be told that the logo has ended: `push(None)` right behind the picture,
# and the same graph goes on without end.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     one picture: ['frame', 'BlockingIOError', 'BlockingIOError', 'BlockingIOError', 'BlockingIOError']
#     one picture and its end: ['frame', 'frame', 'frame', 'frame', 'frame']
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import sys
from fractions import Fraction

import av
from av.filter import Graph


def frame(side, pts):
    made = av.VideoFrame(side, side, "yuv420p")
    made.pts, made.time_base = pts, Fraction(1, 25)
    return made


def overlaid(ended):
    graph = Graph()
    shape = "pix_fmt=yuv420p:time_base=1/25:pixel_aspect=1/1"
    video, logo = (graph.add("buffer", f"video_size={side}x{side}:{shape}") for side in (64, 16))
    overlay, sink = graph.add("overlay", "eof_action=repeat"), graph.add("buffersink")
    video.link_to(overlay, 0, 0)
    logo.link_to(overlay, 0, 1)
    overlay.link_to(sink)
    graph.configure()
    logo.push(frame(16, 0))
    if ended:
        logo.push(None)
    found = []
    for pts in range(5):
        video.push(frame(64, pts))
        try:
            sink.pull()
            found.append("frame")
        except BlockingIOError as error:
            found.append(type(error).__name__)
    return found


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
open_ended, ended = overlaid(ended=False), overlaid(ended=True)
print("one picture:", open_ended)
print("one picture and its end:", ended)

if not (open_ended == ["frame", *["BlockingIOError"] * 4] and ended == ["frame"] * 5):
    sys.exit("This is no longer so.")
EOF
