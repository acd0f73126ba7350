"""Frames and messages: what goes in comes out, however the bytes are cut; what is none is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.chunk import AudioTrack, Init, VideoTrack
from media.process import framing, messages
from media.process.framing import Decoder, FrameError
from media.process.messages import (
    ChunkMade,
    Failed,
    Finished,
    InitMade,
    Message,
    PhaseReached,
    StartTask,
    StopTask,
    TaskProgress,
    TaskReady,
    WarningRaised,
)

JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers() | st.text(), max_size=3)
HEADERS = st.dictionaries(st.text(), JSON, max_size=4)

INIT = Init(
    b"ftypmoov", VideoTrack("avc1.64001e", 90000, 640, 360, "High", 25.0), AudioTrack("mp4a.40.2", 48000, 48000, 2)
)
MESSAGES: list[Message] = [
    StartTask("rtsp", {"camera": {"uri": "rtsp://x"}}),
    StopTask(),
    PhaseReached("setup"),
    InitMade.of(INIT),
    ChunkMade(2**40, 32400, True, False, b"\0" * 1000),
    TaskReady({"transport": "tcp"}),
    TaskProgress({"chunk": [0, 1, [2, 3]]}),
    WarningRaised("audio-silent", "It is."),
    Failed("source-timeout", "live", "Nothing came."),
    Finished({}, b"result"),
]


@given(st.lists(st.tuples(HEADERS, st.binary()), max_size=4), st.integers(1, 40))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    frames: list[tuple[dict[str, object], bytes]], size: int
) -> None:
    stream = b"".join(framing.encode(header, body) for header, body in frames)
    decoder = Decoder()
    found = [frame for at in range(0, len(stream), size) for frame in decoder.feed(stream[at : at + size])]
    assert found == frames


@given(st.binary())
def test_bytes_that_are_no_frames_raise_nothing_but_a_frame_error(noise: bytes) -> None:
    with suppress(FrameError):
        assert all(isinstance(header, dict) for header, _ in Decoder().feed(noise))


def test_a_frame_over_the_limit_is_neither_written_nor_waited_for() -> None:
    with pytest.raises(FrameError):
        framing.encode({}, bytes(framing.MAX_FRAME))
    with pytest.raises(FrameError):
        list(Decoder().feed(framing.PREFIX.pack(framing.MAX_FRAME + 1, 2)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_out_as_they_went_in(message: Message) -> None:
    ((header, body),) = Decoder().feed(messages.encode(message))
    assert messages.decode(header, body) == message


def test_an_init_comes_out_with_its_tracks() -> None:
    ((header, body),) = Decoder().feed(messages.encode(InitMade.of(INIT)))
    made = messages.decode(header, body)
    assert isinstance(made, InitMade)
    assert made.init() == INIT
    assert made.init().id == INIT.id


@pytest.mark.parametrize(
    "header", [{}, {"type": "Nonsense"}, {"type": "Phase"}, {"type": "PhaseReached", "name": "a", "b": 1}]
)
def test_a_frame_of_unknown_type_or_fields_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        messages.decode(header, b"")
