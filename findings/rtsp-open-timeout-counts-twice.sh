#!/bin/sh
# `av.open(timeout=2)` may take 3.5 s, and succeed without a picture.
# PyAV 18.1.0 with FFmpeg 8.1.2. The limit is not that of the call. It runs once for opening and again, from zero, for
# looking at the streams. The second time it is no error: the camera here answers DESCRIBE after 1.5 s and sends no
# media at all, and still the call succeeds, with a stream of width 0. So neither the time nor the success of `av.open`
# says what one reads into it.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     opened after 3.5 s with a limit of 2 s, width 0
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
from camera import camera


def slow(request):
    time.sleep(1.5 if request.startswith("DESCRIBE") else 0)
    return "200 OK"


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
began = time.monotonic()
with av.open(camera(lambda send: None, slow), options={"rtsp_transport": "tcp"}, timeout=2) as container:
    took, width = time.monotonic() - began, container.streams.video[0].width
print(f"opened after {took:.1f} s with a limit of 2 s, width {width}")

if not (took > 3 and width == 0):
    sys.exit("This is no longer so.")
EOF
