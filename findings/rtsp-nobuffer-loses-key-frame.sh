#!/bin/sh
# `fflags=nobuffer`, the usual advice for low delay, throws away the key frame.
# PyAV 18.1.0 with FFmpeg 8.1.2. While a stream is opened FFmpeg reads packets to learn the codec. Without the flag they
# are handed out afterwards. With it they are gone, also with the shortest probing: reading begins in the middle of a
# group of pictures, with nothing that can be decoded until the next key frame (here after 10 s). Nothing is won either,
# since short probing alone opens as fast.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     without the flag: key frames [True, False, False]
#     fflags=nobuffer: key frames [False, False, False]
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cp "$(dirname "$0")/camera.py" "$folder"
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import sys
import time

import av
from camera import QUICK, camera, pictures


def play(send):
    for index, picture in enumerate(pictures(100)):
        send(picture, 1000 + 3600 * index)
        time.sleep(0.04)


def first_packets(case, options):
    with av.open(camera(play), options=QUICK | options, timeout=5) as container:
        found = [packet.is_keyframe for packet, _ in zip(container.demux(), range(3))]
    print(f"{case}: key frames {found}")
    return found


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
plain, unbuffered = first_packets("without the flag", {}), first_packets("fflags=nobuffer", {"fflags": "nobuffer"})

if not (plain[0] and not any(unbuffered)):
    sys.exit("This is no longer so.")
EOF
