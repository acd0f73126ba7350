"""HLS playlists (RFC 8216; low latency: draft-pantos-hls-rfc8216bis) of fragmented MP4, from what a ring holds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Final

from media.chunk import Init
from media.ring import Segment
from media.watch.parts import LowLatency, Part

VERSION: Final = 6  # EXT-X-MAP in a playlist that is not one of I-frames only (RFC 8216, section 7)
GAP_VERSION: Final = 8  # EXT-X-GAP, which older clients ignore (rfc8216bis, section 8)
LOW_LATENCY_VERSION: Final = 9  # EXT-X-SKIP (rfc8216bis, section 8)
HOLD_BACK: Final = 3  # part targets from the live edge where players stay (rfc8216bis, 4.4.3.8: at least 2, better 3)
SKIP_UNTIL: Final = 6  # target durations from the live edge that a delta update lists (4.4.3.8: at least 6)
SHORTEST_WINDOW: Final = 3  # target durations that a live playlist lists at least (RFC 8216, section 6.2.2)
MIME: Final = "application/vnd.apple.mpegurl"
_ADDRESS: Final = re.compile(r'^[^#\n]+$|(?<=[:,]URI=")[^"]+', re.MULTILINE)


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


def window(segments: Sequence[Segment], discontinuities: int, count: int, target_duration: int = 0) -> Window:
    """The newest `count` complete segments of a ring's `segments` and `discontinuities`.

    More if they would last less than three target durations, as long as there are any.
    """
    complete = [segment for segment in segments if segment.complete]
    first = max(0, len(complete) - count)
    ticks: dict[int, int] = {}  # by timescale: whole numbers add up faster than fractions
    for segment in complete[first:]:
        ticks[segment.init.timescale] = ticks.get(segment.init.timescale, 0) + segment.duration
    lasting = sum((Fraction(count, timescale) for timescale, count in ticks.items()), Fraction(0))
    while first > 0 and lasting < SHORTEST_WINDOW * target_duration:
        first -= 1
        lasting += complete[first].seconds
    passed = sum(segment.discontinuity for segment in complete[:first])
    return Window(tuple(complete[first:]), discontinuities + passed)


def segment_name(segment: Segment) -> str:
    """The relative URI of a segment.

    The query keeps caches from mixing up the segments of one number before and after a restart.
    """
    return f"segment-{segment.msn}.m4s?t={round(segment.wall * 1000)}"


def part_name(number: int, token: str) -> str:
    """The relative URI of a part, by the number of its chunk; it is known before the part exists."""
    return f"part-{number}.m4s?s={token}"


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


def media_playlist(
    listed: Window, target_duration: int, ended: bool, low: LowLatency | None = None, skip: bool = False
) -> str:
    """The media playlist of what is listed, a low-latency one with `low`.

    An `ended` one carries EXT-X-ENDLIST: no client asks for it again. `skip` asks for a delta update, which leaves out
    what is older than the skip boundary.
    """
    skipped = _skipped(listed, low, target_duration) if low and skip else 0
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_version(listed, low)}", f"#EXT-X-TARGETDURATION:{target_duration}"]
    if low:
        lines += _server_control(low, target_duration)
    if listed.segments:
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{listed.segments[0].msn}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{listed.discontinuities}")
    segments = [*listed.segments, *([low.opened] if low and low.opened else [])]
    if all(segment.independent for segment in segments):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    init: Init | None = segments[skipped - 1].init if skipped else None
    for segment in segments[skipped:]:
        parts = low.parts.get(segment.msn, ()) if low else ()
        lines += _opening(segment, new_init=init is None or segment.init.id != init.id)
        lines += [_part_line(part, low.token) for part in parts] if low else []
        lines += _closing(segment) if segment.complete else []
        init = segment.init
    if low:
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{part_name(low.hint, low.token)}"')
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def carrying(text: str, query: str) -> str:
    """The playlist with `query` (`token=x`) at the end of every address in it: lines that are no tag, and `URI`s."""
    return _ADDRESS.sub(lambda found: f"{found[0]}{'&' if '?' in found[0] else '?'}{query}", text)


def bandwidth(pieces: Sequence[tuple[int, Fraction]], target_duration: int) -> Bandwidth:
    """Measures consecutive segments, each `(bytes, seconds)`.

    The peak is that of any contiguous run that lasts 0.5 to 1.5 target durations, as RFC 8216, section 4.3.4.2, defines
    it; where no run does, the average stands in.
    """
    seconds = sum((length for _, length in pieces), Fraction(0))
    if not seconds:
        return Bandwidth(1, 1)  # BANDWIDTH is required, and clients divide by it
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


def _version(listed: Window, low: LowLatency | None) -> int:
    if low:
        return LOW_LATENCY_VERSION
    return GAP_VERSION if any(segment.gap for segment in listed.segments) else VERSION


def _server_control(low: LowLatency, target_duration: int) -> list[str]:
    hold_back, until = _decimal(HOLD_BACK * low.target), _decimal(Fraction(SKIP_UNTIL * target_duration))
    return [
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back},CAN-SKIP-UNTIL={until}",
        f"#EXT-X-PART-INF:PART-TARGET={_decimal(low.target)}",
    ]


def _skipped(listed: Window, low: LowLatency, target_duration: int) -> int:
    """How many segments end before the skip boundary."""
    after = low.opened.seconds if low.opened else Fraction(0)
    for index in range(len(listed.segments) - 1, -1, -1):
        if after >= SKIP_UNTIL * target_duration:
            return index + 1
        after += listed.segments[index].seconds
    return 0


def _opening(segment: Segment, new_init: bool) -> list[str]:
    lines = ["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []
    if new_init:
        lines.append(f'#EXT-X-MAP:URI="{init_name(segment.init)}"')
    return [*lines, f"#EXT-X-PROGRAM-DATE-TIME:{_timestamp(segment.wall)}"]


def _part_line(part: Part, token: str) -> str:
    independent = ",INDEPENDENT=YES" if part.independent else ""
    return f'#EXT-X-PART:DURATION={_decimal(part.seconds)},URI="{part_name(part.number, token)}"{independent}'


def _closing(segment: Segment) -> list[str]:
    gap = ["#EXT-X-GAP"] if segment.gap else []
    return [*gap, f"#EXTINF:{_decimal(segment.seconds)},", segment_name(segment)]


@lru_cache(8192)  # the same segments again in each load of a playlist
def _timestamp(wall: float) -> str:
    return (
        datetime.fromtimestamp(round(wall * 1000) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _decimal(seconds: Fraction) -> str:
    return _written(*seconds.as_integer_ratio())


@lru_cache(4096)  # the same few durations again in each playlist
def _written(over: int, under: int) -> str:
    # Microseconds: a day of segments adds up to less than a frame of error, and a float never rounds on the way.
    whole, rest = divmod((2_000_000 * over + under) // (2 * under), 1_000_000)
    return f"{whole}.{rest:06d}"
