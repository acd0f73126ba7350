"""What WCS calls Stream, RtspAgent, ...: its members, made from a stream or a viewer of ours. Rates are in kbit/s."""

from collections.abc import Callable
from typing import Any, Final

from gateway.web.calls.status_words import OF_VIEWERS, word_of
from gateway.web.watch.viewers import Seat, Way
from media.stream import Stream

Members = dict[str, Any]

PROVIDERS: Final = {"rtsp": "RTSP", "vod": "VOD", "transcoder": "TRANSCODER"}
WAYS: Final = {Way.WHEP: "WebRTC", Way.MSE: "MSE", Way.HLS: "HLS", Way.MP4: "MP4", Way.MJPEG: "MJPEG"}
CODECS: Final = {"h264": "H264", "h265": "H265", "aac": "mpeg4-generic"}
USUAL_FPS: Final = 25.0


def published(stream: Stream) -> Members:
    """A Stream of `mediaType` `publish`."""
    record = stream.record()
    told: Members = {"sessionId": None, "mediaSessionId": stream.identity.id, "published": True}
    told |= {"status": word_of(stream.status, "stream").value}
    more = {"mediaType": "publish", "mediaProvider": PROVIDERS.get(stream.identity.kind, stream.identity.kind)}
    return _stream(record, told | more | {"createDate": _ms(stream.identity.created_at)})


def played(seat: Seat, stream: Stream) -> Members:
    """A Stream of `mediaType` `play`: a viewer."""
    told: Members = {"sessionId": f"/{seat.address}", "mediaSessionId": seat.id, "published": False}
    told |= {"status": OF_VIEWERS.value, "mediaType": "play", "mediaProvider": WAYS[seat.way]}
    return _stream(stream.record(), told | {"createDate": _ms(seat.since)})


def _stream(record: Members, told: Members) -> Members:
    """All members of a Stream; `audioCodec` is not there without sound, as in WCS."""
    video, audio = record.get("video") or {}, record.get("audio") or {}
    fps = video.get("fps") or 0
    transport = record.get("transport") if told["published"] else None
    made = {
        "nodeId": None,
        "appKey": None,
        "sessionId": None,
        "mediaSessionId": None,
        "name": record["name"],
        "published": None,
        "hasVideo": bool(video),
        "hasAudio": bool(audio),
        "status": None,
        "audioCodec": _sound(audio),
        "videoCodec": _codec(video) or None,
        "record": False,
        "width": video.get("width") or 0,
        "height": video.get("height") or 0,
        "bitrate": _kilobits(record["bitrate"]),
        "minBitrate": 0,
        "maxBitrate": 0,
        "quality": 0,
        "history": False,
        "gop": round((video.get("gop") or 0) * fps),
        "fps": fps,
        "audioBitrate": _kilobits(audio.get("bitrate")),
        "codecImpl": None,
        "transport": transport.upper() if transport else None,
        "createDate": None,
        "mediaType": None,
        "mediaProvider": None,
        "audioState": {"muted": False},
        "videoState": {"muted": False},
    } | told
    if not audio:
        del made["audioCodec"]
    return made


def rtsp_agent(stream: Stream) -> Members:
    """An RtspAgent: a camera."""
    identity = stream.identity
    status = word_of(stream.status, "rtsp").value
    return {"uri": identity.uri, "status": status, "localMediaSessionId": identity.id}


def pull_agent(stream: Stream) -> Members:
    """A PullAgent: a camera, too; it has one name on both sides."""
    names = {"localStreamName": stream.identity.name, "remoteStreamName": stream.identity.name}
    return rtsp_agent(stream) | names


def vod_agent(stream: Stream) -> Members:
    """The members of a channel; of a list of files `uri` is a list."""
    return _agent(stream, "vod") | {"loop": bool(stream.record()["loop"])}


def transcoder_agent(stream: Stream) -> Members:
    """The members of a transcoder; of its encoder they have what was asked for."""
    record = stream.record()
    asked = record["encoder"]
    mark = (record["watermark"] or {}).get("file")
    encoder = {name: asked[name] for name in ("width", "height", "fps")}
    encoder |= {"keyFrameInterval": round(asked["keyFrameSeconds"] * (asked["fps"] or USUAL_FPS))}
    encoder |= {"bitrate": _kilobits(asked["bitrate"]) or None, "watermark": mark}
    named = {name: value for name, value in encoder.items() if value is not None}
    return _agent(stream, "transcoder") | {"remoteStreamName": record["source"], "encoder": named}


def _agent(stream: Stream, wcs_object: str) -> Members:
    record, identity = stream.record(), stream.identity
    return {
        "localMediaSessionId": identity.id,
        "localStreamName": identity.name,
        "uri": identity.uri,
        "status": word_of(stream.status, wcs_object).value,
        "hasAudio": record.get("audio") is not None,
        "hasVideo": record.get("video") is not None,
        "record": False,
    }


# Object of WCS -> the kind of our streams that it stands for, and its members.
AGENTS: Final[dict[str, tuple[str, Callable[[Stream], Members]]]] = {
    "rtsp": ("rtsp", rtsp_agent),
    "pull": ("rtsp", pull_agent),
    "vod": ("vod", vod_agent),
    "transcoder": ("transcoder", transcoder_agent),
}


def _ms(unix: float) -> int:
    return round(unix * 1000)


def _kilobits(bits: float | None) -> int:
    return round((bits or 0) / 1000)


def _codec(track: Members) -> str:
    codec = str(track.get("codec", ""))
    return CODECS.get(codec, codec.upper())


def _sound(audio: Members) -> str:
    """The codec of the sound as WCS shows it since 5.2.1619: `mpeg4-generic/48000/2`."""
    return "/".join(str(part) for part in (_codec(audio), audio.get("sampleRate"), audio.get("channels")) if part)
