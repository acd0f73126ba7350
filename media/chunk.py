"""What all media is made of: an init and the chunks that follow it, as immutable bytes."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import sha256


@lru_cache(4096)  # the same few durations again in each playlist, and a fraction is slow to make
def in_seconds(ticks: int, timescale: int) -> Fraction:
    """Ticks as seconds, exact."""
    return Fraction(ticks, timescale)


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """`codec` is an RFC 6381 string (`avc1.64001f`); `timescale` is ticks a second; sizes in pixels as displayed."""

    codec: str
    timescale: int
    width: int
    height: int
    profile: str = ""
    fps: float = 0.0  # frames a second as declared or measured; 0: not known


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """`codec` is an RFC 6381 string (`mp4a.40.2`); `timescale` is ticks a second, the sample rate wherever possible."""

    codec: str
    timescale: int
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Init:
    """`ftyp` + `moov` (ISO/IEC 14496-12) and what they declare. Video is track 1 when there is one, audio the next."""

    data: bytes
    video: VideoTrack | None
    audio: AudioTrack | None

    @cached_property
    def id(self) -> str:
        """Twelve hex characters that stand for these bytes: equal inits have equal ids, also after a restart."""
        return sha256(self.data).hexdigest()[:12]

    @property
    def timescale(self) -> int:
        """Ticks a second of every decode time and duration of the chunks below this init: the video track's."""
        track = self.video or self.audio
        if track is None:
            raise ValueError("an init without a track has no timescale")
        return track.timescale

    @property
    def codecs(self) -> str:
        """The CODECS attribute and the MIME parameter: `avc1.64001f,mp4a.40.2`."""
        return ",".join(track.codec for track in (self.video, self.audio) if track)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One or two movie fragments (`moof` + `mdat`, one a track) that cover one run of decode time.

    `number` counts from 0 and grows by one within a ring. `decode_time` and `duration` are in ticks of `init.timescale`
    and exact: the next chunk of the same run starts at `decode_time + duration`. `independent`: the first video sample
    is a key frame. `discontinuity`: the decode time or the init does not follow from the chunk before.
    """

    number: int
    init: Init
    decode_time: int
    duration: int
    independent: bool
    data: bytes
    discontinuity: bool = False

    @property
    def seconds(self) -> Fraction:
        """The chunk's duration in seconds, exact."""
        return in_seconds(self.duration, self.init.timescale)
