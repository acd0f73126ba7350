"""One endless medium of a clip: what is sent, and when."""

from dataclasses import dataclass

from media.faultcamera.clip.rtp import Payload


@dataclass(frozen=True, slots=True)
class ClipUnit:
    """One picture or one frame of sound. `time` is when it is shown and `due` when it is sent, ticks from the start.

    With B-frames `due` is before `time`, and below zero for the first units.
    """

    time: int
    due: int
    key: bool
    payloads: tuple[Payload, ...]


@dataclass(frozen=True)
class ClipTrack:
    """`units` in the order of sending, again and again, each round `duration` ticks after the last.

    `clock` is ticks a second; `sdp` are the attribute lines that tell a receiver the codec (RFC 8866, 5.13).
    """

    kind: str
    payload_type: int
    clock: int
    duration: int
    units: tuple[ClipUnit, ...]
    sdp: tuple[str, ...]
