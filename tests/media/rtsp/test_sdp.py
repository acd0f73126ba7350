"""Tests of media/rtsp/sdp.py: what cameras write, and what is made of it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.rtsp.sdp import MAX_TRACKS, NOTHING, Description, MediaDescription, parse, without_ignored_sound
from tests.support.camera_peers import SDP

HEAD = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\n"
H264 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


def described(text: str) -> Description:
    return parse(text.encode())


def test_a_tidy_description_is_read_whole() -> None:
    sprop = "packetization-mode=1;sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA=="
    assert parse(SDP) == Description(
        tracks=(
            MediaDescription("video", "h264", 90000, fmtp=sprop, control="trackID=0"),
            MediaDescription("audio", "pcma", 8000, channels=1, control="trackID=1"),
        ),
        ignored=(),
        warnings=(),
    )


def test_parameters_of_a_format_are_split_at_the_first_equals_sign() -> None:
    track = MediaDescription(
        "video", "h264", 90000, fmtp="Packetization-Mode=1; sprop-parameter-sets=Z0I=,aM4= ; odd;x="
    )
    assert track.parameters() == {"packetization-mode": "1", "sprop-parameter-sets": "Z0I=,aM4=", "x": ""}


@pytest.mark.parametrize("end", ["\n", "\r\n", " \r\n", "\t\n", "\r", "\r\n\r\n"])
def test_ends_of_lines_and_trailing_spaces_make_no_difference(end: str) -> None:
    assert parse(SDP.decode().replace("\r\n", end).encode()) == parse(SDP)


def test_unknown_lines_are_skipped() -> None:
    text = HEAD + "x-vendor stuff\r\nq=?\r\n\r\n=\r\nab=c\r\n" + H264 + "a=x-dimensions:1920,1080\r\nnonsense\r\n"
    assert described(text).tracks == (MediaDescription("video", "h264", 90000),)
    assert described(text).warnings == ()


def test_a_missing_origin_is_a_warning() -> None:
    assert described(H264) == Description((MediaDescription("video", "h264", 90000),), (), ("sdp-no-origin",))


@pytest.mark.parametrize("rtpmap", ["96 H264", "96 H264/", "96 H264/abc", "96 H264/-1", "96 H264/99999999999999"])
def test_a_clock_that_is_missing_or_odd_is_the_usual_one_of_video(rtpmap: str) -> None:
    description = described(HEAD + f"m=video 0 RTP/AVP 96\r\na=rtpmap:{rtpmap}\r\n")
    assert description.tracks == (MediaDescription("video", "h264", 90000),)
    assert description.warnings == ("sdp-bad-rtpmap",)


@pytest.mark.parametrize(
    ("media", "rtpmap", "codec", "warning"),
    [
        ("m=video 0 RTP/AVP 96", "a=rtpmap:H264", "", "sdp-bad-rtpmap"),
        ("m=video 0 RTP/AVP 96", "a=rtpmap:97 H265/90000", "h265", "sdp-bad-rtpmap"),
        ("m=video 0 RTP/AVP 96", "a=recvonly", "", "sdp-no-rtpmap"),
        ("m=video 0", "a=rtpmap:96 H264/90000", "h264", "sdp-bad-media-line"),
        ("m=VIDEO 0 RTP/AVP 96", "a=RTPMAP:96 h264/90000", "h264", ""),
        ("m=video 554 RTP/AVP 98 96", "a=rtpmap:96 H264 / 90000", "h264", ""),
    ],
)
def test_a_broken_rtpmap_costs_no_track(media: str, rtpmap: str, codec: str, warning: str) -> None:
    description = described(HEAD + f"{media}\r\n{rtpmap}\r\n")
    assert [track.codec for track in description.tracks] == [codec]
    assert (warning in description.warnings) if warning else not description.warnings


@pytest.mark.parametrize(
    ("lines", "codec", "clock", "channels"),
    [
        ("m=audio 0 RTP/AVP 0", "pcmu", 8000, 1),
        ("m=audio 0 RTP/AVP 10", "l16", 44100, 2),
        ("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/1", "aac", 16000, 1),
        ("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2", "aac", 48000, 2),
        ("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2", "opus", 48000, 2),
        ("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 G726-32/8000", "g726-32", 8000, 1),
        ("m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/16000", "pcma", 16000, 1),
    ],
)
def test_audio_formats_are_named(lines: str, codec: str, clock: int, channels: int) -> None:
    assert described(HEAD + lines).tracks == (MediaDescription("audio", codec, clock, channels),)


def test_an_unreadable_sprop_is_a_warning() -> None:
    description = described(HEAD + H264 + "a=fmtp:96 sprop-parameter-sets=Z0I*,!!\r\n")
    assert description.warnings == ("sdp-bad-sprop",)
    assert description.tracks[0].codec == "h264"


@pytest.mark.parametrize("control", ["*", "track1", "rtsp://10.0.0.9:554/live/track1", "/live/track1?x=a:b", ""])
def test_control_is_kept_as_written(control: str) -> None:
    assert described(HEAD + "a=control:*\r\n" + H264 + f"a=control:{control}\r\n").tracks[0].control == control


def test_metadata_is_named_and_left_out() -> None:
    description = described(HEAD + H264 + "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n")
    assert [track.media for track in description.tracks] == ["video"]
    assert description.ignored == ("application",)


def test_a_backchannel_is_left_out() -> None:
    audio = "m=audio 0 RTP/AVP 0\r\na=sendonly\r\n"
    description = described(HEAD + H264 + "a=recvonly\r\nm=audio 0 RTP/AVP 8\r\na=recvonly\r\n" + audio)
    assert [(track.codec, track.direction) for track in description.tracks] == [
        ("h264", "recvonly"),
        ("pcma", "recvonly"),
    ]
    assert description.ignored == ("backchannel",)
    assert described(HEAD + audio) == Description((), ("backchannel",), ())


def test_sendonly_on_the_picture_means_that_the_camera_sends() -> None:
    description = described(HEAD + H264 + "a=sendonly\r\nm=audio 0 RTP/AVP 8\r\na=sendonly\r\n")
    assert [track.codec for track in description.tracks] == ["h264", "pcma"]
    assert description.ignored == ()


def test_text_that_is_not_utf_8_is_read_all_the_same() -> None:
    assert parse(SDP.replace(b"s=Camera", "s=Büro".encode("latin-1"))).tracks == parse(SDP).tracks


def test_tracks_have_a_bound() -> None:
    assert len(described(HEAD + H264 * 1000).tracks) == MAX_TRACKS


@pytest.mark.parametrize("body", [b"", b"\0\0", b"<html></html>", b"v=0", b"m=\r\na=rtpmap:1 H264/1"])
def test_what_describes_nothing_has_no_tracks(body: bytes) -> None:
    assert parse(body).tracks == ()


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    assert isinstance(parse(body), Description)


LINE = st.one_of(
    st.sampled_from(["m=video 0 RTP/AVP 96", "m=audio", "a=rtpmap:96", "a=fmtp:96 sprop-sps=", "a=sendonly", "o="]),
    st.text(max_size=20),
)


@given(st.lists(st.tuples(LINE, LINE, st.sampled_from(["\n", "\r\n", " ", "/", ":", ";"]))))
@example([("a=fmtp:96 sprop-sps=", "é", "\n")])
def test_no_mixture_of_lines_breaks_the_parser(parts: list[tuple[str, str, str]]) -> None:
    text = "m=video 0 RTP/AVP 96\n" + "".join(a + b + end for a, b, end in parts)
    description = parse(text.encode(errors="replace"))
    assert all(track.clock >= 0 and track.channels >= 0 for track in description.tracks)


MICROPHONE = "m=audio 0 RTP/AVP 8\r\na=control:track=2\r\na=recvonly\r\n"
LOUDSPEAKER = "m=audio 0 RTP/AVP 0\r\na=control:track=3\r\na=sendonly\r\n"
NULL = "m=audio 0 RTP/AVP (null)\r\na=rtpmap\r\na=control:track=4\r\n"


@pytest.mark.parametrize("ignored", [LOUDSPEAKER, NULL, LOUDSPEAKER + NULL])
def test_sound_that_is_not_to_be_set_up_is_taken_out_and_all_else_stays(ignored: str) -> None:
    for text in (HEAD + ignored + H264 + MICROPHONE, HEAD + H264 + MICROPHONE + ignored):
        assert without_ignored_sound(text.encode()) == (HEAD + H264 + MICROPHONE).encode()
        assert len(described(text).tracks) == 2


def test_a_camera_that_calls_its_own_sending_sendonly_keeps_its_sound() -> None:
    text = (HEAD + H264 + "a=sendonly\r\n" + LOUDSPEAKER).encode()
    assert without_ignored_sound(text) == text


def test_a_microphone_that_is_the_only_sound_is_one_whatever_it_calls_itself() -> None:
    text = HEAD + H264 + LOUDSPEAKER
    assert without_ignored_sound(text.encode()) == text.encode()
    assert [track.media for track in described(text).tracks] == ["video", "audio"]
    facing = HEAD + H264 + "a=recvonly\r\n" + LOUDSPEAKER
    assert described(facing).ignored == ("backchannel",)
    assert without_ignored_sound(facing.encode()) == facing.removesuffix(LOUDSPEAKER).encode()


def test_sound_without_a_format_is_no_sound() -> None:
    found = described(HEAD + H264 + NULL)
    assert ([track.media for track in found.tracks], found.ignored) == (["video"], (NOTHING,))


@given(st.binary(max_size=300) | st.text("mav=audioe \r\n:0(sendonly)", max_size=300).map(str.encode))
@example(b"m=\r\nm=audio\r\n")
def test_taking_sound_out_leaves_what_is_read_of_any_text_as_it_was(body: bytes) -> None:
    assert parse(without_ignored_sound(body)).tracks == parse(body).tracks
