#!/bin/sh
# The first picture of an RTSP camera has no time stamp.
# PyAV 18.1.0 with FFmpeg 8.1.2. The camera stamps every RTP packet. FFmpeg still hands out the first video packet with
# pts and dts None, and that packet is the key frame. The packets after it are stamped. So the usual line `if packet.dts
# is None: continue`, which PyAV's own examples have for the empty packet at the end, throws away the only picture from
# which a decoder can begin: a viewer waits for the next key frame.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     stamp, key frame: [(None, True), (3600, False), (7200, False), (10800, False)]
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
    for index, picture in enumerate(pictures(20)):
        send(picture, 1000 + 3600 * index)
        time.sleep(0.04)


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
with av.open(camera(play), options=QUICK, timeout=5) as container:
    seen = [(packet.pts, packet.is_keyframe) for packet, _ in zip(container.demux(), range(4))]
print("stamp, key frame:", seen)

if not (seen == [(None, True), (3600, False), (7200, False), (10800, False)]):
    sys.exit("This is no longer so.")
EOF
