#!/bin/sh
# GStreamer's H.264 payloader sends the parameter sets before each slice, and FFmpeg makes two pictures of one.
# GStreamer 1.22.0 (Debian 12), PyAV 18.1.0 with FFmpeg 8.1.2. Cameras built on GStreamer use `rtph264pay
# config-interval=-1`, which is to send SPS and PPS with each key frame. With a picture of two slices they stand between
# the slices, too. A parameter set behind a slice begins the next access unit (ITU-T H.264, 7.4.1.2.3), so FFmpeg hands
# out one picture as two packets, both marked as key frames, neither of which is a whole picture.
# Output:
#     gst-launch-1.0 version 1.22.0
#     PyAV 18.1.0 FFmpeg 8.1.2
#     units of the last picture: [7, 8, 5, 5], as GStreamer sends it: [7, 8, 7, 8, 5, 7, 8, 5]
#     4 pictures are 4 packets to FFmpeg; as GStreamer sends them 8, of which key frames: 8
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
apt-get download -q=2 -o APT::Sandbox::User=root gstreamer1.0-tools='1.22.0-*' libgstreamer1.0-0='1.22.0-*' \
    gstreamer1.0-plugins-good='1.22.0-*' gstreamer1.0-plugins-bad='1.22.0-*' \
    libgstreamer-plugins-base1.0-0='1.22.0-*' libgstreamer-plugins-bad1.0-0='1.22.0-*' liborc-0.4-0 libunwind8 libdw1
for package in *.deb; do
    dpkg -x "$package" .
done
libraries=$(dirname "$folder"/usr/lib/*/gstreamer-1.0)
export PATH="$folder/usr/bin:$PATH" LD_LIBRARY_PATH="$libraries"
export GST_PLUGIN_SYSTEM_PATH="$libraries/gstreamer-1.0" GST_REGISTRY="$folder/registry"
export GST_PLUGIN_SCANNER="$libraries/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"
venv/bin/python - <<'EOF'
from fractions import Fraction
from pathlib import Path

import av

encoder = av.CodecContext.create("libx264", "w")
encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuv420p", Fraction(1, 25)
encoder.gop_size = 1
encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "slices=2:sliced-threads=0"}
frames = [*(av.VideoFrame(64, 64, "yuv420p") for _ in range(4)), None]
Path("plain.h264").write_bytes(b"".join(bytes(packet) for frame in frames for packet in encoder.encode(frame)))
EOF
gst-launch-1.0 --version | head -n 1
gst-launch-1.0 -q filesrc location=plain.h264 ! h264parse ! rtph264pay config-interval=-1 \
    ! rtph264depay ! video/x-h264,stream-format=byte-stream ! filesink location=sent.h264
venv/bin/python - <<'EOF'
import re
import sys
from pathlib import Path

import av


def last(path, count):
    """The types of the last units of a file: 7 and 8 are parameter sets, 5 is a slice of a key frame."""
    return [unit[0] & 31 for unit in re.split(b"\0\0\0?\1", Path(path).read_bytes()) if unit][-count:]


def packets(path):
    with av.open(path, format="h264") as container:
        return [packet.is_keyframe for packet in container.demux() if packet.size]


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
units = last("plain.h264", 4), last("sent.h264", 8)
print("units of the last picture: {}, as GStreamer sends it: {}".format(*units))
plain, sent = packets("plain.h264"), packets("sent.h264")
print(f"4 pictures are {len(plain)} packets to FFmpeg;", end=" ")
print(f"as GStreamer sends them {len(sent)}, of which key frames: {sum(sent)}")
if units != ([7, 8, 5, 5], [7, 8, 7, 8, 5, 7, 8, 5]) or (len(plain), len(sent), sum(sent)) != (4, 8, 8):
    sys.exit("This is no longer so.")
EOF
