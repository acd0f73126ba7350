"""Cuts a live camera's packets into chunks below the right init."""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from media import fmp4, libav
from media.channel import Channel
from media.chunk import Init
from media.clock import NOMINAL, VIDEO_RATE, AudioClock, Stamp, VideoClock
from media.fmp4 import Sample
from media.messages import ChunkMade, InitMade, Warned

CHUNK: Final = VIDEO_RATE * 33 // 100  # ticks: a chunk is the least number of whole frames that lasts this long
VIDEO_TRACK: Final = 1
AUDIO_TRACK: Final = 2
AAC_FRAME: Final = 1024  # samples
AUDIO_WAIT: Final = 1.5  # seconds that declared audio may take to come before the picture goes without it


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where a stream's decode times come from: seconds of CLOCK_MONOTONIC since `epoch`, and never under `not_before`.

    The gateway hands the same epoch to every worker of a stream, so a reconnect goes on in time and leaves a gap as
    long as the camera was away.
    """

    epoch: float
    not_before: float

    def now(self) -> int:
        """This moment, in video ticks."""
        return round(max(time.monotonic() - self.epoch, self.not_before) * VIDEO_RATE)


@dataclass(slots=True)
class _Frame:
    """One video frame on its way into a chunk."""

    data: bytes
    key: bool
    pts: int | None
    stamp: Stamp = field(default_factory=lambda: Stamp(0, 0))


@dataclass(slots=True)
class _Chunk:
    """What has been gathered for one chunk; times in ticks of each track."""

    start: int = 0
    duration: int = 0
    independent: bool = False
    discontinuity: bool = False
    video: list[Sample] = field(default_factory=list)
    audio_start: int = 0
    audio: list[Sample] = field(default_factory=list)


class Cutter:
    """Takes packets in the order in which they come; sends `InitMade` and `ChunkMade`.

    The first video packet is a key frame that was proven to decode. An init is decided with the first chunk: declared
    audio that has not come within `AUDIO_WAIT` seconds by then is left out of it, with a warning.
    """

    def __init__(
        self,
        channel: Channel,
        video: VideoStream,
        audio: AudioStream | None,
        proof: libav.Proof,
        timeline: "Timeline",
    ) -> None:
        self._channel = channel
        self._video = video
        self._audio = audio
        self._proof = proof
        self._timeline = timeline
        self._audio_deadline = time.monotonic() + AUDIO_WAIT
        self._init: Init | None = None
        self._clock = VideoClock(proof.reorder)
        self._audio_clock = AudioClock(audio.codec_context.sample_rate) if audio else None
        self._held: list[_Frame] = []  # the first frames, until the unstamped one among them can be placed
        self._last_pts: int | None = None
        self._origin: int | None = None  # what the camera's stamps are off the stream's timeline, in video ticks
        self._pending: _Frame | None = None  # its duration is known when the next one comes
        self._chunk = _Chunk()
        self._waiting: list[_Chunk] = []  # chunks cut before the init was decided
        self._sequence = 0

    def describe(self) -> dict[str, Any]:
        """What is known of the tracks before the first chunk is out: the `video` and `audio` members of a Stream."""
        init = self._make_init(with_audio=self._audio is not None)
        made = InitMade.of(init)
        return {"video": made.video, "audio": made.audio}

    def video(self, packet: "Packet[Any]") -> None:
        """One frame in Annex B form, or what is missing of the one before."""
        frame = _Frame(bytes(packet), packet.is_keyframe, _ticks(packet))
        if fmp4.goes_on(frame.data) and (before := self._held[-1] if self._held else self._pending):
            before.data += frame.data
            before.pts = frame.pts if before.pts is None else before.pts
            return
        if self._last_pts is None:
            self._held.append(frame)
            if len(self._held) < self._proof.reorder + 2:
                return
            frames = _with_first_stamp(self._held)
            self._held = []
        else:
            frames = [frame]
        for each in frames:
            self._place(each)

    def audio(self, packet: "Packet[Any]") -> None:
        """One AAC frame. Those from before the first picture are dropped."""
        if self._audio_clock is None or self._origin is None:
            return
        base = packet.time_base
        seconds = packet.pts * base - Fraction(self._origin, VIDEO_RATE) if packet.pts is not None and base else None
        stamp = self._audio_clock.stamp(seconds)
        if stamp is None or stamp < 0:
            return
        if self._init is not None and self._init.audio is None:
            return  # it came after the init was decided without it
        if not self._chunk.audio:
            self._chunk.audio_start = stamp
        self._chunk.audio.append(Sample(bytes(packet), AAC_FRAME, True))

    def _place(self, frame: "_Frame") -> None:
        pts = frame.pts if frame.pts is not None else (self._last_pts or 0) + NOMINAL
        self._last_pts = pts
        stamp = self._clock.stamp(pts)
        if self._origin is None:
            self._origin = stamp.decode - self._timeline.now()
        frame.stamp = Stamp(stamp.decode - self._origin, stamp.offset)
        if self._pending is not None:
            self._add(self._pending, frame.stamp.decode - self._pending.stamp.decode)
            if frame.key or self._chunk.duration >= CHUNK:
                self._cut()
        if frame.key:
            self._note_parameters(frame)
        self._pending = frame

    def _add(self, frame: "_Frame", duration: int) -> None:
        if not self._chunk.video:
            self._chunk.start = frame.stamp.decode
            self._chunk.independent = frame.key
        data = fmp4.length_prefixed(frame.data, parameter_sets=False)
        self._chunk.video.append(Sample(data, duration, frame.key, frame.stamp.offset))
        self._chunk.duration += duration

    def _cut(self) -> None:
        self._waiting.append(self._chunk)
        self._chunk = _Chunk()
        if self._init is None and not self._decide_init():
            return
        for chunk in self._waiting:
            self._send(chunk)
        self._waiting = []

    def _decide_init(self) -> bool:
        heard = any(chunk.audio for chunk in self._waiting)
        if self._audio and not heard:
            if time.monotonic() < self._audio_deadline:
                return False
            self._channel.send(Warned("audio-silent", "The camera declares audio and sends none; the picture plays."))
        self._begin(self._make_init(with_audio=heard))
        return True

    def _begin(self, init: Init) -> None:
        self._init = init
        self._channel.send(InitMade.of(init))

    def _note_parameters(self, frame: "_Frame") -> None:
        """A camera whose parameter sets change (another size, say) gets a new init at that key frame."""
        sets = fmp4.parameter_sets(frame.data)
        if not sets or sets == self._proof.parameter_sets:
            return
        proof = libav.prove_keyframe(self._video, frame.data)
        if proof is None:
            return  # damaged: the next key frame brings them again
        self._proof = proof
        if self._init is not None:
            self._begin(self._make_init(with_audio=self._init.audio is not None))
            self._chunk.discontinuity = True

    def _send(self, chunk: "_Chunk") -> None:
        self._sequence += 1
        data = fmp4.fragment(VIDEO_TRACK, self._sequence, chunk.start, chunk.video)
        if chunk.audio:
            self._sequence += 1
            data += fmp4.fragment(AUDIO_TRACK, self._sequence, chunk.audio_start, chunk.audio)
        self._channel.send(ChunkMade(chunk.start, chunk.duration, chunk.independent, chunk.discontinuity, data))

    def _make_init(self, *, with_audio: bool) -> Init:
        return libav.live_init(self._proof, self._video, self._audio if with_audio else None, VIDEO_RATE)


def _ticks(packet: "Packet[Any]") -> int | None:
    if packet.pts is None or packet.time_base is None:
        return None
    return round(packet.pts * packet.time_base * VIDEO_RATE)


def _with_first_stamp(frames: list[_Frame]) -> list[_Frame]:
    """The first packet of an RTSP stream bears no stamp (measured): it is shown one frame before those that follow."""
    stamps = sorted(frame.pts for frame in frames if frame.pts is not None)
    step = min((b - a for a, b in pairwise(stamps)), default=NOMINAL)
    for frame in frames:
        if frame.pts is None and stamps:
            frame.pts = stamps[0] - step
    return frames
