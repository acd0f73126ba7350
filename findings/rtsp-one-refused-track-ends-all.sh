#!/bin/sh
# FFmpeg asks a camera for each of its audio tracks, and gives up the picture when one of them is refused.
# PyAV 18.1.0 with FFmpeg 8.1.2. The camera describes a picture, a microphone, and a speaker (`a=sendonly`: sound that
# it plays, and that nobody can receive). FFmpeg sends SETUP for all three, whatever the direction. The camera answers
# the last one with 404, as it may, and the opening fails as a whole, with a picture that was set up already. No option
# chooses among tracks of a kind: `allowed_media_types` drops all sound or none.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     asked for: ['/video', '/microphone', '/speaker'], outcome: HTTPNotFoundError
#     with allowed_media_types=video, asked for: ['/video'], outcome: 1 stream
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cp "$(dirname "$0")/camera.py" "$folder"
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import re
import sys

import av
from camera import QUICK, SDP, camera, pictures

AUDIO = "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
TRACKS = f"{SDP}{AUDIO}a=control:microphone\r\n{AUDIO}a=sendonly\r\na=control:speaker\r\n"


def outcome(options):
    asked = []

    def answer(request):
        if request.startswith("SETUP"):
            asked.append(re.search("/[a-z]+ ", request)[0].strip())
        return "404 Not Found" if request.startswith("SETUP") and "/speaker" in request else "200 OK"

    try:
        address = camera(lambda send: send(pictures(1)[0], 1000), answer, TRACKS)
        with av.open(address, options=QUICK | options, timeout=1) as container:
            return asked, f"{len(container.streams)} stream"
    except av.FFmpegError as error:
        return asked, type(error).__name__


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
every, chosen = outcome({}), outcome({"allowed_media_types": "video"})
print("asked for: {}, outcome: {}".format(*every))
print("with allowed_media_types=video, asked for: {}, outcome: {}".format(*chosen))

if not (every == (["/video", "/microphone", "/speaker"], "HTTPNotFoundError") and chosen == (["/video"], "1 stream")):
    sys.exit("This is no longer so.")
EOF
