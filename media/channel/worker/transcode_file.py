"""The tracks of a file as they will be packaged: copied, or encoded to H.264 and AAC while they are read."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from media.channel.worker import file_sound, file_tracks, splices
from media.channel.worker.file_sound import AudioForm, SoundFrame
from media.channel.worker.file_tracks import FileFrame, Joined
from media.codecs import libav
from media.codecs.sound_line import SoundLine
from media.effects import upright
from media.effects.overlay import Mark, Overlay
from media.effects.upright import Upright
from media.faults import Fault
from media.mp4 import fmp4, moov, picture_boxes
from media.mp4.intake import Survey
from media.mp4.parameter_sets import ParameterSets, with_sizes_of_four
from media.timing.clock import VIDEO_RATE

NICE: Final = 10  # streams that are on air go first
KEY_EVERY: Final = Fraction(2)  # seconds, or a little more
THREADS: Final = 1  # of decoder and encoder together: what `Capacity.reserve_thread` counts on
BURNT_IN: Final = "A watermark is burnt into the picture."
_AUDIO_RATES: Final = (32000, 44100, 48000)
_USUAL_RATE: Final = Fraction(25)
_FRAME: Final = 1024  # samples of an AAC frame
_RGB: Final = 0  # as a colour matrix (ITU-T H.273); YUV has none of its kind
_UNSAID: Final = 2


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why each track cannot stay as it is; "" when it can."""

    video: str
    audio: str

    @property
    def any(self) -> bool:
        """Whether a track has to be encoded."""
        return bool(self.video or self.audio)

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """Track and reason, of each track that has one."""
        return tuple((track, reason) for track, reason in (("video", self.video), ("audio", self.audio)) if reason)


def reasons(container: InputContainer, fd: int, survey: Survey, marked: bool) -> Reasons:
    """Which tracks have to be encoded, and why; with a watermark, always the picture.

    Raises `Fault` as `file_tracks.pick_video` does.
    """
    picture = file_tracks.pick_video(container)
    video = file_tracks.why_not_copied(picture) or splices.why_not_copied(fd, survey, picture)
    audio = file_sound.pick_audio(container)
    heard = file_sound.why_not_copied(fd, audio, survey) if audio is not None else ""
    return Reasons(BURNT_IN if marked else video, heard)


class Tracks:
    """What a package is made of: `init`, and frames and sounds as they are asked for, which is when they are encoded.

    Where the source cannot be read on, they end: `survey.truncated`. Fault: `file-not-media` without a picture. Raises
    `av.FFmpegError` for what FFmpeg cannot write.
    """

    def __init__(self, container: InputContainer, fd: int, survey: Survey, why: Reasons, mark: Mark | None) -> None:
        self._fd = fd
        self._survey = survey
        self._container = container
        self._video = video = file_tracks.pick_video(container)
        self._audio = file_sound.pick_audio(container)
        self.base = Fraction(1, VIDEO_RATE)  # one for all files: FFmpeg's readers keep that of a list's first file
        self._ticks = (video.time_base or self.base) / self.base  # to one of the file's
        self.rate = video.average_rate
        buffer = io.BytesIO()
        self._output = libav.init_writer(buffer, VIDEO_RATE)
        self._pictures = self._sounds = None
        if why.video:
            self._pictures = _Pictures(fd, survey, mark)
            self._pictures.add_to(self._output)
        else:
            libav.copy_track(self._output, video)
        if self._audio is not None and why.audio:
            self._sounds = _Sounds(self._audio)
            self._sounds.add_to(self._output)
        elif self._audio is not None:
            libav.copy_track(self._output, self._audio)
        self._output.start_encoding()
        data = picture_boxes.described(buffer.getvalue(), *self._described())
        self._sets = ParameterSets.declared(data)
        self.init = moov.declared(with_sizes_of_four(data), libav.sane_rate(self.rate))

    def _described(self) -> tuple[Fraction, tuple[bytes, ...]]:
        """The shape of a pixel, where the container says more than the codec; and boxes of the file's sample entry."""
        if self._pictures is not None:
            return self._pictures.aspect, ()
        return self._video.sample_aspect_ratio or Fraction(1), self._survey.pictures.get(self._video.id, ())

    def frames(self) -> Iterator[FileFrame]:
        """The video from its first key frame on, with the parameter sets in the key frames."""
        for frame in self._as_they_come():
            dts, pts, duration = map(self._at, (frame.dts, frame.pts, frame.duration))
            yield FileFrame(self._sets.sample(frame.data, frame.key), frame.key, dts, pts, duration)

    def _at(self, ticks: int) -> int:
        """A time of the file in ours, to the nearest tick."""
        return (2 * ticks * self._ticks.numerator + self._ticks.denominator) // (2 * self._ticks.denominator)

    def _as_they_come(self) -> Iterator[FileFrame]:
        if self._pictures is None:
            return file_tracks.copied_frames(self._fd, self._survey, self._video)
        return self._pictures.frames()

    def longest_segment(self, segment: Fraction) -> float:
        """Seconds between the key frames with which segments will begin that are `segment` long or longer."""
        if self._pictures is not None:
            step = 1 / self._pictures.rate
            return float(ceil(max(segment, KEY_EVERY) / step) * step)
        longest = begun = 0.0
        for at in self._survey.key_times:
            if at - begun >= segment or at == self._survey.key_times[-1]:
                longest, begun = max(longest, at - begun), at
        return max(longest, float(segment))

    def sounds(self) -> Iterator[SoundFrame]:
        """The audio frames. Ask for them once: the container is read for it."""
        audio = self._audio
        if audio is None:
            return iter(())
        if self._sounds is None:
            return file_sound.sounds(self._container, audio, self._survey)
        return self._sounds.sounds(file_tracks.packets(self._container, audio, self._survey))

    def audio_form(self) -> AudioForm | None:
        """How long audio frames are; None without audio. Raises `ValueError` for an AAC that cannot be read."""
        if self._audio is None:
            return None
        return file_sound.audio_form(self._audio if self._sounds is None else self._sounds.track, self._first_sound())

    def _first_sound(self) -> bytes:
        """A frame of the audio, if it is copied and only its frames tell how long they are."""
        if self._audio is None or self._sounds is not None or self._audio.codec_context.name == "aac":
            return b""
        with file_tracks.open_container(self._fd, self._survey, unseen=True) as container:
            found = file_tracks.packets(container, container.streams[self._audio.index], self._survey)
            return next((bytes(packet) for packet in found), b"")

    @property
    def audio_track(self) -> AudioStream | None:
        """The audio as it is packaged: the file's track, or that of the encoder."""
        return self._sounds.track if self._sounds is not None else self._audio


class _Pictures:
    """Any video to H.264 of one size, with a watermark if there is one.

    A matrix that turns the picture is applied; the shape of a pixel, colours and times of frames are kept.
    """

    def __init__(self, fd: int, survey: Survey, mark: Mark | None) -> None:
        self._container = file_tracks.open_container(fd, survey)
        self._source = video = file_tracks.pick_video(self._container)
        self._parts = survey.parts.get(video.id, ())
        video.codec_context.thread_count = THREADS
        video.codec_context.options = {"max_pixels": str(libav.MAX_PIXELS)}
        rate = video.average_rate
        self.rate = rate if rate and 0 < rate <= libav.MAX_RATE else _USUAL_RATE
        self._decoded = self._decode(survey)
        first = next(self._decoded, None)
        if first is None:
            raise Fault("file-not-media", "There is no picture in the file that can be decoded.", "transcoding")
        turned = upright.orientation(first)
        self._upright = Upright(turned)
        self.aspect = upright.shape(video.sample_aspect_ratio or Fraction(1), turned)
        size = Overlay().size(self._upright.apply(first))
        self._overlay = Overlay(*size, aspect=self.aspect)
        self._overlay.show(mark)
        self._first = self._made(first)

    def add_to(self, output: Any) -> None:
        """Adds a track like the encoder's output to `output`."""
        track = output.add_stream("libx264", rate=self.rate)
        assert isinstance(track, VideoStream)
        frame, self._encoder = self._first, track.codec_context
        context = track.codec_context
        context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
        context.time_base = self._source.time_base or 1 / self.rate
        context.thread_count = THREADS
        context.sample_aspect_ratio = self.aspect
        matrix = int(frame.colorspace)
        context.color_range, context.colorspace = 1, _UNSAID if matrix == _RGB else matrix
        context.color_primaries, context.color_trc = int(frame.color_primaries), int(frame.color_trc)
        longest = str(max(2, round(4 * KEY_EVERY * self.rate)))  # the grid of key frames is ours
        context.options = {"preset": "superfast", "crf": "21", "sc_threshold": "0", "g": longest, "forced-idr": "1"}

    def frames(self) -> Iterator[FileFrame]:
        """The encoded frames from the first one on, in decode order."""
        end: int | None = None
        key_due = 0
        every = KEY_EVERY / (self._encoder.time_base or Fraction(1))
        joined = Joined(self._parts, self._source.time_base or Fraction(1))
        frame: VideoFrame | None = self._first
        while frame is not None:
            if frame.pts is not None:
                frame.pts += joined.shift(frame.pts)
            if frame.pts is not None and (end is None or frame.pts > end):
                key = end is None or frame.pts >= key_due
                if key:
                    key_due = ceil(frame.pts + every)
                end = frame.pts
                frame.pict_type = PictureType.I if key else PictureType.NONE
                yield from self._coded(self._encoder.encode(frame))
            decoded = next(self._decoded, None)
            frame = self._made(decoded) if decoded is not None else None
        yield from self._coded(self._encoder.encode(None))

    def _decode(self, survey: Survey) -> Iterator[VideoFrame]:
        context, gone = self._source.codec_context, False
        for packet in file_tracks.packets(self._container, self._source, survey):
            try:
                if gone and packet.is_keyframe and not file_tracks.hidden(packet):  # another part of the edit list
                    yield from filter(_is_shown, context.decode(None))
                    context.flush_buffers()
                gone = file_tracks.hidden(packet)
                yield from filter(_is_shown, context.decode(packet))
            except av.FFmpegError:
                continue  # a damaged picture is left out
        yield from context.decode(None)

    def _made(self, frame: VideoFrame) -> VideoFrame:
        """A decoded frame made upright, marked, in the encoder's size and format, at its own time."""
        pts = frame.pts
        made = self._overlay.apply(self._upright.apply(frame))
        made.pts, made.time_base = pts, self._source.time_base or 1 / self.rate
        return made

    @staticmethod
    def _coded(packets: "list[Packet[Any]]") -> Iterator[FileFrame]:
        for packet in packets:
            data = fmp4.length_prefixed(bytes(packet), parameter_sets=False)
            pts = packet.pts or 0
            yield FileFrame(
                data, packet.is_keyframe, pts if packet.dts is None else packet.dts, pts, packet.duration or 0
            )


def _is_shown(frame: VideoFrame) -> bool:
    """Whether a picture is shown. An edit list puts what only helps to decode the rest before the beginning."""
    return frame.pts is None or frame.pts >= 0


class _Sounds:
    """Any audio to AAC of at most two channels."""

    def __init__(self, source: AudioStream) -> None:
        context = source.codec_context
        self._source = source
        self._rate = context.sample_rate if context.sample_rate in _AUDIO_RATES else 48000
        self._layout = "mono" if context.channels == 1 else "stereo"

    def add_to(self, output: Any) -> None:
        """Adds a track like the encoder's output to `output`."""
        track = output.add_stream("aac", rate=self._rate, layout=self._layout)
        assert isinstance(track, AudioStream)
        track.codec_context.bit_rate = 64_000 if self._layout == "mono" else 128_000
        self.track = track

    def sounds(self, packets: "Iterator[Packet[Any]]") -> Iterator[SoundFrame]:
        """Every frame, at the time at which the samples sound that it decodes to."""
        line = SoundLine(self._rate, self._layout, _FRAME)
        for packet in packets:
            try:
                frames = self._source.codec_context.decode(packet)
            except av.FFmpegError:
                continue  # a damaged frame is silent: the next one's stamp says for how long
            yield from self._coded(line, frames)
        yield from self._coded(line, self._last())
        for piece in line.rest():
            yield from self._stamped(self.track.encode(piece))
        yield from self._stamped(self.track.encode(None))

    def _last(self) -> "list[AudioFrame]":
        """The frames that the decoder still holds."""
        try:
            frames = self._source.codec_context.decode(None)
        except av.FFmpegError:
            return []
        for frame in frames:
            frame.time_base = frame.time_base or self._source.time_base
        return frames

    def _coded(self, line: SoundLine, frames: "list[AudioFrame]") -> Iterator[SoundFrame]:
        for frame in frames:
            for piece in line.pieces(frame):
                yield from self._stamped(self.track.encode(piece))

    def _stamped(self, packets: "list[Packet[Any]]") -> Iterator[SoundFrame]:
        for packet in packets:
            if packet.pts is not None:
                yield SoundFrame(float(packet.pts * (packet.time_base or Fraction(1, self._rate))), bytes(packet))
