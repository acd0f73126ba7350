#!/bin/sh
# `use_wallclock_as_timestamps`, the usual remedy for cameras with bad clocks, shows B-frames in the wrong order.
# PyAV 18.1.0 with FFmpeg 8.1.2. The option stamps each packet with the time of its arrival, pts and dts alike. With
# B-frames packets arrive in the order of decoding, so a picture that is shown later bears the earlier stamp: the
# decoder gives pictures in the right order with stamps that go back and forth. The first packet still has no stamp at
# all (see rtsp-first-picture-has-no-stamp).
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     stamps of the camera: pictures shown go back in time 0 times
#     stamps of arrival: pictures shown go back in time 5 times
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cp "$(dirname "$0")/camera.py" "$folder"
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import itertools
import sys
import time
from fractions import Fraction

import av
from camera import QUICK, camera


def reordered(count):
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuv420p", Fraction(1, 25)
    encoder.options = {"x264-params": "bframes=1:b-adapt=0:b-pyramid=none:keyint=100:repeat-headers=1"}
    frames = [av.VideoFrame(64, 64, "yuv420p") for _ in range(count)]
    for index, frame in enumerate(frames):
        frame.pts = index
    return [packet for frame in [*frames, None] for packet in encoder.encode(frame)]


def play(send):
    for packet in reordered(40):
        send(bytes(packet), 1000 + 3600 * packet.pts)
        time.sleep(0.04)


def steps_back(case, wallclock):
    options = QUICK | {"use_wallclock_as_timestamps": wallclock}
    with av.open(camera(play), options=options, timeout=5) as container:
        stamps = [frame.pts for frame, _ in zip(container.decode(video=0), range(12)) if frame.pts is not None]
    found = sum(after < before for before, after in itertools.pairwise(stamps))
    print(f"{case}: pictures shown go back in time {found} times")
    return found


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
found = steps_back("stamps of the camera", "0"), steps_back("stamps of arrival", "1")

if not (found[0] == 0 and found[1] > 2):
    sys.exit("This is no longer so.")
EOF
