#!/bin/sh
# FFmpeg's MP4 muxer writes pictures of another size into a file that goes on saying the old one.
# PyAV 18.1.0 with FFmpeg 8.1.2. A camera may change its size at a key frame, with new parameter sets in the stream. The
# muxer takes the packets without a word and leaves one sample description with the first parameter sets, although
# ISO/IEC 14496-15 has the parameter sets of an `avc1` track in the sample description alone. The file says 320x240 for
# all of it. FFmpeg's own decoder still finds the new sets between the pictures; a player that goes by the file does
# not.
# Output:
#     PyAV 18.1.0 FFmpeg 8.1.2
#     the file says 320x240, sample descriptions: 1
#     it holds pictures of: ['320x240', '640x480']
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check av==18.1.0
venv/bin/python - <<'EOF'
import io
import sys
from fractions import Fraction

import av


def coded(width, height, count):
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    frames = [av.VideoFrame(width, height, "yuv420p") for _ in range(count)]
    return b"".join(bytes(packet) for frame in frames for packet in encoder.encode(frame))

print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
source = av.open(io.BytesIO(coded(320, 240, 5) + coded(640, 480, 5)), format="h264")
target = io.BytesIO()
with av.open(target, "w", format="mp4") as container:
    track = container.add_stream_from_template(source.streams.video[0])
    for index, packet in enumerate(packet for packet in source.demux() if packet.size):
        packet.stream, packet.time_base = track, Fraction(1, 25)
        packet.pts, packet.dts, packet.duration = index, index, 1
        container.mux(packet)

data = target.getvalue()
target.seek(0)
descriptions = int.from_bytes(data[data.index(b"stsd") + 8 :][:4])
with av.open(target) as film:
    said = f"{film.streams.video[0].width}x{film.streams.video[0].height}"
    held = sorted({f"{frame.width}x{frame.height}" for frame in film.decode(video=0)})
print(f"the file says {said}, sample descriptions: {descriptions}")
print("it holds pictures of:", held)

if not ((said, descriptions, held) == ("320x240", 1, ["320x240", "640x480"])):
    sys.exit("This is no longer so.")
EOF
