#!/bin/sh
# FFmpeg's HLS reader fetches the segments that a playlist says do not exist.
# PyAV 18.1.0 with FFmpeg 8.1.2. EXT-X-GAP says that a segment is not there and should not be loaded (rfc8216bis,
# 4.4.4.7). FFmpeg does not know the tag: it asks for the segment, gets 404, says "failed too many times, skipping", and
# goes on. Whoever writes such a playlist gets requests and errors for what it has announced as absent.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     fetched: ['/play.m3u8', '/there-init.mp4', '/absent.mp4', '/there.mp4'], pictures: 25
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
written("there", 320, 240)
Path("play.m3u8").write_text("""#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:1
#EXT-X-MAP:URI="there-init.mp4"
#EXT-X-GAP
#EXTINF:1.0,
absent.mp4
#EXTINF:1.0,
there.mp4
#EXT-X-ENDLIST
""")
print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
with av.open(f"http://127.0.0.1:{server.server_port}/play.m3u8") as container:
    shown = sum(1 for _ in container.decode(video=0))
print(f"fetched: {Handler.asked}, pictures: {shown}")

if not ("/absent.mp4" in Handler.asked and shown == 25):
    sys.exit("This is no longer so.")
EOF
