"""The description of a camera: SDP (RFC 8866) with the attributes of RTSP (RFC 2326, appendix C)."""

import re
from collections.abc import Sequence

from media.faultcamera.clip.track import ClipTrack


def describe(tracks: Sequence[ClipTrack], host: str, how: str = "", base: str = "") -> bytes:
    """The body of an answer to DESCRIBE. The control address of the track with index 0 is `trackID=0`, and so on.

    `how` is one of `faults.DESCRIPTIONS`, or "" for a good one; `base` is the address that was asked for.
    """
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
    return _odd("\r\n".join([*lines, ""]), how, base).encode("latin-1" if how == "latin1" else "utf-8")


def _odd(text: str, how: str, base: str) -> str:
    """The description as some camera or other would have written it."""
    head, *_ = re.split(r"(?=^m=)", text, flags=re.MULTILINE)
    match how:
        case "no_sprop":
            return re.sub(r";?sprop-[a-z-]+=[^;\r]*", "", text)
        case "bad_sprop":
            return re.sub(r"(sprop-[a-z-]+=)[^;\r]*", r"\1%%%not-base64", text)
        case "no_config":
            return re.sub(r";?config=[0-9A-F]*", "", text)
        case "nothing":
            return head
        case "metadata":
            onvif = "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:trackID=0\r\n"
            return head + onvif
        case "backchannel":
            return f"{head}m=audio 0 RTP/AVP 0\r\na=control:trackID=0\r\na=sendonly\r\n"
        case "loudspeaker":
            # Its address is that of no track: SETUP of it is 404. Before the microphone, which a client wants.
            return f"{head}m=audio 0 RTP/AVP 0\r\na=control:loudspeaker\r\na=sendonly\r\n{text[len(head) :]}"
        case "null_audio":
            return f"{text}m=audio 0 RTP/AVP (null)\r\na=rtpmap\r\na=control:sound\r\n"
        case "sloppy":
            kept = [line for line in text.split("\r\n") if not line.startswith(("o=", "t=", "c="))]
            # Blanks behind a control address would end up in the request line of SETUP.
            lines = [line if line.startswith("a=control") else f"{line}  " for line in kept]
            return "x-vendor nonsense\n" + "\n".join(lines)
        case "latin1":
            return text.replace("s=Sample camera", "s=Caméra d'été")
        case "absolute_control":
            return text.replace("a=control:trackID=", f"a=control:{base.rstrip('/')}/trackID=")
        case "bad_rtpmap":
            return text.replace("H264/90000", "H264/")
    return text
