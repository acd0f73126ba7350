"""The transcoder's worker: another stream's chunks in, frames with a watermark out, as chunks of its own."""

import os
import time
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from av.video.frame import VideoFrame

from media.codecs.cutter import CHUNK, Epoch
from media.codecs.h264_encoder import Encoder, EncoderRate, PictureForm
from media.effects.overlay import TICKS, Mark, Overlay
from media.effects.upright import Upright
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Order, PhaseReached, Stats, TaskProgress, TaskReady
from media.timing.cadence import Cadence
from media.timing.clock import VIDEO_RATE
from media.timing.pace import Pace
from media.transcoding.worker.ring_source import Coded, Fed, Heard, Input

NICE: Final = 5  # a worker that encodes has less priority than those that only copy
STATS_EVERY: Final = 1.0  # seconds
FARTHEST: Final = 60 * VIDEO_RATE  # ticks ahead of now that a gap of the source may reach; beyond, its clock has jumped
USUAL_FPS: Final = 30.0  # for a source that does not say


@dataclass(frozen=True, slots=True)
class Spec:
    """What the output is to be: sides in pixels and frames a second (None: the source's), bits a second (None: by
    size), and seconds between key frames.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    bitrate: int | None = None
    key_every: float = 2.0


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """The task of a worker, until the gateway says stop.

    Down come `InitMade` and `ChunkMade` of the source and `Order`s: `{"mark": ..., "number": n}`. Up go `TaskProgress`:
    `{"used": chunks}` for each chunk that is used up and `{"shown": n}` once a frame with order `n` is encoded.
    """
    os.nice(NICE)
    timeline = Epoch(spec["epoch"], spec["notBefore"])
    transcoder = Transcoder(channel, Spec(**spec["encoder"]), timeline)
    transcoder.order({"mark": spec["mark"], "number": 0})
    channel.send(PhaseReached("waiting-keyframe"))
    transcoder.run()


class Transcoder:
    """Decodes, marks and encodes one frame after another, evenly in time.

    It begins at a key frame of the source's past and catches up at once; what comes late makes the rest later, a little
    less with each chunk. So there nearly always is a next frame on which a changed watermark can be shown.
    """

    def __init__(self, channel: GatewaySocket, spec: Spec, timeline: Epoch) -> None:
        self._channel = channel
        self._spec = spec
        self._upright = Upright(1)
        self._overlay = Overlay(spec.width, spec.height, square=bool(spec.width or spec.height))
        self._fed = Fed()
        self._writer = Writer(channel, spec, timeline, self._fed.audio)
        self._inputs: deque[tuple[int, Input]] = deque()  # the frame from whose number on it holds
        self._input: Input | None = None
        self._taken = self._given = 0  # frames fed and frames decoded
        self._pace = Pace()
        self._base = 0.0  # the clock at the source's time zero
        self._evenly_from = 0  # the frame from which on times follow one another; what is before it goes at once
        self._scale = VIDEO_RATE  # ticks a second of what is fed
        self._ends = -1  # ticks, of what was fed
        self._order: int | None = None
        self._used = 0
        self._meter = _Meter()

    def run(self) -> None:
        while not self._channel.stopping:
            message = self._channel.receive(self._wait())
            match message:
                case InitMade():
                    source = Input(message.init())
                    self._scale = source.scale
                    self._inputs.append((self._taken, source))
                case ChunkMade():
                    self._feed(message)
                case Order(info):
                    self.order(info)
                case None if self._fed.frames and time.monotonic() >= self._due():
                    self._step()
            self._meter.tell(
                self._channel, max(0.0, self._lag() - CHUNK / VIDEO_RATE), self._input.damaged if self._input else 0
            )

    def order(self, info: dict[str, Any]) -> None:
        """Shows another watermark, or none, from the next frame on. One that cannot be read changes nothing."""
        try:
            self._overlay.show(Mark.stored(info["mark"]))
        except Fault as fault:
            told = {"code": fault.code, "detail": fault.detail, "phase": fault.phase}
            self._channel.send(TaskProgress({"refused": info["number"], **told}))
            return
        self._order = info["number"]

    def _feed(self, chunk: ChunkMade) -> None:
        if chunk.discontinuity or chunk.decode_time != self._ends:
            self._pace.forget()
            self._evenly_from = self._taken
        self._ends = chunk.decode_time + chunk.duration
        begins, lasts = chunk.decode_time / self._scale, chunk.duration / self._scale
        self._base = self._pace.arrived(begins, lasts, time.monotonic())
        before = len(self._fed.frames)
        self._fed.feed(chunk)
        self._taken += len(self._fed.frames) - before

    def _due(self) -> float:
        """The time at which the next frame is due, on the clock."""
        if self._given < self._evenly_from:
            return 0.0
        return self._base + self._fed.frames[0].decode / self._scale

    def _wait(self) -> float:
        """Seconds until the next frame is due; a moment when there is none."""
        if not self._fed.frames:
            return STATS_EVERY / 2
        return min(STATS_EVERY / 2, max(0.0, self._due() - time.monotonic()))

    def _lag(self) -> float:
        scale = self._input.scale if self._input else VIDEO_RATE
        return self._fed.backlog / scale

    def _step(self) -> None:
        """Takes one coded frame."""
        coded = self._fed.frames.popleft()
        if self._inputs and self._inputs[0][0] <= self._given:
            if self._input is not None:
                for frame in self._input.flush():
                    self._picture(frame)
            self._input = self._inputs.popleft()[1]
            self._upright = Upright(self._input.orientation)
            self._overlay.shape(self._input.aspect)
            coded = replace(coded, breaks=True)
        self._given += 1
        source = self._input
        if source is None:
            raise Fault("internal", "A chunk came before its init.", "decoding")
        if coded.breaks:
            for frame in source.flush():
                self._picture(frame)
            self._writer.break_at(source, coded)
        for frame in source.decode(replace(coded, breaks=False)):
            self._picture(frame)
        if coded.last:
            self._used += 1
            self._channel.send(TaskProgress({"used": self._used}))

    def _picture(self, frame: VideoFrame) -> None:
        """Writes one decoded frame to the output."""
        stamp = self._writer.stamp(frame)
        if stamp is None:
            return
        frame.pts, frame.time_base = stamp, TICKS
        made = self._overlay.apply(self._upright.apply(frame))
        self._writer.write(made)
        self._meter.frames += 1
        if self._order is not None:
            self._channel.send(TaskProgress({"shown": self._order}))
            self._order = None


class Writer:
    """Encodes frames and cuts them into chunks on the output's own timeline and grid of key frames."""

    def __init__(self, channel: GatewaySocket, spec: Spec, timeline: Epoch, audio: deque[Heard]) -> None:
        self._channel = channel
        self._spec = spec
        self._timeline = timeline
        self._audio = audio  # what was heard so far; used up to the end of each chunk
        self._run = 0
        self._encoder: Encoder | None = None
        self._source: Input | None = None
        self._announced: bytes = b""
        self._ready = False
        self._source_zero = 0  # this time of the source, in its ticks ...
        self._zero = 0  # ... is this time of the output
        self._from = 0  # no audio from before this
        self._end = -1  # the stamp of the last frame
        self._pending: tuple[int, bytes, bool] | None = None
        self._samples: list[Sample] = []
        self._start = 0
        self._duration = 0
        self._cadence = Cadence(CHUNK)
        self._fresh = True  # the next chunk begins a run
        self._key_due = 0
        self._frame = VIDEO_RATE // 25  # the last duration, for a frame that nothing follows
        self._sequence = 0

    def break_at(self, source: Input, first: Coded) -> None:
        """Ends the chunk, since what follows does not follow from what was, and places what comes at this moment."""
        self._finish()
        decode, self._run = first.decode, first.run
        expected = self._source is source and self._end >= 0
        at = self._zero + round(Fraction((decode - self._source_zero) * VIDEO_RATE, source.scale))
        self._source = source
        now = max(self._timeline.now(), self._end + 1)
        # A gap of the source stays a gap; a jump of its clock does not show.
        if not expected or not self._end < at <= now + FARTHEST:
            self._source_zero, self._zero = decode, now
        self._fresh = True
        self._from = self._zero

    def stamp(self, frame: VideoFrame) -> int | None:
        """The place of a decoded frame on the output's timeline; None for one that is left out."""
        source = self._source
        if source is None or frame.pts is None:
            return None
        at = self._zero + round(Fraction((frame.pts - self._source_zero) * VIDEO_RATE, source.scale))
        least = self._end + (VIDEO_RATE / self._spec.fps * 0.9 if self._spec.fps and self._end >= 0 else 1)
        return at if at >= least else None

    def write(self, frame: VideoFrame) -> None:
        """Encodes one marked frame, stamped."""
        source = self._source
        assert source is not None
        assert frame.pts is not None
        stamp = frame.pts
        look = _look(frame, self._aspect(source))
        if self._encoder is None or self._encoder.look != look or self._announced != source.init.data:
            self._renew(look, source)
        assert self._encoder is not None
        key = self._fresh or stamp >= self._key_due
        for at, data, is_key in self._encoder.encode(frame, key=key):
            self._add(at, data, is_key)
        if key:
            every = round(Fraction(self._spec.key_every) * VIDEO_RATE)
            self._key_due = stamp + every if self._fresh else self._key_due + every
            self._fresh = False
        self._end = stamp

    def _aspect(self, source: Input) -> Fraction:
        """The shape of a pixel: the source's, or square where a size is wanted."""
        if self._spec.width or self._spec.height:
            return Fraction(1)
        return source.aspect

    def _renew(self, look: PictureForm, source: Input) -> None:
        """Makes another encoder when the picture has another shape or the audio is another; else the old one goes
        on.
        """
        fps = self._spec.fps or (source.init.video.fps if source.init.video else 0) or USUAL_FPS
        encoder = Encoder(look, EncoderRate(fps, self._spec.bitrate, Fraction(self._spec.key_every)), source.audio)
        self._announced = source.init.data
        if self._encoder is not None and encoder.init.data == self._encoder.init.data and self._encoder.look == look:
            return
        self._finish()
        self._encoder = encoder
        self._fresh = True
        self._channel.send(InitMade.of(encoder.init))
        if not self._ready:
            self._ready = True
            made = InitMade.of(encoder.init)
            self._channel.send(PhaseReached("live"))
            self._channel.send(TaskReady({"video": made.video, "audio": made.audio}))

    def _add(self, stamp: int, data: bytes, key: bool) -> None:
        if self._pending is not None:
            self._close_frame(stamp - self._pending[0])
            if key or self._cadence.full:
                self._cut()
            if key:
                self._cadence.key()
        if not self._samples and self._pending is None:
            self._start = stamp
        self._pending = (stamp, data, key)

    def _close_frame(self, duration: int) -> None:
        assert self._pending is not None
        stamp, data, key = self._pending
        if not self._samples:
            self._start = stamp
        self._samples.append(Sample(data, duration, key))
        self._duration += duration
        self._cadence.add(duration)
        self._frame = duration
        self._pending = None

    def _finish(self) -> None:
        """Ends a run: the last frame lasts as long as the one before it."""
        if self._pending is not None:
            self._close_frame(self._frame)
        if self._samples:
            self._cut()

    def _cut(self) -> None:
        end = self._start + self._duration
        self._sequence += 1
        data = fmp4.fragment(fmp4.VIDEO_TRACK, self._sequence, self._start, self._samples)
        heard = self._heard(end)
        if heard:
            self._sequence += 1
            data += fmp4.fragment(fmp4.AUDIO_TRACK, self._sequence, heard[0].time, [each.sample for each in heard])
        self._channel.send(ChunkMade(self._start, self._duration, self._samples[0].key, False, data))
        self._samples, self._duration = [], 0
        self._cadence.cut()
        self._end = max(self._end, end - 1)

    def _heard(self, end: int) -> list[Heard]:
        """The audio up to `end` of the output, at the output's times. Audio from before the run is dropped."""
        source, audio = self._source, self._audio
        while audio and (audio[0].run < self._run or source is None or not source.audio_rate):
            audio.popleft()
        if source is None or not audio:
            return []
        rate = source.audio_rate
        shift = round(Fraction(self._zero * rate, VIDEO_RATE) - Fraction(self._source_zero * rate, source.scale))
        until = end * rate // VIDEO_RATE
        found: list[Heard] = []
        while audio and audio[0].run == self._run and audio[0].time + shift < until:
            heard = audio.popleft()
            at = heard.time + shift
            if at < self._from * rate // VIDEO_RATE:
                continue
            if found and at != found[-1].time + found[-1].sample.duration:  # a hole: the one before lasts until here
                last = found[-1]
                found[-1] = replace(last, sample=last.sample._replace(duration=max(1, at - last.time)))
            found.append(replace(heard, time=at))
        return found


class _Meter:
    """The heartbeat: once a second, how fast, how far behind, at what cost."""

    def __init__(self) -> None:
        self.frames = 0
        self._at = time.monotonic()
        self._cpu = time.process_time()

    def tell(self, channel: GatewaySocket, lag: float, damaged: int) -> None:
        now, cpu = time.monotonic(), time.process_time()
        elapsed = now - self._at
        if elapsed < STATS_EVERY:
            return
        info = {
            "fps": round(self.frames / elapsed, 2),
            "lag": round(lag, 3),
            "cores": round((cpu - self._cpu) / elapsed, 3),
            "damaged": damaged,
        }
        channel.send(Stats(info))
        self.frames, self._at, self._cpu = 0, now, cpu


def _look(frame: VideoFrame, aspect: Fraction) -> PictureForm:
    colours = (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace))
    return PictureForm(frame.width, frame.height, aspect, *colours)
