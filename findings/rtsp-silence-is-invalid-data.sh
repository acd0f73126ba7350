#!/bin/sh
# A camera that does not answer in time has "invalid data", and one that answers 201 has "no permission".
# PyAV 18.1.0 with FFmpeg 8.1.2. When the time of `av.open` is over before DESCRIBE is answered, what is raised is
# neither `TimeoutError` nor PyAV's `ExitError` but `InvalidDataError`, which is a `ValueError` and the same as for
# garbage. PLAY answered by "201 Created" raises `PermissionError`, since FFmpeg returns -1 there and PyAV reads it as
# EPERM. Statuses that are errors do have classes of their own: so the class can be trusted for a refusal, and for
# nothing else.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     DESCRIBE is not answered for 3 s, limit 1 s: InvalidDataError, is a TimeoutError: False, ended after 1.0 s
#     PLAY is answered by 201 Created: PermissionError, is a TimeoutError: False, ended after 0.0 s
#     SETUP is answered by 404 Not Found: HTTPNotFoundError, is a TimeoutError: False, ended after 0.0 s
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
from camera import QUICK, camera


def late(request):
    time.sleep(3 if request.startswith("DESCRIBE") else 0)
    return "200 OK"


def raised(case, answer):
    began = time.monotonic()
    try:
        av.open(camera(lambda send: None, answer), options=QUICK, timeout=1).close()
    except Exception as error:
        name, timely = type(error).__name__, isinstance(error, TimeoutError)
        print(f"{case}: {name}, is a TimeoutError: {timely}, ended after {time.monotonic() - began:.1f} s")
        return name, timely
    return "opened", False


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
found = [
    raised("DESCRIBE is not answered for 3 s, limit 1 s", late),
    raised("PLAY is answered by 201 Created", lambda ask: "201 Created" if ask.startswith("PLAY") else "200 OK"),
    raised("SETUP is answered by 404 Not Found", lambda ask: "404 Not Found" if ask.startswith("SETUP") else "200 OK"),
]

if not (found == [("InvalidDataError", False), ("PermissionError", False), ("HTTPNotFoundError", False)]):
    sys.exit("This is no longer so.")
EOF
