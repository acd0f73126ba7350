"""Feeds a live ring with made-up chunks, for tests that look at numbers and bytes rather than at pictures."""

from dataclasses import dataclass, field
from fractions import Fraction

from media.chunk import AudioTrack, Chunk, Init, VideoTrack
from media.ring import LiveRing

TIMESCALE = 90_000


def an_init(width: int = 640, audio: bool = True) -> Init:
    """An init whose bytes differ with the width; no player would take it."""
    video = VideoTrack("avc1.64001f", TIMESCALE, width, width * 9 // 16, "High", 25.0)
    sound = AudioTrack("mp4a.40.2", 48_000, 48_000, 2) if audio else None
    return Init(f"init of width {width}".encode(), video, sound)


@dataclass
class Feeder:
    """Appends chunks of 0.4 s, a key frame every `per_key` chunks; `skip` leaves a hole in decode time."""

    ring: LiveRing
    init: Init = field(default_factory=an_init)
    decode_time: int = 0
    duration: int = TIMESCALE * 2 // 5
    per_key: int = 5
    payload: int = 100
    fed: int = 0

    def feed(self, chunks: int = 1) -> Chunk:
        """Appends that many; returns the last one."""
        for _ in range(chunks):
            data = f"{self.fed:08d}".encode().ljust(self.payload, b".")
            key = self.fed % self.per_key == 0
            chunk = self.ring.append(self.init, self.decode_time, self.duration, key, data)
            self.decode_time += self.duration
            self.fed += 1
        return chunk

    def feed_until(self, segments: int) -> None:
        """Feeds until that many segments are complete."""
        while sum(segment.complete for segment in self.ring.segments()) < segments:
            self.feed()

    def skip(self, seconds: float) -> None:
        """The source was away: the next chunk does not follow, and starts with a key frame."""
        self.decode_time += int(seconds * TIMESCALE)
        self.fed += -self.fed % self.per_key

    @property
    def seconds(self) -> Fraction:
        """Seconds of media in one chunk."""
        return Fraction(self.duration, TIMESCALE)
