"""HLS playlists (RFC 8216) of fragmented MP4, written from what a ring holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Final

from media.chunk import Init
from media.ring import Segment

VERSION: Final = 6  # EXT-X-MAP in a playlist that is not one of I-frames only (RFC 8216, section 7)
MIME: Final = "application/vnd.apple.mpegurl"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bits a second, as EXT-X-STREAM-INF gives them (RFC 8216, section 4.3.4.2)."""

    peak: int
    average: int


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a ring that a playlist lists: complete segments, oldest first.

    `discontinuities` counts the EXT-X-DISCONTINUITY tags before it.
    """

    segments: tuple[Segment, ...]
    discontinuities: int


def window(segments: Sequence[Segment], discontinuities: int, count: int) -> Window:
    """The newest `count` complete segments of a ring's `segments` and `discontinuities`."""
    complete = [segment for segment in segments if segment.complete]
    before, listed = complete[:-count], complete[-count:]
    return Window(tuple(listed), discontinuities + sum(segment.discontinuity for segment in before))


def segment_name(segment: Segment) -> str:
    """The relative URI. The query only tells caches apart the segments of one number before and after a restart."""
    return f"segment-{segment.msn}.m4s?t={round(segment.wall * 1000)}"


def init_name(init: Init) -> str:
    """The relative URI of an init."""
    return f"init-{init.id}.mp4"


def multivariant(init: Init, bandwidth: Bandwidth, independent: bool = True) -> str:
    """The multivariant playlist with the one variant `media.m3u8` (RFC 8216, section 4.3.4)."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    if independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    attributes = [f"BANDWIDTH={bandwidth.peak}", f"AVERAGE-BANDWIDTH={bandwidth.average}", f'CODECS="{init.codecs}"']
    if init.video:
        attributes.append(f"RESOLUTION={init.video.width}x{init.video.height}")
        if init.video.fps > 0:
            attributes.append(f"FRAME-RATE={init.video.fps:.3f}")
    lines += ["#EXT-X-STREAM-INF:" + ",".join(attributes), "media.m3u8"]
    return "\n".join(lines) + "\n"


def media_playlist(listed: Window, target_duration: int, ended: bool) -> str:
    """The media playlist of what is listed. An `ended` one carries EXT-X-ENDLIST: no client asks for it again."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", f"#EXT-X-TARGETDURATION:{target_duration}"]
    if listed.segments:
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{listed.segments[0].msn}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{listed.discontinuities}")
    if all(segment.independent for segment in listed.segments):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    init: Init | None = None
    for segment in listed.segments:
        lines += _segment_lines(segment, new_init=init is None or segment.init.id != init.id)
        init = segment.init
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def bandwidth(pieces: Sequence[tuple[int, Fraction]], target_duration: int) -> Bandwidth:
    """Measures consecutive segments, each `(bytes, seconds)`.

    The peak is that of any contiguous run that lasts 0.5 to 1.5 target durations, as RFC 8216, section 4.3.4.2, defines
    it; where no run does, the average stands in.
    """
    seconds = sum((length for _, length in pieces), Fraction(0))
    if not seconds:
        return Bandwidth(1, 1)  # BANDWIDTH is required, and zero divides by zero in clients
    average = ceil(8 * sum(size for size, _ in pieces) / seconds)
    return Bandwidth(max([average, *_run_rates(pieces, Fraction(target_duration))]), average)


def _run_rates(pieces: Sequence[tuple[int, Fraction]], target: Fraction) -> Iterator[int]:
    for start in range(len(pieces)):
        size, seconds = 0, Fraction(0)
        for piece_size, piece_seconds in pieces[start:]:
            size, seconds = size + piece_size, seconds + piece_seconds
            if seconds > target * 3 / 2:
                break
            if seconds >= target / 2:
                yield ceil(8 * size / seconds)


def _segment_lines(segment: Segment, new_init: bool) -> list[str]:
    lines = ["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []
    if new_init:
        lines.append(f'#EXT-X-MAP:URI="{init_name(segment.init)}"')
    return [
        *lines,
        f"#EXT-X-PROGRAM-DATE-TIME:{_timestamp(segment.wall)}",
        f"#EXTINF:{_decimal(segment.seconds)},",
        segment_name(segment),
    ]


def _timestamp(wall: float) -> str:
    return (
        datetime.fromtimestamp(round(wall * 1000) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _decimal(seconds: Fraction) -> str:
    # Microseconds: a day of segments adds up to less than a frame of error, and a float never rounds on the way.
    microseconds = int(seconds * 1_000_000 + Fraction(1, 2))
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
