"""A plain RTSP camera on loopback, for the findings about RTSP: H.264 over TCP, one reader, nothing of Reelgate."""

import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import av

SDP = (
    "v=0\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:video\r\n"
)
# Opens in a tenth of a second and loses nothing.
QUICK = {"rtsp_transport": "tcp", "analyzeduration": "0", "probesize": "32"}

Send = Callable[[bytes, int], None]


def pictures(count: int) -> list[bytes]:
    """So many coded pictures of 64x64, one key frame and what follows it; each unit fits into one RTP packet."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=250"}
    return [bytes(packet) for _ in range(count) for packet in encoder.encode(av.VideoFrame(64, 64, "yuv420p"))]


def camera(
    play: Callable[[Send], None], answer: Callable[[str], str] = lambda request: "200 OK", sdp: str = SDP
) -> str:
    """Starts the camera and gives its address.

    `play(send)` is called at PLAY; `send(picture, stamp)` sends one picture, its RTP time in ticks of 90 kHz.
    `answer(request)` gives the status line of each answer, and may give further header lines behind it.
    """
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server, play, answer, sdp), daemon=True).start()
    return f"rtsp://127.0.0.1:{server.getsockname()[1]}/"


def _serve(server: socket.socket, play: Callable[[Send], None], answer: Callable[[str], str], sdp: str) -> None:
    line, _ = server.accept()
    heard = line.makefile("rb")
    number = itertools.count()

    def send(picture: bytes, stamp: int) -> None:
        units = [unit for unit in re.split(b"\0\0\0?\1", picture) if unit]
        for unit in units:
            kind = 96 | (128 if unit is units[-1] else 0)
            packet = struct.pack("!BBHII", 128, kind, next(number), stamp, 7) + unit
            line.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)

    def sends() -> None:
        with suppress(OSError):  # the reader has hung up
            play(send)

    with suppress(OSError):
        while first := heard.read(1):
            if first == b"$":  # the reader's RTCP
                heard.read(struct.unpack("!xH", heard.read(3))[0])
                continue
            request = (first + b"".join(itertools.takewhile(bytes.strip, heard))).decode()
            field = dict(re.findall(r"(\w+): (.*)\r", request))
            body = sdp if request.startswith("DESCRIBE") else ""
            line.sendall(
                f"RTSP/1.0 {answer(request)}\r\nCSeq: {field['CSeq']}\r\nSession: 1\r\nContent-Length: {len(body)}\r\n"
                f"Transport: {field.get('Transport', 'none')}\r\n\r\n{body}".encode()
            )
            if request.startswith("PLAY"):
                threading.Thread(target=sends, daemon=True).start()
