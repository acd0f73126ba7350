"""What FFmpeg gets to read of a camera, however the camera writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.camera.spec import CameraSpec
from media.camera.worker.opening import stays
from media.rtsp.rewrite import SessionTerms, cleaned, transport

ADDRESS = "192.0.2.7"
STRANGER = b"198.51.100.9"
LIE = b"RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;source=" + STRANGER
HONEST = b"RTP/AVP;unicast;source=192.0.2.7;client_port=5000-5001;server_port=6000-6001"
PIECES = st.sampled_from(
    [
        *(b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b"$", b";", b",", b":", b"=", b"x" * 5000),
        *(b"Transport: ", b"transport:", b"TRANSPORT :", b"Content-Length: 9", b"Location: rtsp://198.51.100.9/"),
        *(b"RTSP/1.0 200 OK", b"RTSP/1.0 302 Found", b"OPTIONS * RTSP/1.0", LIE, STRANGER),
    ]
)


def as_ffmpeg_reads(message: bytes) -> list[bytes]:
    """Its lines without CR, each up to a NUL and cut off at 4095 bytes (libavformat/rtsp.c, `ff_rtsp_read_reply`)."""
    lines = message.replace(b"\r", b"").split(b"\n")
    return [line.partition(b"\0")[0][:4095] for line in lines]


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_whatever_a_camera_writes_into_a_head_ffmpeg_reads_no_other_source(text: bytes) -> None:
    made = cleaned(b"RTSP/1.0 200 OK\r\n" + text, b"", ADDRESS)
    lines = as_ffmpeg_reads(made)
    assert lines[0].startswith(b"RTSP/1.0 200")
    assert lines.count(b"") == 2  # one head, and what is behind its end
    assert not any(line.startswith((b"$", b" ", b"\t")) for line in lines)
    assert not any(line.lower().startswith(b"location") for line in lines)
    for line in lines:
        if line.lower().startswith(b"transport"):
            assert STRANGER not in line
            assert line.count(b";source=192.0.2.7") == 1


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (LIE, HONEST),
        (
            b" RTP/AVP/UDP ; unicast ; Source=a.example ; ssrc=00C0FFEE",
            b"RTP/AVP/UDP;unicast;source=192.0.2.7;ssrc=00C0FFEE",
        ),
        (b"RTP/AVP/TCP;interleaved=0-1;mode=play", b"RTP/AVP/TCP;unicast;source=192.0.2.7;interleaved=0-1"),
        (b"RTP/AVP;multicast;destination=198.51.100.9", b"RTP/AVP;multicast;source=192.0.2.7"),
        (b"RTP/AVP;source=192.0.2.7,RTP/AVP;source=198.51.100.9", b"RTP/AVP;unicast;source=192.0.2.7"),
        (b"RTP/AVP;server_port=6000;source\t=198.51.100.9", b"RTP/AVP;unicast;source=192.0.2.7;server_port=6000"),
        (b"rtp avp;server_port=6000-x", b"unknown;unicast;source=192.0.2.7"),
    ],
)
def test_a_transport_keeps_its_ports_and_gets_the_checked_address(said: bytes, passed_on: bytes) -> None:
    assert transport(said, ADDRESS) == passed_on


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 OK", b"rtsp/1.0 200 ok", b"", b"transport: " + LIE, b"RTSP/1.0 2"])
def test_what_is_neither_an_answer_nor_a_request_is_left_out(text: bytes) -> None:
    assert cleaned(text + b"\r\n\r\n", b"body", ADDRESS) == b""


def test_an_answer_and_a_request_keep_what_they_say_and_are_as_long_as_they_are() -> None:
    head = b"RTSP/1.0 200 OK\nCSeq: 2\r\nContent-Length : 99\r\nPublic: OPTIONS\r\n\tPLAY\r\n\r\n"
    assert (
        cleaned(head, b"v=0", ADDRESS)
        == b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nPublic: OPTIONS\r\nContent-Length: 3\r\n\r\nv=0"
    )
    asked = b"ANNOUNCE rtsp://c/ RTSP/1.0\r\nCSeq: 3\r\n\r\n"
    assert cleaned(asked, b"", ADDRESS) == b"ANNOUNCE rtsp://c/ RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("rtsp://192.0.2.7/other", True),
        ("rtsp://192.0.2.7:8554/other?x=1\n", True),
        ("rtsps://192.0.2.7", True),
        ("rtsp://198.51.100.9/", False),
        ("rtsp://camera.example/", False),
        ("rtsp://192.0.2.7@198.51.100.9/", False),
        ("rtsp://192.0.2.7:a@198.51.100.9/", False),
        ("rtsp://192.0.2.7 @198.51.100.9/", False),
        ("rtsp://192.0.2.7:554@198.51.100.9/", False),
        ("rtsp://192.0.2.7\\@198.51.100.9/", False),
        ("rtsp://192.0.2.70/", False),
        ("rtsp://192.0.2.7." + "x" * 900, False),
        ("rtsp://192.0.2.7/" + "x" * 900, False),
        ("http://192.0.2.7/", False),
        ("/other", False),
    ],
)
def test_ffmpeg_follows_a_redirect_to_the_checked_address_alone(location: str, allowed: bool) -> None:
    assert stays(location, CameraSpec("rtsp://camera.example/live", address=ADDRESS)) is allowed


def test_ffmpeg_follows_no_redirect_that_gives_up_encryption() -> None:
    camera = CameraSpec("rtsps://camera.example/live", address="2001:db8::7")
    assert stays("rtsps://[2001:db8::7]:322/other", camera)
    assert not stays("rtsp://[2001:db8::7]:322/other", camera)


def answer(session: bytes, body: bytes = b"") -> bytes:
    return b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: " + session + b"\r\nContent-Length: 0\r\n\r\n" + body


@pytest.mark.parametrize(
    "written", [b"12;timeout=10", b"12; timeout=10", b"12 ;Timeout = 10 ;x=y", b"12;timeout=10;", b"12 ; ; timeout=010"]
)
def test_a_timeout_is_written_so_that_ffmpeg_reads_it(written: bytes) -> None:
    wanted = answer(b"12") if b"010" in written else answer(b"12;timeout=10")
    assert SessionTerms().kept(answer(written)) == wanted


def test_the_shortest_timeout_that_was_told_holds_for_all_answers() -> None:
    terms = SessionTerms()
    assert terms.kept(answer(b"12")) == answer(b"12")
    assert terms.kept(answer(b"12;timeout=10")) == answer(b"12;timeout=10")
    assert terms.kept(answer(b"12;timeout=60")) == answer(b"12;timeout=10")
    assert terms.kept(answer(b"12")) == answer(b"12;timeout=10")


def test_a_line_of_a_body_is_no_header() -> None:
    terms = SessionTerms()
    message = b"RTSP/1.0 200 OK\r\nContent-Length: 24\r\n\r\nSession: 12; timeout=10\r\n"
    assert terms.kept(message) == message


@pytest.mark.parametrize("status", [b"200 OK", b"201 Created", b"250 Low on Storage Space"])
def test_every_success_is_the_one_that_ffmpeg_knows(status: bytes) -> None:
    assert cleaned(b"RTSP/1.0 " + status + b"\r\nCSeq: 1\r\n\r\n", b"", ADDRESS).startswith(
        b"RTSP/1.0 200 OK\r\nCSeq: 1"
    )
