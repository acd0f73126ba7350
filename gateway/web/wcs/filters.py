"""What WCS's `find` and `terminate` mean: every member of an object is a filter, and all that is said must fit."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.web.body import wrong
from gateway.web.calls.status_words import OF_VIEWERS, OURS, StatusWord
from gateway.web.wcs.objects import Members
from media.net.secrets import shown_uri
from media.stream import Stream

# The members of each object that are filters.
IN_STREAM: Final = frozenset({
    "appKey", "audioBitrate", "audioCodec", "bitrate", "codecImpl", "createDate", "fps", "gop", "hasAudio",
    "hasVideo", "height", "history", "maxBitrate", "mediaProvider", "mediaSessionId", "mediaType", "minBitrate",
    "name", "nodeId", "published", "quality", "record", "sessionId", "status", "transport", "videoCodec", "width",
})  # fmt: skip
IN_RTSP: Final = frozenset({"uri", "status", "localMediaSessionId"})
IN_PULL: Final = IN_RTSP | {"localStreamName", "remoteStreamName"}
IN_VOD: Final = IN_RTSP | {"localStreamName", "hasAudio", "hasVideo", "record", "loop"}
IN_TRANSCODER: Final = (IN_VOD - {"loop"}) | {"remoteStreamName"}
FIELDS: Final = {
    "stream": IN_STREAM,
    "rtsp": IN_RTSP,
    "pull": IN_PULL,
    "vod": IN_VOD,
    "transcoder": IN_TRANSCODER,
}
# Other names of a member of an agent, and what is no member but may be said.
ALSO: Final = {"toStream": "localStreamName", "mediaSessionId": "localMediaSessionId"}
IDS: Final = "mediaSessionIds"
DISPLAY: Final = "display"
METRICS: Final = "metrics"
# What fits everything that is published: to terminate by it alone would be to stop all.
OF_ALL: Final[dict[str, object]] = {"published": True, "mediaType": "publish"}
FLAGS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class WcsFilter:
    """What was said: the members by their names, ids of which one must fit, and whether metrics are to be shown."""

    object: str
    said: dict[str, Any]
    ids: frozenset[str] | None = None
    metrics: bool = False

    @classmethod
    def of(cls, wcs_object: str, content: dict[str, Any]) -> "WcsFilter":
        """Reads a filter. Raises `Failure` `invalid-field` for what is none: if it were ignored, more would be
        meant.
        """
        known, errors, said = FIELDS[wcs_object], dict[str, str](), dict[str, Any]()
        ids, display = content.get(IDS), content.get(DISPLAY, [])
        for name, value in content.items():
            is_list = name == DISPLAY or (name == IDS and wcs_object == "stream")
            field = name if name in known else ALSO.get(name, name)
            if is_list:
                if not _texts(value):
                    errors[name] = "This is a list of texts."
            elif field not in known and field != "localStreamName":
                errors[name] = "There is no such field."
            elif isinstance(value, (dict, list)):
                errors[name] = "This is one value."
            elif field == "status" and value not in OURS:
                errors[name] = f"It is one of {', '.join(OURS)}."
            elif field in said and said[field] != value:
                errors[name] = f"It is another name of {field}, which says something else."
            else:
                said[field] = value
        if errors:
            raise wrong(errors)
        return cls(wcs_object, said, None if ids is None else frozenset(ids), METRICS in display)

    @property
    def selects(self) -> bool:
        """Whether the filter says anything that does not fit all that is published."""
        told = {name: FLAGS.get(value, value) if isinstance(value, str) else value for name, value in self.said.items()}
        return self.ids is not None or any(name not in OF_ALL or value != OF_ALL[name] for name, value in told.items())

    def fits(self, members: Members, stream: Stream, *, viewer: bool = False) -> bool:
        """Whether an object with these members is meant; `stream` is what it stands for, or what a viewer watches."""
        if self.ids is not None and members["mediaSessionId"] not in self.ids:
            return False
        return all(self._fits(name, value, members, stream, viewer) for name, value in self.said.items())

    def _fits(self, name: str, value: Any, members: Members, stream: Stream, viewer: bool) -> bool:
        shown = members.get(name)
        if name == "status":
            word = StatusWord(value)
            if viewer or (word is OF_VIEWERS and self.object == "stream"):
                return word.value == shown
            return word.value == shown or OURS[word] is stream.status
        if name == "uri" or (name == "name" and "://" in str(value)):
            return isinstance(value, str) and shown_uri(value) in stream.identity.uris
        if name == "localStreamName":
            return bool(value == stream.identity.name)
        if isinstance(shown, bool):
            return (FLAGS.get(value, value) if isinstance(value, str) else value) is shown
        return shown is not None and str(shown) == str(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
