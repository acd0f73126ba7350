"""The description of a camera: SDP (RFC 8866) with the attributes of RTSP (RFC 2326, appendix C)."""

from collections.abc import Sequence

from media.camera.clip import Track


def describe(tracks: Sequence[Track], host: str) -> bytes:
    """The body of an answer to DESCRIBE. The control address of the track with index 0 is `trackID=0`, and so on."""
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=Sample camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
    ]
    for index, track in enumerate(tracks):
        lines += [f"m={track.kind} 0 RTP/AVP {track.payload_type}", *track.sdp, f"a=control:trackID={index}"]
    return "\r\n".join([*lines, ""]).encode()
