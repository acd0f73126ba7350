#!/bin/sh
# FFmpeg refuses to log in to a camera that writes `algorithm=md5` in small letters.
# PyAV 18.1.0 with FFmpeg 8.1.2. The name of an algorithm is the same in any case (RFC 2617, 3.2.1, by the rule for
# literals of RFC 2616, 2.1). FFmpeg compares them as they are: with the right password it sends a second request
# without any login, and the error is "401 Unauthorized", as for a wrong password. It is the same for SHA-256, the
# algorithm of RFC 7616, which FFmpeg does not know.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     algorithm=MD5: opened, login sent: True
#     algorithm=md5: HTTPUnauthorizedError, login sent: False
#     algorithm=SHA-256: HTTPUnauthorizedError, login sent: False
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

import av
from camera import QUICK, camera, pictures


def login(algorithm):
    heard = []

    def answer(request):
        heard.append("Authorization: Digest" in request)
        if heard[-1]:
            return "200 OK"
        return f'401 Unauthorized\r\nWWW-Authenticate: Digest realm="camera", nonce="1a2b", algorithm={algorithm}'

    address = camera(lambda send: send(pictures(1)[0], 1000), answer).replace("//", "//user:password@")
    try:
        av.open(address, options=QUICK, timeout=1).close()
        outcome = "opened"
    except av.FFmpegError as error:
        outcome = type(error).__name__
    print(f"algorithm={algorithm}: {outcome}, login sent: {any(heard)}")
    return outcome, any(heard)


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
found = [login("MD5"), login("md5"), login("SHA-256")]

if not (found == [("opened", True), ("HTTPUnauthorizedError", False), ("HTTPUnauthorizedError", False)]):
    sys.exit("This is no longer so.")
EOF
