"""Cuts a live camera's packets into chunks below the right init."""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from av.packet import Packet
from av.video.stream import VideoStream

from media.chunk import Init
from media.codecs import libav
from media.codecs.aac_encoder import CameraSound
from media.codecs.early_sound import EarlySound
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, WarningRaised
from media.timing.cadence import Cadence
from media.timing.clock import NOMINAL, VIDEO_RATE, AudioClock, RateKeeper, StampMapper, VideoClock
from media.timing.togetherness import SoundOffset

CHUNK: Final = VIDEO_RATE * 33 // 100  # ticks: what a chunk lasts, in whole frames and evenly divided (Cadence)
AUDIO_WAIT: Final = 1.5  # seconds that declared audio may take to come before the picture goes without it
AUDIO_SWITCH: Final = 60.0  # seconds between two changes of mind about audio, each a discontinuity
LARGE_CHUNK: Final = 6 * 1024 * 1024  # bytes after which a chunk is cut before its time
LARGEST_FRAME: Final = (
    8 * 1024 * 1024
)  # bytes: with a large chunk it still fits into one message (media.process.framing)
UNSTAMPED: Final = 4  # first frames without a stamp for which one with a stamp is waited for
LONG_GOP: Final = 4.0  # seconds between key frames over which viewers wait and segments grow


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where a stream's decode times come from: seconds of CLOCK_MONOTONIC since `epoch`, and never under `not_before`.

    The gateway hands the same epoch to every worker of a stream, so a reconnect goes on in time and leaves a gap as
    long as the camera was away.
    """

    epoch: float
    not_before: float

    def now(self) -> int:
        """This moment in video ticks of the stream's timeline."""
        return round(max(time.monotonic() - self.epoch, self.not_before) * VIDEO_RATE)


@dataclass(slots=True)
class _Frame:
    """One video frame on its way into a chunk."""

    data: bytes
    key: bool
    pts: int | None
    arrival: float
    decode: int = 0  # ticks of the stream's timeline
    offset: int = 0  # ticks from there to when it is shown


@dataclass(slots=True)
class _Chunk:
    """What has been gathered for one chunk; times in ticks of each track."""

    start: int = 0
    duration: int = 0
    independent: bool = False
    discontinuity: bool = False
    size: int = 0  # bytes of video
    video: list[Sample] = field(default_factory=list)
    audio_start: int = 0
    audio: list[Sample] = field(default_factory=list)


class Cutter:
    """Takes packets in the order in which they come; sends `InitMade` and `ChunkMade`.

    The first video packet is a key frame that was proven to decode. An init is decided with the first chunk: declared
    audio that has not come within `AUDIO_WAIT` seconds by then is left out of it, with a warning. Audio that comes or
    goes later gets a new init at a key frame, as do other parameter sets (another size, say).
    """

    def __init__(
        self,
        channel: GatewaySocket,
        video: VideoStream,
        sound: CameraSound | None,
        proof: libav.Proof,
        timeline: "Epoch",
    ) -> None:
        self._channel = channel
        self._video = video
        self._codec = libav.codec_of(video)
        self._sound = sound
        self._proof = proof
        self._timeline = timeline
        self._heard_at = self._switched_at = float("-inf")
        self._audio_deadline = time.monotonic() + AUDIO_WAIT
        self._init: Init | None = None
        self._usual = round(VIDEO_RATE / proof.fps) if proof.fps else NOMINAL  # ticks that a frame is said to last
        self._mapper = StampMapper(nominal=self._usual)
        self._keeper = RateKeeper(reorders=proof.reorder > 0)
        self._clock = VideoClock(proof.reorder, self._usual)
        self._shift = 0  # what `_keeper` has added to the camera's clock, in video ticks
        self._base: tuple[int, int] | None = None  # the camera's time base: PyAV makes a fraction each time
        self._audio_mapper: StampMapper | None = None
        self._early = EarlySound()  # what has come before the first picture has its place
        self._sound_offset = SoundOffset()
        self._audio_rate = 0  # of the camera's audio stamps, ticks a second
        self._audio_clock = AudioClock(sound.stream.codec_context.sample_rate, sound.samples) if sound else None
        self._held: list[_Frame] = []  # the first frames, until the unstamped one among them can be placed
        self._placed = False
        self._origin: int | None = None  # what the camera's stamps are off the stream's timeline, in video ticks
        self._pending: _Frame | None = None  # its duration is known when the next one comes
        self._chunk = _Chunk()
        self._cadence = Cadence(CHUNK)
        self._audio_next = 0  # where the last audio sample of the chunk ends
        self._waiting: list[_Chunk] = []  # chunks cut before the init was decided
        self._sequence = 0
        self._key_at: int | None = None
        self.gop: float | None = None  # seconds between the last two key frames

    @property
    def left(self) -> float:
        """Seconds from the newest picture to the one that ends the chunk under way."""
        return self._cadence.left / VIDEO_RATE

    def describe(self) -> dict[str, Any]:
        """What is known before the first chunk is out: `video` and `audio` as in `InitMade`, and how audio is made."""
        init = self._make_init(with_audio=self._sound is not None)
        made = InitMade.of(init)
        reason = self._sound.reason if self._sound else None
        mode = {"mode": "transcode", "reason": reason} if reason else None
        return {"video": made.video, "audio": made.audio, "audioMode": mode}

    def video(self, packet: "Packet[Any]") -> None:
        """Takes one frame in Annex B form, or what is missing of the one before. Raises `Fault` for a frame too
        large.
        """
        frame = _Frame(bytes(packet), packet.is_keyframe, self._ticks(packet), time.monotonic())
        before = self._held[-1] if self._held else self._pending
        if before is not None and fmp4.goes_on(frame.data, self._codec):
            before.data += frame.data
            before.pts = frame.pts if before.pts is None else before.pts
            frame = before
        if len(frame.data) > LARGEST_FRAME:
            raise Fault("limits-exceeded", f"The camera sends a frame of over {LARGEST_FRAME} bytes.", "live")
        if frame is before:
            return
        if self._placed:
            self._place(frame)
            return
        self._held.append(frame)
        # One stamp tells no duration: where nothing else does, another frame is waited for.
        wanted = self._proof.reorder + (2 if self._proof.fps else 3)
        stamped = frame.pts is not None or len(self._held) == wanted + UNSTAMPED
        if len(self._held) >= wanted and stamped:
            for each in _with_first_stamps(self._held, self._usual):
                self._place(each)
                self._hear_early(each)
            self._held, self._placed = [], True

    def _ticks(self, packet: "Packet[Any]") -> int | None:
        if self._base is None:
            base = packet.time_base or Fraction(1, VIDEO_RATE)
            self._base = base.numerator * VIDEO_RATE, base.denominator
        pts = packet.pts
        if pts is None:
            return None
        # Rounded, in whole numbers: this is done for every frame, and fractions are slow.
        return (2 * pts * self._base[0] + self._base[1]) // (2 * self._base[1])

    def audio(self, packet: "Packet[Any]") -> None:
        """Takes one packet of sound. It is kept until the first picture has its place, which may take two pictures."""
        if self._sound is None:
            return
        self._heard_at = time.monotonic()
        if self._origin is None:
            self._early.keep(packet, self._heard_at)
        else:
            self._take_sound(packet, self._audio_seconds(packet, self._heard_at))

    def _hear_early(self, first: "_Frame") -> None:
        """Takes the sound that was kept; what is before the first picture is dropped."""
        for packet, arrival in self._early.taken():
            seconds = self._audio_seconds(packet, arrival)
            if seconds is not None and seconds * VIDEO_RATE >= first.decode:
                self._take_sound(packet, seconds)

    def _take_sound(self, packet: "Packet[Any]", seconds: float | None) -> None:
        if self._sound is None or self._audio_clock is None:
            return
        try:
            for frame in self._sound.frames(packet, seconds):
                self._hear(frame.data, self._audio_clock.stamp(frame.seconds), self._sound.samples)
        except ValueError as error:
            self._sound = None
            self._channel.send(WarningRaised("audio-unsupported", f"The camera's audio is left out: {error}."))

    def _audio_seconds(self, packet: "Packet[Any]", arrival: float) -> float | None:
        """When the packet sounds, on the stream's timeline; None when the camera does not say."""
        if packet.pts is None or self._origin is None:
            return None
        if self._audio_mapper is None:
            if not packet.time_base:
                return None
            self._audio_rate = round(1 / packet.time_base)
            self._audio_mapper = StampMapper(self._audio_rate, self._audio_rate // 50)
        pts = self._audio_mapper.map(packet.pts, arrival)
        return self._beside_picture(pts / self._audio_rate + (self._shift - self._origin) / VIDEO_RATE, arrival)

    def _beside_picture(self, seconds: float, arrival: float) -> float:
        """The time of a packet of sound on the stream's timeline, near the picture with which it came."""
        if self._pending is None:
            return seconds
        since = arrival - self._pending.arrival
        corrected = self._sound_offset.corrections
        placed = self._sound_offset.place(seconds, self._pending.decode / VIDEO_RATE, since)
        if not corrected and self._sound_offset.corrections:
            detail = "The camera puts its sound seconds away from the picture; it is played with what it arrives with."
            self._channel.send(WarningRaised("sound-misplaced", detail))
        return placed

    def _hear(self, data: bytes, stamp: int | None, samples: int) -> None:
        if stamp is None or stamp < 0 or (self._init is not None and self._init.audio is None):
            return
        chunk = self._chunk
        if not chunk.audio:
            chunk.audio_start = stamp
        elif stamp != self._audio_next:  # the sample before lasts until here, so that the sums stay exact
            last = chunk.audio[-1]
            chunk.audio[-1] = last._replace(duration=max(1, last.duration + stamp - self._audio_next))
        chunk.audio.append(Sample(data, samples, True))
        self._audio_next = stamp + samples

    def _place(self, frame: "_Frame") -> None:
        jumps = self._mapper.jumps
        mapped = self._mapper.map(frame.pts, frame.arrival)
        if self._mapper.jumps > jumps:
            self._channel.send(
                WarningRaised("clock-jumped", "The camera's clock was set anew; the stream went on without.")
            )
        kept = self._keeper.keep(mapped, frame.arrival)
        self._shift = kept - mapped
        stamp = self._clock.stamp(kept)
        if self._origin is None:
            self._origin = stamp.decode - self._timeline.now()
        frame.decode, frame.offset = stamp.decode - self._origin, stamp.offset
        if self._pending is not None:
            self._add(self._pending, frame.decode - self._pending.decode)
            if frame.key or self._cadence.full or self._chunk.size >= LARGE_CHUNK:
                self._cut()
        if frame.key:
            self._note_key(frame)
        self._pending = frame

    def _note_key(self, frame: "_Frame") -> None:
        self._cadence.key()
        if self._key_at is not None:
            self.gop = round((frame.decode - self._key_at) / VIDEO_RATE, 3)
            if self.gop > LONG_GOP:
                detail = (
                    f"The camera's key frames are {self.gop:g} s apart: viewers wait that long; 1 to 2 s are usual."
                )
                self._channel.send(WarningRaised("long-gop", detail))
        self._key_at = frame.decode
        if self._keeper.drifting:
            detail = f"The camera's clock is off by {self._keeper.error:.1%}; the stream is held to real time."
            self._channel.send(WarningRaised("clock-drift", detail))
        self._note_parameters(frame)
        self._review_sound()

    def _add(self, frame: "_Frame", duration: int) -> None:
        if not self._chunk.video:
            self._chunk.start = frame.decode
            self._chunk.independent = frame.key
        data = fmp4.length_prefixed(frame.data, self._codec, parameter_sets=False)
        if frame.key:
            data = fmp4.prefixed(self._proof.parameter_sets) + data
        self._chunk.size += len(data)
        self._chunk.video.append(Sample(data, duration, frame.key, frame.offset))
        self._chunk.duration += duration
        self._cadence.add(duration)

    def _cut(self) -> None:
        self._waiting.append(self._chunk)
        self._chunk = _Chunk()
        self._cadence.cut()
        if self._init is None and not self._decide_init():
            return
        for chunk in self._waiting:
            self._send(chunk)
        self._waiting = []

    def _decide_init(self) -> bool:
        heard = any(chunk.audio for chunk in self._waiting)
        if self._sound and not heard:
            if time.monotonic() < self._audio_deadline:
                return False
            self._tell_silence()
        self._begin(self._make_init(with_audio=heard))
        return True

    def _review_sound(self) -> None:
        """Takes audio that came late into the init, and audio that has stopped out of it, at this key frame.

        A browser stalls where an init promises audio that does not come.
        """
        if self._init is None:
            return
        now = time.monotonic()
        sounding = self._sound is not None and now - self._heard_at < AUDIO_WAIT
        if sounding is (self._init.audio is not None) or now - self._switched_at < AUDIO_SWITCH:
            return
        self._switched_at = now
        if not sounding:
            self._tell_silence()
        self._begin(self._make_init(with_audio=sounding))
        self._chunk.discontinuity = True

    def _tell_silence(self) -> None:
        self._channel.send(
            WarningRaised("audio-silent", "The camera declares audio and sends none; the picture plays.")
        )

    def _begin(self, init: Init) -> None:
        self._init = init
        self._channel.send(InitMade.of(init))

    def _note_parameters(self, frame: "_Frame") -> None:
        """Makes a new init at this key frame if the camera's parameter sets have changed (another size, say)."""
        sets = fmp4.parameter_sets(frame.data, self._codec)
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
        data = fmp4.fragment(fmp4.VIDEO_TRACK, self._sequence, chunk.start, chunk.video)
        if chunk.audio:
            self._sequence += 1
            data += fmp4.fragment(fmp4.AUDIO_TRACK, self._sequence, chunk.audio_start, chunk.audio)
        self._channel.send(ChunkMade(chunk.start, chunk.duration, chunk.independent, chunk.discontinuity, data))

    def _make_init(self, *, with_audio: bool) -> Init:
        audio = self._sound.stream if self._sound and with_audio else None
        return libav.live_init(self._proof, self._video, audio, VIDEO_RATE)


def _with_first_stamps(frames: list[_Frame], usual: int) -> list[_Frame]:
    """Gives a time stamp to the first packets, which bear none: they are shown one frame before those that follow.

    The first packet of an RTSP stream bears none (measured), and neither does the first one after FFmpeg has been kept
    waiting. So there are two where a camera is slow to begin.
    """
    stamps = sorted(frame.pts for frame in frames if frame.pts is not None)
    step = min((b - a for a, b in pairwise(stamps)), default=usual)
    unstamped = [frame for frame in frames if frame.pts is None]
    for back, frame in enumerate(reversed(unstamped), 1):
        frame.pts = stamps[0] - step * back if stamps else None
    return frames
