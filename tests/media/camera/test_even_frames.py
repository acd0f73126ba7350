"""The transcoder on a clock of the test's own: when frames are encoded, whatever way their chunks come."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import pytest
from av.video.frame import VideoFrame

from media.codecs.cutter import Epoch
from media.codecs.h264_encoder import Encoder, EncoderRate, PictureForm
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Message, TaskProgress
from media.timing.clock import VIDEO_RATE
from media.transcoding.worker import transcode

FRAME = VIDEO_RATE // 25
LENGTH = 10  # frames in a chunk: 0.4 s


class FrameWorld:
    """The clock, and the socket below it: messages come at their times, and a wait ends when one does."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used: list[float] = []  # when the last frame of each chunk was encoded
        self._coming: deque[tuple[float, Message]] = deque()
        self._wanted = 0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 0.0

    @property
    def stopping(self) -> bool:
        return not self._coming and len(self.used) == self._wanted

    def comes(self, init: InitMade, chunks: list[tuple[float, ChunkMade]]) -> None:
        self._coming.extend([(self.now, init), *chunks])
        self._wanted = len(chunks)

    def receive(self, seconds: float) -> Message | None:
        if self._coming and self._coming[0][0] <= self.now + seconds:
            at, message = self._coming.popleft()
            self.now = max(self.now, at)
            return message
        self.now += seconds
        return None

    def send(self, message: Message) -> None:
        if isinstance(message, TaskProgress) and "used" in message.info:
            self.used.append(self.now)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FrameWorld:
    made = FrameWorld()
    monkeypatch.setattr(transcode, "time", made)
    return made


def film(count: int, first: int = 0) -> tuple[InitMade, Iterator[ChunkMade]]:
    """So many chunks of a grey picture, the first with a key frame, at 25 frames a second."""
    encoder = Encoder(PictureForm(64, 64, Fraction(1), 2, 2, 2), EncoderRate(25.0, None, Fraction(60)), None)

    def chunks() -> Iterator[ChunkMade]:
        for chunk in range(count):
            samples = []
            for number in range(chunk * LENGTH, (chunk + 1) * LENGTH):
                frame = VideoFrame(64, 64, "yuv420p")
                frame.pts, frame.time_base = number * FRAME, Fraction(1, VIDEO_RATE)
                ((_, data, key),) = encoder.encode(frame, key=not number)
                samples.append(Sample(data, FRAME, key))
            begins = first + chunk * LENGTH * FRAME
            yield ChunkMade(begins, LENGTH * FRAME, not chunk, False, fmp4.fragment(1, chunk + 1, begins, samples))

    return InitMade.of(encoder.init), chunks()


def played(world: FrameWorld, init: InitMade, chunks: list[tuple[float, ChunkMade]]) -> list[float]:
    """For each chunk the seconds from its coming until its last frame is encoded."""
    world.comes(init, chunks)
    transcode.Transcoder(cast(GatewaySocket, world), transcode.Spec(), Epoch(0.0, 0.0)).run()
    return [used - at for used, (at, _) in zip(world.used, chunks, strict=True)]


LASTS = 0.36  # seconds from the first frame of a chunk to its last


def test_what_was_there_before_is_caught_up_with_at_once_and_the_delay_is_one_chunk(world: FrameWorld) -> None:
    init, chunks = film(12)
    coming = [(100.0 + max(0.0, 0.4 * (number - 4)), chunk) for number, chunk in enumerate(chunks)]
    delays = played(world, init, coming)
    assert delays[:4] == pytest.approx([0.0] * 4, abs=0.01)
    assert delays[4:] == pytest.approx([LASTS] * 8, abs=0.01)


def test_a_late_chunk_leaves_a_reserve_for_the_next_one(world: FrameWorld) -> None:
    init, chunks = film(20)
    late = {6: 0.1, 12: 0.08}
    coming = [(100.0 + 0.4 * number + late.get(number, 0.0), chunk) for number, chunk in enumerate(chunks)]
    played(world, init, coming)
    gaps = [after - before for before, after in zip(world.used[6:], world.used[7:], strict=False)]
    assert gaps == pytest.approx([0.4] * 13, abs=0.02)  # the second late one is not noticed


def test_a_source_whose_times_jump_back_is_not_waited_for(world: FrameWorld) -> None:
    init, chunks = film(4, first=10_000 * VIDEO_RATE)
    again, more = film(4)
    assert again == init
    # The second film comes while frames of the first one still wait, whose times would be hours ahead.
    coming = [(100.0 + 0.4 * number - 0.2 * (number > 3), chunk) for number, chunk in enumerate([*chunks, *more])]
    delays = played(world, init, coming)
    assert max(delays) < LASTS + 0.05
