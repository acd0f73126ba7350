#!/bin/sh
# A camera whose clock is set back by an hour seems to jump ahead by twelve, if it was opened within that hour.
# PyAV 18.1.0 with FFmpeg 8.1.2. RTP stamps have 32 bits. FFmpeg follows a clock that goes back, but only down to the
# stamp with which the session began; what would be before that gets 2^32 added. So when a camera's clock goes back by x
# seconds (summer time, NTP), the same step is -x seconds for one who has watched for long, and 2^32 / 90000 - x =
# 47721.86 - x seconds ahead for one who has not. Nothing in the packet tells the two apart from a real gap.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     set back by 0.2 s after 0.36 s: -0.16 s from one picture to the next
#     set back by 3600 s after 0.36 s: 44121.90 s from one picture to the next
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


def step(seconds):
    def play(send):
        for index, picture in enumerate(pictures(30)):
            back = 0 if index < 10 else round(seconds * 90000)
            send(picture, 500_000_000 + 3600 * index - back)
            time.sleep(0.04)

    with av.open(camera(play), options=QUICK, timeout=5) as container:
        packets = [packet for packet, _ in zip(container.demux(), range(11))]
    before, after = (float(packet.pts * packet.time_base) for packet in packets[9:])
    print(f"set back by {seconds} s after {before:.2f} s: {after - before:.2f} s from one picture to the next")
    return after - before


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
little, much = step(0.2), step(3600)

if not (abs(little + 0.16) < 0.01 and abs(much - (2**32 / 90000 - 3600)) < 0.1):
    sys.exit("This is no longer so.")
EOF
