#!/bin/sh
# A read timeout that strikes costs the next packet its time stamp.
# PyAV 18.1.0 with FFmpeg 8.1.2. A slow camera sends two pictures a second. A reader that looks up from its wait each
# 0.2 s (`timeout=(open, read)`), catches the error and reads on gets all pictures, but none of those behind an error
# bears a stamp: FFmpeg gives up its parser at each error, and the next packet comes out of a new one without its time.
# A reader with a long timeout gets every stamp but the first.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     read timeout 5 s: [None, 45000, 90000, 135000, 180000, 225000]
#     read timeout 0.2 s: [None, 45000, None, None, None, None]
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
from contextlib import suppress

import av
from camera import QUICK, camera, pictures


def play(send):
    for index, picture in enumerate(pictures(20)):
        send(picture, 1000 + 45000 * index)
        time.sleep(0.5)


def stamps(read_timeout):
    found = []
    with av.open(camera(play), options=QUICK, timeout=(5, read_timeout)) as container:
        while len(found) < 6:
            with suppress(av.FFmpegError):  # the time is over: look whether to stop, then read on
                for packet in container.demux():
                    found.append(packet.pts)
                    if len(found) == 6:
                        break
    print(f"read timeout {read_timeout} s: {found}")
    return found


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
patient, hasty = stamps(5), stamps(0.2)

if not (None not in patient[1:] and hasty[2:] == [None] * 4):
    sys.exit("This is no longer so.")
EOF
