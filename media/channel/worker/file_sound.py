"""Reads a file's sound for the packager: which track, and its frames in slots of equal length."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Final

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from media.channel.worker import file_tracks
from media.codecs import libav
from media.mp4 import aac, opus_packet
from media.mp4.intake import Survey
from media.timing import insync
from media.timing.insync import HALF

TINY: Final = 1e-6  # slots, or what is lost of a number in the arithmetic
_OPUS: Final = ("opus", "libopus")  # by the names of FFmpeg's decoders
_WHOLE: Final = "which is not played as it is; AAC and Opus are."


def pick_audio(container: InputContainer) -> AudioStream | None:
    """The track to be heard; None when none can be decoded.

    The one that the file says is on (14496-12 section 8.3.2, track_enabled), then what browsers play, then the first.
    """
    streams = [one for one in container.streams.audio if file_tracks.has_decoder(one)]
    return min(streams, key=_rank, default=None)


def _rank(audio: AudioStream) -> tuple[bool, bool, int]:
    return not audio.disposition & Disposition.default, bool(why_not_heard(audio)), audio.index


def why_not_heard(audio: AudioStream) -> str:
    """Why the codec of this audio cannot be kept, in a sentence; "" when it can."""
    context = audio.codec_context
    if context.name not in ("aac", *_OPUS) or not context.extradata:
        return f"The file has {libav.name_of(context)}, {_WHOLE}"
    if context.name != "aac":
        return ""
    try:
        config = aac.parse(context.extradata)
    except ValueError:
        return "The configuration of the file's AAC cannot be read."
    if not config.layout:
        return "The file's AAC describes its channels in the stream itself, which browsers do not take."
    if not config.plain:
        return f"The file has AAC of object type {config.kind} in frames of {config.frame} samples, {_WHOLE}"
    if Fraction(config.frame, config.core_rate) > insync.LONGEST_FRAME:
        return _too_long(Fraction(config.frame, config.core_rate))
    return ""


def why_not_copied(fd: int, audio: AudioStream, survey: Survey) -> str:
    """Why this audio cannot be copied: its codec, or one of its frames; "" when it can.

    Reads Opus to its end, for packets of any length may be in it.
    """
    reason = why_not_heard(audio)
    if reason or audio.codec_context.name not in _OPUS:
        return reason
    with file_tracks.open_container(fd, survey, unseen=True) as container:
        found = file_tracks.packets(container, container.streams[audio.index], survey)
        lengths = {opus_packet.samples(bytes(packet)) for packet in found}
    if len(lengths) != 1 or 0 in lengths:
        return "The file's Opus has packets of several lengths, which a loop cannot repeat in step."
    seconds = Fraction(lengths.pop(), opus_packet.RATE)
    return _too_long(seconds) if seconds > insync.LONGEST_FRAME else ""


def _too_long(seconds: Fraction) -> str:
    return f"Each frame of the file's audio lasts {float(1000 * seconds):.3g} ms: too long to be repeated in step."


@dataclass(frozen=True, slots=True)
class SoundFrame:
    """One coded frame; `at` is when it sounds, in seconds of the file's own time."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioForm:
    """The frames of an audio track: `frame` samples each at `rate`, and how a silent one is made (it may fault)."""

    rate: int
    frame: int
    silence: Callable[[], bytes]


def audio_form(stream: AudioStream, first: bytes) -> AudioForm:
    """The form of a track that is kept; `first` is one of its frames. Raises `ValueError` for an AAC that cannot be
    read.
    """
    context = stream.codec_context
    if context.name == "aac":
        config = aac.parse(context.extradata or b"")
        rate = context.sample_rate
        return AudioForm(rate, config.frame * rate // config.core_rate, lambda: libav.silent_aac(config))
    layout, frame = context.layout.name, opus_packet.samples(first) or 960
    return AudioForm(opus_packet.RATE, frame, lambda: libav.silent_opus(layout, frame))


class AudioSlots:
    """The audio frames of one round in consecutive slots from its start; a slot for which the file has no frame is
    silent.

    Slot 0 is the frame that sounds when the first picture is shown (at `start` seconds), or the nearest to it. `phase`
    is how much later than the picture it begins, in samples. It may be negative, but no less than `-lead` seconds,
    since nothing is decoded before time 0. `frame` is samples in a slot.
    """

    def __init__(self, form: AudioForm, sounds: Iterator[SoundFrame], start: Fraction, lead: Fraction = HALF) -> None:
        self._form = form
        self.rate = form.rate
        self.frame = form.frame
        self.filled = 0  # slots that were silent for want of a frame
        self._limit = min(1.0, max(0.5, float(insync.FARTHEST) * form.rate / form.frame - 0.5))  # slots
        self._taken = 0
        self._silence = b""
        self._phase = 0.0  # in slots
        self._sounds = self._placed(sounds, float(start))
        self._next = next(self._sounds, None)
        if self._next is not None:
            position, data = self._next
            self._phase = position - floor(position + 0.5)
            if self._phase < -float(lead) * self.rate / self.frame - TINY:
                self._phase += 1
            self._next = position - self._phase, data

    @property
    def phase(self) -> int:
        """How much later than the picture slot 0 begins, in samples."""
        return round(self._phase * self.frame)

    def take(self, end: int) -> list[bytes]:
        """The frames of the slots from the last `end` (at first 0) up to and without this one."""
        frames = []
        while self._taken < end:
            gap = self._gap()
            while gap < 0:  # together with the one before
                self._next = next(self._sounds, None)
                gap = self._gap()
            fill = min(gap, end - self._taken)
            frames += [self._silent() for _ in range(fill)]
            self.filled += fill
            self._taken += fill
            if self._next is not None and self._taken < end:
                frames.append(self._next[1])
                self._next = next(self._sounds, None)
                self._taken += 1
        return frames

    def _gap(self) -> int:
        """How many slots are to be filled before the next frame; all that are left when there is none."""
        if self._next is None:
            return 1 << 62
        return insync.gap(self._next[0], self._taken, self._limit)

    def left_over(self) -> float:
        """Seconds for which the file's audio goes on behind the slots that were taken. Reads it to its end."""
        last = self._next
        for last in self._sounds:  # noqa: B007 - the last one is wanted
            pass
        return (last[0] - self._taken + 1) * self.frame / self.rate if last else 0.0

    def _placed(self, sounds: Iterator[SoundFrame], start: float) -> Iterator[tuple[float, bytes]]:
        """Each frame with the slot that it sounds in, to a fraction; from the first slot on."""
        slots = self.rate / self.frame  # a second
        for sound in sounds:
            position = (sound.at - start) * slots - self._phase
            if position >= -0.5:
                yield position, sound.data

    def _silent(self) -> bytes:
        self._silence = self._silence or self._form.silence()
        return self._silence


def sounds(container: InputContainer, stream: AudioStream, survey: Survey) -> Iterator[SoundFrame]:
    """Every frame that the file's edit list leaves, with its presentation time."""
    base = stream.time_base
    assert base is not None
    up, down = base.as_integer_ratio()  # fractions are slow, and this is done for every frame
    for packet in file_tracks.packets(container, stream, survey):
        if packet.pts is not None and not packet.is_discard:
            yield SoundFrame(packet.pts * up / down, bytes(packet))


def repeated(source: Iterator[SoundFrame], start: Fraction, length: Fraction, times: int) -> Iterator[SoundFrame]:
    """The sounds of a file that is several times in its round: those from `start` on for `length` seconds, each
    time.
    """
    kept = [sound for sound in source if start - Fraction(1, 50) <= sound.at < start + length]
    for number in range(times):
        for sound in kept:
            yield SoundFrame(sound.at + float(number * length), sound.data)
