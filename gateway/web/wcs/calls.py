"""Which calls of WCS 5.2 there are, as a table: the routes and the guide are made from it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIND: Final = "find"
FIND_ALL: Final = "find_all"
TERMINATE: Final = "terminate"


class Likeness(StrEnum):
    """How far a call is what WCS has."""

    SAME = "same"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `/rest-api/<object>/<method>`.

    `errors` are the statuses that WCS has for it beside 500; every other failure is 500. `job` is the kind of job that
    it starts, and `answer` the members of that job's result which are answered; none: the answer is empty.
    """

    object: str
    method: str
    errors: tuple[int, ...]
    likeness: Likeness
    note: str
    job: str = ""
    answer: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path below `/rest-api/`, such as `rtsp/startup`."""
        return f"{self.object}/{self.method}"

    @property
    def looks(self) -> bool:
        """Whether it changes nothing, and so may be a GET (RFC 9110, section 9.2.1)."""
        return self.method in (FIND, FIND_ALL)


ALL_OR_NOTHING: Final = "A call that says nothing, or `published` true alone, is refused: WCS stops every stream."
EMPTY: Final = "Answered when it is done, with an empty body."
FILTER: Final = "Every member of an object is a filter. One that is not known is an error: WCS passes over it."

CALLS: Final = (
    Call(
        *("rtsp", "startup", (409,), Likeness.DIFFERS),
        "Answered when a picture was decoded, not before. The name of the stream is made from the address and has no "
        "slash, or is `toStream` or `localStreamName`; WCS's is the address.",
        job="rtsp.startup",
    ),
    Call("rtsp", FIND, (404,), Likeness.SAME, FILTER),
    Call("rtsp", FIND_ALL, (404,), Likeness.SAME, ""),
    Call("rtsp", TERMINATE, (404,), Likeness.DIFFERS, f"{EMPTY} {ALL_OR_NOTHING}"),
    Call(
        *("stream", FIND, (404,), Likeness.SAME),
        "Viewers are streams of `mediaType` `play`. `name` also fits a camera by its address. `display` with `metrics` "
        f"adds `metrics`. {FILTER}",
    ),
    Call("stream", FIND_ALL, (404,), Likeness.SAME, ""),
    Call(
        *("stream", TERMINATE, (404,), Likeness.DIFFERS),
        f"{EMPTY} A viewer by HLS is refused for a quarter of a minute; all others are cut off. {ALL_OR_NOTHING}",
    ),
    Call("stream", "snapshot", (404,), Likeness.SAME, "", job="stream.snapshot", answer=("data",)),
    Call(
        *("vod", "startup", (409,), Likeness.DIFFERS),
        "`vod-live://` alone; a `vod://` for one viewer is an error. Answered when the channel plays.",
        job="vod.startup",
    ),
    Call("vod", FIND, (404,), Likeness.SAME, FILTER),
    Call("vod", FIND_ALL, (404,), Likeness.SAME, ""),
    Call("vod", TERMINATE, (404,), Likeness.DIFFERS, f"{EMPTY} {ALL_OR_NOTHING}"),
    Call(
        *("transcoder", "startup", (400, 409), Likeness.DIFFERS),
        "H.264 is made whatever `encoder.type` says; the sound is copied.",
        job="transcoder.startup",
    ),
    Call("transcoder", "set_watermark", (400, 404), Likeness.SAME, EMPTY, job="transcoder.set_watermark"),
    Call("transcoder", FIND, (404,), Likeness.SAME, FILTER),
    Call("transcoder", FIND_ALL, (404,), Likeness.SAME, ""),
    Call("transcoder", TERMINATE, (404,), Likeness.DIFFERS, f"{EMPTY} {ALL_OR_NOTHING}"),
    Call(
        *("watermark", "startup", (), Likeness.DIFFERS),
        "Reads and checks a picture before it is used; answers with its size and format.",
        job="watermark.startup",
        answer=("width", "height", "format", "sha256"),
    ),
    Call(
        *("pull", "pull", (409,), Likeness.DIFFERS),
        "For addresses of cameras (`rtsp://`): as `rtsp/startup`, and `remoteStreamName` says nothing. Other servers "
        "are not pulled from.",
        job="rtsp.startup",
    ),
    Call("pull", "startup", (409,), Likeness.DIFFERS, "Another word for `pull/pull`.", job="rtsp.startup"),
    Call("pull", FIND, (404,), Likeness.DIFFERS, f"Cameras; both names are the stream's. {FILTER}"),
    Call("pull", FIND_ALL, (404,), Likeness.DIFFERS, "Cameras; both names are the stream's."),
    Call("pull", TERMINATE, (404,), Likeness.DIFFERS, f"{EMPTY} {ALL_OR_NOTHING}"),
)

# What is not here: an object, or one call of it, and the sentence that is the answer (404).
ABSENT: Final[dict[str, str]] = {
    "push": "Streams are not pushed to other servers here.",
    "pull/push": "Streams are not pushed to other servers here.",
    "recorder": "Streams are not recorded here.",
    "stream/startRecording": "Streams are not recorded here.",
    "stream/stopRecording": "Streams are not recorded here.",
    "call": "There is no SIP here.",
    "api": "There is no SIP here.",
    "mixer": "There is no mixer here.",
    "cdn": "There is no CDN here: a gateway stands alone, and HLS goes through any cache.",
    "connection": "There are no sessions of clients here; viewers are found by stream/find with published false.",
    "jobs": "Jobs are below /rest-api/v3: a call without v3 is answered when its job has ended.",
    "media": "Files are below /rest-api/v3/media.",
    "events": "Events are at /rest-api/v3/events.",
    "session": "Sessions are below /rest-api/v3/session.",
}


def why_not(path: str) -> str:
    """One sentence for a call that is not in the table."""
    found = ABSENT.get(path) or ABSENT.get(path.partition("/")[0])
    return found or f"There is no call {path[:64]!r} here; docs/guide/wcs.md has those that there are."
