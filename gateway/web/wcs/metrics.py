"""The metrics of a stream by the names that WCS's console shows; what is not known is left out."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.web.watch.viewers import Way
from media.mp4.fragments import fragments
from media.ring import Ring
from media.stream import Stream

VIDEO: Final = 1  # the video track of every init
# Ways by which nothing is lost or asked for twice, as TCP sees to that.
WHOLE: Final = frozenset({Way.HLS, Way.MSE, Way.MP4, Way.MJPEG})


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured of the newest whole segment: seconds, frames, bytes, and frames that are shown before one that
    came earlier.
    """

    seconds: float
    frames: int
    size: int
    b_frames: int


async def metrics_of(stream: Stream, way: Way | None = None) -> dict[str, Any]:
    """The metrics of what comes in, or of what a viewer gets `way`.

    Sizes in pixels, VIDEO_RATE in kbit/s, VIDEO_FPS a second; VIDEO_B_FRAMES is of the newest whole segment, VIDEO_LOST
    counts RTP packets.
    """
    record = stream.record()
    video = record.get("video") or {}
    made = {"VIDEO_WIDTH": video.get("width"), "VIDEO_HEIGHT": video.get("height")}
    measured = await _newest(stream.ring) if stream.ring is not None and video else None
    if measured is not None:
        made["VIDEO_RATE"] = round(8 * measured.size / measured.seconds / 1000)
        made["VIDEO_FPS"] = round(measured.frames / measured.seconds, 2)
        made["VIDEO_B_FRAMES"] = measured.b_frames
    if way is None:
        made["VIDEO_LOST"] = record.get("loss") if record.get("transport") == "udp" else 0
        made["VIDEO_NACK"] = 0  # no camera is asked to send something again
    elif way in WHOLE:
        made["VIDEO_LOST"] = made["VIDEO_NACK"] = 0
    return {name: value for name, value in made.items() if value is not None}


async def _newest(ring: Ring) -> _Measured | None:
    """What was measured of the newest whole segment; None while there is none, or when it leaves the ring just now."""
    segment = next((each for each in reversed(ring.segments()) if each.complete and not each.gap), None)
    if segment is None or not segment.seconds:
        return None
    frames = size = b_frames = 0
    latest: int | None = None
    for number in range(segment.first, segment.first + segment.count):
        chunk = await ring.chunk(number)
        if chunk is None:
            return None
        latest = None if chunk.discontinuity else latest
        for fragment in fragments(chunk.data):
            if fragment.track != VIDEO:
                continue
            at = fragment.decode_time
            for sample in fragment.samples:
                shown_at = at + sample.offset
                b_frames += latest is not None and shown_at < latest
                latest = shown_at if latest is None else max(latest, shown_at)
                frames, size, at = frames + 1, size + len(sample.data), at + sample.duration
    return _Measured(float(segment.seconds), frames, size, b_frames)
