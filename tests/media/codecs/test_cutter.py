"""A camera's packets on a clock of the test's own, and the chunks that become of them."""

import io
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import pytest
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame

from media.codecs import cutter, libav
from media.codecs.aac_encoder import sound_of
from media.codecs.cutter import Cutter, Epoch
from media.codecs.early_sound import MOST_BYTES, MOST_PACKETS, EarlySound
from media.mp4.fmp4 import AUDIO_TRACK
from media.mp4.fragments import fragments
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Message, WarningRaised
from media.timing.clock import VIDEO_RATE

EVERY = 5  # seconds between two pictures
PICTURES = 4
RATE = 48_000


class Clock:
    """In the place of the module `time`."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Up:
    """A gateway that hears all."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def send(self, message: Message) -> None:
        self.heard.append(message)


@cache
def recorded() -> bytes:
    """A picture in five seconds, and sound all the time, as MPEG-TS: Annex B and stamps of 90 kHz."""
    target = io.BytesIO()
    with av.open(target, "w", format="mpegts") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency"}
        video = container.add_stream("libx264", rate=Fraction(1, EVERY), options=options)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = container.add_stream("mp2", rate=RATE, layout="mono")
        silence = AudioFrame("s16", "mono", 1152)
        silence.sample_rate = RATE
        silence.planes[0].update(bytes(silence.planes[0].buffer_size))
        for number in range(PICTURES):
            frame = VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(EVERY), PictureType.I
            container.mux(video.encode(frame))
        for begins in range(0, PICTURES * EVERY * RATE, 1152):
            silence.pts, silence.time_base = begins, Fraction(1, RATE)
            container.mux(audio.encode(silence))
        container.mux(video.encode(None))
    return target.getvalue()


def test_a_camera_of_a_picture_in_five_seconds_has_its_sound_from_the_first_picture_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, up = Clock(), Up()
    monkeypatch.setattr(cutter, "time", clock)
    with av.open(io.BytesIO(recorded())) as container:
        assert isinstance(container, InputContainer)
        video, audio = container.streams.video[0], container.streams.audio[0]
        packets: list[Any] = [packet for packet in container.demux(video, audio) if packet.size]
        packets.sort(key=lambda packet: (packet.pts, packet.stream is audio))
        first = next(packet for packet in packets if packet.stream is video)
        proof = libav.prove_keyframe(video, bytes(first))
        assert proof is not None
        made = Cutter(cast(GatewaySocket, up), video, sound_of(audio), proof, Epoch(0.0, 0.0))
        began = clock.now
        for packet in packets[packets.index(first) :]:
            clock.now = began + float((packet.pts - first.pts) * packet.time_base)
            (made.video if packet.stream is video else made.audio)(packet)
    inits = [each for each in up.heard if isinstance(each, InitMade)]
    assert [each.audio is not None for each in inits] == [True]
    assert not [each.code for each in up.heard if isinstance(each, WarningRaised) and each.code == "audio-silent"]
    chunks = [each for each in up.heard if isinstance(each, ChunkMade)]
    assert len(chunks) >= PICTURES - 2
    for chunk in chunks:
        heard = [each for each in fragments(chunk.body) if each.track == AUDIO_TRACK]
        seconds = sum(sample.duration for each in heard for sample in each.samples) / RATE
        assert seconds == pytest.approx(EVERY, abs=0.2)
        assert heard[0].decode_time / RATE == pytest.approx(chunk.decode_time / VIDEO_RATE, abs=0.2)


def test_sound_that_waits_for_a_picture_has_a_bound() -> None:
    class Sound:
        def __init__(self, size: int) -> None:
            self.size = size

    early = EarlySound()
    for number in range(MOST_PACKETS + 10):
        early.keep(cast(Any, Sound(10)), number)
    assert [arrival for _, arrival in early.taken()] == list(range(10, MOST_PACKETS + 10))
    assert not list(early.taken())
    for number in range(10):
        early.keep(cast(Any, Sound(MOST_BYTES // 4)), number)
    assert [arrival for _, arrival in early.taken()] == [6, 7, 8, 9]
