"""What a camera says it sends: a session description (RFC 8866), read as leniently as cameras write it."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Media = Literal["video", "audio"]
Direction = Literal["", "sendrecv", "sendonly", "recvonly", "inactive"]

MAX_TRACKS: Final = 16
BACKCHANNEL: Final = "backchannel"  # sound that the camera wants to be sent
NOTHING: Final = "audio without a format"  # what a camera describes whose sound is switched off

# Encoding names of RTP payload formats, as this side calls the codecs; others keep their name in lower case.
CODECS: Final = {
    "H264": "h264",
    "H265": "h265",
    "HEVC": "h265",
    "MP4V-ES": "mpeg4",
    "JPEG": "mjpeg",
    "MPEG4-GENERIC": "aac",
    "MP4A-LATM": "aac-latm",
    "MPA": "mp3",
}
# Payload types with a fixed meaning: encoding name, clock, channels (RFC 3551, tables 4 and 5).
STATIC: Final = {
    "0": ("PCMU", 8000, 1),
    "3": ("GSM", 8000, 1),
    "8": ("PCMA", 8000, 1),
    "9": ("G722", 8000, 1),
    "10": ("L16", 44100, 2),
    "11": ("L16", 44100, 1),
    "14": ("MPA", 90000, 1),
    "26": ("JPEG", 90000, 0),
    "32": ("MPV", 90000, 0),
    "33": ("MP2T", 90000, 0),
}
_DIRECTIONS: Final[dict[str, Direction]] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}
_MEDIA: Final[dict[str, Media]] = {"video": "video", "audio": "audio"}
_RTPMAP: Final = re.compile(r"(\d{1,3})\s+([^\s/]+)(?:\s*/\s*([^\s/]*))?(?:\s*/\s*([^\s/]*))?")
_SPROP: Final = ("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps")


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One medium on offer. `clock` is ticks a second, 0 when not known; `channels` is 0 for video.

    `codec` is a word of `CODECS`, or the encoding name in lower case, or "" when the camera does not say. `fmtp` and
    `control` are as written: parameters of the format (RFC 8866, 6.15), and where SETUP would go (RFC 2326, C.1.1).
    """

    media: Media
    codec: str
    clock: int
    channels: int = 0
    fmtp: str = ""
    direction: Direction = ""
    control: str = ""

    def parameters(self) -> dict[str, str]:
        """`fmtp` as names (lower case) and values; what is no `name=value` is left out."""
        pairs = (part.partition("=") for part in self.fmtp.split(";"))
        return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


@dataclass(frozen=True, slots=True)
class Description:
    """`tracks`: what can be watched or heard. `ignored`: the other media, by name (`application`, `backchannel`).

    `warnings` are words for what is odd in the text; none of them means that the camera will not work.
    """

    tracks: tuple[MediaDescription, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Section:
    """The lines of one `m=` and what follows it."""

    media: str
    formats: list[str]
    attributes: list[tuple[str, str]] = field(default_factory=list)


def parse(body: bytes) -> Description:
    """Read the body of an answer to DESCRIBE; never fails. Unknown and broken lines are skipped.

    Bare LF, trailing spaces, a missing origin or version, a broken rtpmap and an unreadable sprop are all in the field.
    """
    warnings: list[str] = []
    tracks: list[MediaDescription] = []
    ignored: list[str] = []
    sections, origin = _sections(_lines(body), warnings)
    if not origin:
        warnings.append("sdp-no-origin")
    for section in sections:
        media = _MEDIA.get(section.media)
        if media is None:
            ignored.append(section.media)
        elif _is_nothing(section):
            ignored.append(NOTHING)
        elif len(tracks) < MAX_TRACKS:
            tracks.append(_track(media, section, warnings))
    watched, backchannels = _without_backchannels(tracks)
    ignored.extend([BACKCHANNEL] * backchannels)
    return Description(watched, tuple(dict.fromkeys(ignored)), tuple(dict.fromkeys(warnings)))


def without_ignored_sound(body: bytes) -> bytes:
    """The description without backchannels and without sound that has no format: what a client must not SET UP.

    Some cameras answer 404 to SETUP of these, and a client that takes them for the microphone hears nothing.
    """
    head, *texts = re.split(rb"(?im)^(?=[ \t]*m=)", body)
    sections = [_sections(_lines(text), [])[0][0] for text in texts]
    spoken_to = _has_backchannels([(each.media, _direction(each)) for each in sections if not _is_nothing(each)])
    kept = [
        text
        for text, each in zip(texts, sections, strict=True)
        if not _is_nothing(each) and not (spoken_to and (each.media, _direction(each)) == ("audio", "sendonly"))
    ]
    return b"".join([head, *kept])


def _direction(section: _Section) -> Direction:
    return next((_DIRECTIONS[name] for name, _ in section.attributes if name in _DIRECTIONS), "")


def _is_nothing(section: _Section) -> bool:
    """Whether it is sound whose formats are words such as `(null)`: payload types are numbers (RFC 8866, 5.14)."""
    return section.media == "audio" and bool(section.formats) and not any(map(str.isdecimal, section.formats))


def _lines(body: bytes) -> Iterator[tuple[str, str]]:
    """`(type, value)` of each line that has the form `x=...`."""
    for line in re.split(r"[\r\n\0]+", body.decode(errors="replace")):
        kind, equals, value = line.strip().partition("=")
        if equals and len(kind) == 1:
            yield kind.lower(), value.strip()


def _sections(lines: Iterable[tuple[str, str]], warnings: list[str]) -> tuple[list[_Section], bool]:
    """The media sections, and whether there was an origin. What stands before the first `m=` is not needed."""
    sections: list[_Section] = []
    origin = False
    for kind, value in lines:
        if kind == "o":
            origin = True
        elif kind == "m":
            sections.append(_media_line(value, warnings))
        elif kind == "a" and sections:
            name, _, rest = value.partition(":")
            sections[-1].attributes.append((name.strip().lower(), rest.strip()))
    return sections, origin


def _media_line(value: str, warnings: list[str]) -> _Section:
    words = value.split()
    if len(words) < 4:
        warnings.append("sdp-bad-media-line")
    return _Section(words[0].lower() if words else "unknown", words[3:])


def _track(media: Media, section: _Section, warnings: list[str]) -> MediaDescription:
    name, clock, channels = _format(section, warnings)
    if media == "video":
        clock, channels = clock or 90000, 0  # every video format of the field has this clock
    track = MediaDescription(
        media=media,
        codec=CODECS.get(name.upper(), name.lower()),
        clock=clock,
        channels=max(channels, 1) if media == "audio" else 0,
        fmtp=_fmtp(section),
        direction=_direction(section),
        control=next((value for name, value in section.attributes if name == "control"), ""),
    )
    if not _sprop_readable(track):
        warnings.append("sdp-bad-sprop")
    return track


def _format(section: _Section, warnings: list[str]) -> tuple[str, int, int]:
    """Encoding name, clock and channels of the first payload type that says what it is."""
    maps = [value for name, value in section.attributes if name == "rtpmap"]
    found = [match for value in maps if (match := _RTPMAP.match(value))]
    if len(found) < len(maps):
        warnings.append("sdp-bad-rtpmap")
    by_type = {match[1]: match for match in found}
    for payload_type in section.formats:
        if match := by_type.get(payload_type):
            return _mapped(match, warnings)
        if payload_type in STATIC:
            return STATIC[payload_type]
    if found:  # the m= line names another type than the one map there is
        warnings.append("sdp-bad-rtpmap")
        return _mapped(found[0], warnings)
    if not maps:
        warnings.append("sdp-no-rtpmap")
    return "", 0, 0


def _mapped(match: re.Match[str], warnings: list[str]) -> tuple[str, int, int]:
    clock, channels = _number(match[3]), _number(match[4])
    if clock == 0:
        warnings.append("sdp-bad-rtpmap")
    return match[2], clock, channels


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else 0


def _fmtp(section: _Section) -> str:
    """The parameters of the first `a=fmtp`, without the payload type in front of them."""
    value = next((value for name, value in section.attributes if name == "fmtp"), "")
    return value.partition(" ")[2].strip()


def _sprop_readable(track: MediaDescription) -> bool:
    """Whether every parameter set in the text is base64 (RFC 6184, 8.1; RFC 7798, 7.1)."""
    parameters = track.parameters()
    sets = ",".join(parameters[name] for name in _SPROP if parameters.get(name))
    try:
        return all(b64decode(text, validate=True) for text in sets.split(",") if text)
    except ValueError:
        return False


def _has_backchannels(media: Sequence[tuple[str, str]]) -> bool:
    """Whether `sendonly` sound among these (medium, direction) is for the camera's loudspeaker.

    ONVIF marks its backchannel `sendonly` from the client's point of view (ONVIF Streaming, 5.3). A camera that marks
    its picture so too has the standard's own sense, that it sends (RFC 8866, 6.7). So has one whose only sound it is,
    beside a picture of which it says nothing: that is its microphone.
    """
    pictures = {direction for medium, direction in media if medium == "video"}
    sounds = {direction for medium, direction in media if medium == "audio"}
    return "sendonly" not in pictures and (not pictures or "recvonly" in pictures or sounds > {"sendonly"})


def _without_backchannels(tracks: list[MediaDescription]) -> tuple[tuple[MediaDescription, ...], int]:
    """Leave out audio that the camera wants to be sent, and count it."""
    if not _has_backchannels([(track.media, track.direction) for track in tracks]):
        return tuple(tracks), 0
    watched = tuple(track for track in tracks if track.direction != "sendonly")
    return watched, len(tracks) - len(watched)
