#!/bin/sh
# FFmpeg's HLS reader fetches the second init of a playlist and does not use it.
# PyAV 18.1.0 with FFmpeg 8.1.2. A playlist may go on with another EXT-X-MAP behind EXT-X-DISCONTINUITY (RFC 8216,
# 4.3.2.5): a camera that changed its size, an advertisement. FFmpeg downloads the new init, finds "duplicated MOOV
# atom. Skipped it", and decodes the new pictures with the old parameter sets: there is no error and no picture of the
# new size. Chromium plays it.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     fetched: ['/play.m3u8', '/small-init.mp4', '/small.mp4', '/large-init.mp4', '/large.mp4']
#     pictures of 320x240: 25, of 640x480: 0, of each there are 25
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import http.server
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av


def written(name, width, height, start=0):
    """One second of video as NAME-init.mp4 and NAME.mp4."""
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}
    with av.open(f"{name}.mp4", "w", options=options) as container:
        track = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        track.width, track.height = width, height
        for index in range(25):
            frame = av.VideoFrame(width, height, "yuv420p")
            frame.pts, frame.time_base = index + 25 * start, Fraction(1, 25)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    data = Path(f"{name}.mp4").read_bytes()
    begin = data.index(b"moof") - 4
    Path(f"{name}-init.mp4").write_bytes(data[:begin])
    Path(f"{name}.mp4").write_bytes(data[begin : data.index(b"mfra") - 4])


class Handler(http.server.SimpleHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
written("small", 320, 240)
written("large", 640, 480, start=1)
Path("play.m3u8").write_text("""#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:1
#EXT-X-MAP:URI="small-init.mp4"
#EXTINF:1.0,
small.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="large-init.mp4"
#EXTINF:1.0,
large.mp4
#EXT-X-ENDLIST
""")
print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
with av.open(f"http://127.0.0.1:{server.server_port}/play.m3u8") as container:
    widths = [frame.width for frame in container.decode(video=0)]
print("fetched:", Handler.asked)
print(f"pictures of 320x240: {widths.count(320)}, of 640x480: {widths.count(640)}, of each there are 25")

if not ("/large-init.mp4" in Handler.asked and widths.count(320) >= 25 and not widths.count(640)):
    sys.exit("This is no longer so.")
EOF
