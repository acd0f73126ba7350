"""Says whether what a file's edit list leaves of its pictures can be copied, or only be decoded and encoded anew."""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from av.packet import Packet
from av.video.stream import VideoStream

from media.channel.worker import file_tracks
from media.mp4.intake import Survey
from media.mp4.samples import Samples

_BETWEEN: Final = "The file's edit list cuts its picture between key frames, where it cannot be cut without recoding."
_SELDOM: Final = "Its key frames need others before them, but for a few: who comes later could not begin with them."
_FARTHEST: Final = 10  # seconds between two with which viewers and seeking can begin
_HEAD: Final = 2048  # bytes of a key frame in which its first slice nearly always begins
_OPEN: Final = (
    "The picture begins with a key frame of H.264 that needs others before it, so that it cannot be repeated."
)


def why_not_copied(fd: int, survey: Survey, video: VideoStream) -> str:
    """Why the pictures that an edit list leaves cannot be copied, in a sentence; "" when they decode without the
    others.

    `video` is of an open container, which is left alone. The file is read to its end only if there are hidden pictures.
    """
    context = video.codec_context
    samples = Samples(context.name, context.extradata or b"")
    keys, edited = [], (video.start_time or 0) < 0
    for entry in video.index_entries:
        if entry.is_discard:
            edited = True
        if entry.is_keyframe:
            keys.append((entry.timestamp, entry.pos, entry.size))
    if samples.codec == "h264" and keys and (reason := _h264(fd, video, samples, keys)):
        return reason
    return _walked(fd, survey, video, samples) if edited or not keys else ""


def _h264(fd: int, video: VideoStream, samples: Samples, keys: list[tuple[int, int, int]]) -> str:
    """What `keys` (stamp, place, bytes) lack, which a file calls key frames: most decoders can begin with IDR only."""
    last: int | None = None
    for stamp, place, size in keys:
        data = os.pread(fd, size if last is None else min(size, _HEAD), place)
        if len(data) < min(size, _HEAD):
            break  # the file is cut off
        if samples.refreshes(data) or samples.refreshes(os.pread(fd, size, place)):
            last = stamp
        elif last is None:
            return _OPEN
        elif (stamp - last) * (video.time_base or Fraction(1)) > _FARTHEST:
            return _SELDOM
    return ""


def _walked(fd: int, survey: Survey, video: VideoStream, samples: Samples) -> str:
    with file_tracks.open_container(fd, survey, unseen=True) as container:
        group, edited = _Group(), bool(video.index_entries)
        for packet in file_tracks.packets(container, container.streams[video.index], survey):
            reason = group.add(packet, samples)
            edited = edited or file_tracks.hidden(packet)
            if reason or (not edited and (packet.is_keyframe or group.key is not None)):
                return reason
    return ""


@dataclass(slots=True)
class _Group:
    """A key frame and what follows it in decode order, up to the next one.

    What follows a key frame in decode order and is shown before it (leading pictures) is needed by nothing that is
    shown later; all else may be needed by whatever comes behind it.
    """

    key: int | None = None  # when the key frame is shown; None before the first one
    shown: bool = False  # whether it is
    spliced: bool = True  # whether what came just before it is not there
    leading_gone: bool = False
    trailing_gone: bool = False
    gone: bool = True  # whether the last picture was hidden, or there was none

    def add(self, packet: "Packet[Any]", samples: Samples) -> str:
        gone = file_tracks.hidden(packet)
        pts = packet.pts or 0
        reason = ""
        if samples.is_key(bytes(packet), packet.is_keyframe):
            self.key, self.shown, self.spliced = pts, not gone, self.gone
            self.leading_gone = self.trailing_gone = False
        elif packet.is_keyframe and not gone and self.gone:
            reason = _OPEN
        elif self.key is not None:
            leading = pts < self.key
            if gone and leading:
                self.leading_gone = True
            elif gone:
                self.trailing_gone = True
            elif not self.shown or self.trailing_gone or (leading and self.leading_gone):
                reason = _BETWEEN
        self.gone = gone
        return reason
