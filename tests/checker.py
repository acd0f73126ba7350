"""A strict reader of HLS playlists: what it accepts, RFC 8216 allows, and successive loads agree with each other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

KNOWN_TAGS = {
    "EXTM3U", "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-ENDLIST", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME",
    "EXTINF", "EXT-X-STREAM-INF",
}  # fmt: skip
ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]+)(?:,|$)')


class PlaylistError(AssertionError):
    """The playlist breaks a rule; the message says which."""


@dataclass(frozen=True)
class Entry:
    """One listed segment. `map_uri` is the init in force; `discontinuity` counts from the stream's beginning."""

    msn: int
    uri: str
    seconds: Fraction
    map_uri: str
    discontinuity: int
    at: datetime


@dataclass(frozen=True)
class MediaPlaylist:
    """A media playlist that kept the rules for one load."""

    target_duration: int
    entries: tuple[Entry, ...]
    independent: bool
    ended: bool


@dataclass
class PlaylistChecker:
    """Checks loads of one playlist in order: alone, and each against those before it."""

    seen: dict[int, Entry] = field(default_factory=dict)
    last: MediaPlaylist | None = None

    def load(self, text: str) -> MediaPlaylist:
        """Reads one load; raises `PlaylistError` where it breaks a rule or contradicts one before."""
        playlist = parse_media(text)
        if self.last is not None:
            self._compare(self.last, playlist)
        for entry in playlist.entries:
            known = self.seen.setdefault(entry.msn, entry)
            demand(known == entry, f"segment {entry.msn} changed from {known} to {entry}")
        self.last = playlist
        return playlist

    def _compare(self, before: MediaPlaylist, now: MediaPlaylist) -> None:
        demand(now.target_duration >= before.target_duration, "the target duration shrank")
        demand(not before.ended or now == before, "a playlist with EXT-X-ENDLIST changed")
        if before.entries and now.entries:
            demand(now.entries[0].msn >= before.entries[0].msn, "the media sequence went back")
            demand(now.entries[-1].msn >= before.entries[-1].msn, "the newest segment was taken back")


def parse_media(text: str) -> MediaPlaylist:
    """One load of a media playlist, checked on its own."""
    tags = list(_lines(text))
    single = _single_values(tags)
    demand(int(single["EXT-X-VERSION"]) >= 6, "EXT-X-MAP needs version 6")
    target = int(single["EXT-X-TARGETDURATION"])
    entries = tuple(_entries(tags, single))
    for entry in entries:
        demand(int(entry.seconds + Fraction(1, 2)) <= target, f"{entry.uri} of {entry.seconds} s is over the target")
    for one, other in pairwise(entries):
        demand(other.at >= one.at, "EXT-X-PROGRAM-DATE-TIME went back")
    return MediaPlaylist(target, entries, "EXT-X-INDEPENDENT-SEGMENTS" in single, "EXT-X-ENDLIST" in single)


def parse_multivariant(text: str) -> tuple[dict[str, str], str]:
    """The attributes (unquoted) and the URI of the one variant."""
    tags = list(_lines(text))
    streams = [index for index, (tag, _) in enumerate(tags) if tag == "EXT-X-STREAM-INF"]
    demand(len(streams) == 1, "there must be one variant")
    attributes = _attributes(tags[streams[0]][1])
    demand(int(attributes["BANDWIDTH"]) >= int(attributes["AVERAGE-BANDWIDTH"]) > 0, "the peak is below the average")
    follower, uri = tags[streams[0] + 1]
    demand(follower == "URI", "EXT-X-STREAM-INF needs a URI line after it")
    return attributes, uri


def demand(holds: bool, rule: str) -> None:
    """Raises `PlaylistError(rule)` unless it holds."""
    if not holds:
        raise PlaylistError(rule)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    demand(text.startswith("#EXTM3U\n") and text.endswith("\n") and "\r" not in text, "not framed as a playlist")
    for line in text.splitlines():
        if line.startswith("#"):
            tag, _, value = line[1:].partition(":")
            demand(tag in KNOWN_TAGS, f"unknown tag {tag}")
            yield tag, value
        else:
            demand(bool(line) and " " not in line, "a URI line is empty or has spaces")
            yield "URI", line


def _single_values(tags: list[tuple[str, str]]) -> dict[str, str]:
    repeatable = {"URI", "EXTINF", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"}
    single: dict[str, str] = {}
    first_segment = next((index for index, (tag, _) in enumerate(tags) if tag in repeatable), len(tags))
    for index, (tag, value) in enumerate(tags):
        if tag in repeatable:
            continue
        demand(tag not in single, f"{tag} is there twice")
        demand(index < first_segment or tag == "EXT-X-ENDLIST", f"{tag} comes after the first segment")
        single[tag] = value
    return single


def _entries(tags: list[tuple[str, str]], single: dict[str, str]) -> Iterator[Entry]:
    msn = int(single.get("EXT-X-MEDIA-SEQUENCE", "0"))
    discontinuity = int(single.get("EXT-X-DISCONTINUITY-SEQUENCE", "0"))
    map_uri, seconds, at = "", None, None
    previous_map, broken = "", False
    for tag, value in tags:
        if tag == "EXT-X-DISCONTINUITY":
            discontinuity, broken = discontinuity + 1, True
        elif tag == "EXT-X-MAP":
            map_uri = _attributes(value)["URI"]
        elif tag == "EXT-X-PROGRAM-DATE-TIME":
            at = datetime.fromisoformat(value)
            demand(at.tzinfo is not None, "a date without its zone")
        elif tag == "EXTINF":
            seconds = Fraction(value.rstrip(","))
            demand(value.endswith(",") and seconds > 0, f"EXTINF {value}")
        elif tag == "URI":
            demand(bool(map_uri), "a segment before any EXT-X-MAP")
            demand(previous_map in ("", map_uri) or broken, "a new EXT-X-MAP without EXT-X-DISCONTINUITY")
            if seconds is None or at is None:
                raise PlaylistError(f"{value} has no EXTINF or no date")
            yield Entry(msn, value, seconds, map_uri, discontinuity, at)
            msn, seconds, at, previous_map, broken = msn + 1, None, None, map_uri, False


def _attributes(value: str) -> dict[str, str]:
    found = ATTRIBUTE.findall(value)
    demand(",".join(f"{name}={content}" for name, content in found) == value, f"bad attribute list {value}")
    demand(len({name for name, _ in found}) == len(found), f"an attribute is there twice in {value}")
    return {name: content.strip('"') for name, content in found}
