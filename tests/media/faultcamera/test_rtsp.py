"""RTSP messages: whatever way the bytes come, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.faultcamera.rtsp import message
from media.faultcamera.rtsp.transport import TransportOffer, offers

STREAM = (
    b"OPTIONS rtsp://a/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    b"$\x01\x00\x03abc"
    b"\r\nSET_PARAMETER rtsp://a/live RTSP/1.0\r\ncseq:2\r\nSession: 12;timeout=60\r\nContent-Length: 4\r\n\r\nbody"
)


def read(*pieces: bytes) -> list[message.Request | message.Interleaved]:
    inbox = message.Inbox()
    return [message for piece in pieces for message in inbox.feed(piece)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_messages_are_the_same_however_the_bytes_are_split(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    options, data, keepalive = read(*(STREAM[a:b] for a, b in pairwise(edges)))

    assert options == message.Request("OPTIONS", "rtsp://a/live", {"cseq": "1"})
    assert data == message.Interleaved(1, b"abc")
    assert isinstance(keepalive, message.Request)
    assert (keepalive.cseq, keepalive.session, keepalive.body) == ("2", "12", b"body")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"PLAY a RTSP/2.0\r\n\r\n", 505),
        (b"PLAY a RTSP/1.0\r\nno colon\r\n\r\n", 400),
        (b"PLAY a RTSP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PLAY a RTSP/1.0\r\nContent-Length: 2000000000\r\n\r\n", 413),
        (b"PLAY a RTSP/1.0\r\nX: " + b"x" * message.MAX_HEAD, 413),
    ],
)
def test_what_is_no_rtsp_or_too_large_is_refused_with_its_status(data: bytes, status: int) -> None:
    with pytest.raises(message.Malformed) as caught:
        read(data)

    assert caught.value.status == status


def test_an_answer_repeats_the_cseq_and_counts_its_body() -> None:
    answer = message.CameraResponse(454, (("X", "1"), ("X", "2")), b"body")

    assert message.encode(answer, "7") == (
        b"RTSP/1.0 454 Session Not Found\r\nCSeq: 7\r\nX: 1\r\nX: 2\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert message.encode(message.CameraResponse(599), "") == b"RTSP/1.0 599 Unknown\r\n\r\n"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=2-3", [TransportOffer("tcp", (2, 3))]),
        ("RTP/AVP/TCP;interleaved=4", [TransportOffer("tcp", (4, 5))]),
        ("RTP/AVP/TCP", [TransportOffer("tcp", None)]),
        ("RTP/AVP;unicast;client_port=5000-5001", [TransportOffer("udp", (5000, 5001))]),
        ('RTP/AVP/UDP;client_port=5000-5001;mode="PLAY"', [TransportOffer("udp", (5000, 5001))]),
        ("RTP/AVP;multicast, rtp/avp/tcp;unicast", [TransportOffer("tcp", None)]),
        ("RTP/AVP;unicast", []),
        ("RTP/AVP;client_port=70000-70001", []),
        ("RTP/AVP;client_port=0-1", []),
        ("RTP/AVP/TCP;interleaved=0-1;mode=record", []),
        ("RTP/SAVP;client_port=5000-5001", []),
        ("", []),
    ],
)
def test_transport_offers_are_read_in_order_and_the_unknown_is_left_out(
    header: str, expected: list[TransportOffer]
) -> None:
    assert offers(header) == expected
