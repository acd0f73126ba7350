#!/bin/sh
# aiortc ignores codec preferences that are set after the offer, without a word.
# aiortc 1.16.0. By the WebRTC specification (RTCRtpTransceiver, setCodecPreferences) preferences count for the next
# createOffer or createAnswer. aiortc settles the codecs in `setRemoteDescription` already. Whoever looks at the offer
# first and then calls `setCodecPreferences` gets no error and an answer with VP8 in the first place, where H.264 alone
# was asked for. Set on a transceiver that was added before the offer, the same preferences count.
# Output:
#     aiortc 1.16.0
#     preferences before the offer: ['H264', 'H264']
#     preferences after the offer: ['VP8', 'H264', 'H264']
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check aiortc==1.16.0
venv/bin/python - <<'EOF'
import asyncio
import sys
from importlib.metadata import version

from aiortc import RTCPeerConnection, RTCRtpSender, VideoStreamTrack

H264 = [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.mimeType == "video/H264"]


async def answered(offer, early):
    peer = RTCPeerConnection()
    if early:
        peer.addTransceiver(VideoStreamTrack(), direction="sendonly").setCodecPreferences(H264)
    await peer.setRemoteDescription(offer)
    if not early:
        peer.addTrack(VideoStreamTrack())
        peer.getTransceivers()[0].setCodecPreferences(H264)
    await peer.setLocalDescription(await peer.createAnswer())
    lines = [line for line in peer.localDescription.sdp.splitlines() if line.startswith("a=rtpmap:")]
    await peer.close()
    return [name for line in lines if (name := line.split()[1].split("/")[0]) != "rtx"]


async def main():
    viewer = RTCPeerConnection()
    viewer.addTransceiver("video", direction="recvonly")
    await viewer.setLocalDescription(await viewer.createOffer())
    found = [await answered(viewer.localDescription, early) for early in (True, False)]
    await viewer.close()
    return found


print("aiortc", version("aiortc"))
before, after = asyncio.run(main())
print("preferences before the offer:", before)
print("preferences after the offer:", after)

if not (set(before) == {"H264"} and after[0] == "VP8"):
    sys.exit("This is no longer so.")
EOF
