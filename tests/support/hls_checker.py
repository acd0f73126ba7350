"""A strict reader of HLS playlists: what it accepts, the specifications allow, and successive loads agree.

RFC 8216, and draft-pantos-hls-rfc8216bis for low latency.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

KNOWN_TAGS = {
    "EXTM3U", "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-ENDLIST", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME",
    "EXTINF", "EXT-X-STREAM-INF", "EXT-X-GAP", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF", "EXT-X-PART",
    "EXT-X-PRELOAD-HINT", "EXT-X-SKIP",
}  # fmt: skip
OF_A_SEGMENT = {
    "URI", "EXTINF", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP", "EXT-X-PART",
}  # fmt: skip
AT_THE_END = {"EXT-X-ENDLIST", "EXT-X-PRELOAD-HINT"}
LISTED = 3  # target durations before the live edge within which parts are listed
EVEN = Fraction(85, 100)  # of the part target: what a part that is not its segment's last must have
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
    gap: bool = False


@dataclass(frozen=True)
class PartEntry:
    """One listed part of segment `msn`."""

    msn: int
    uri: str
    seconds: Fraction
    independent: bool


@dataclass(frozen=True)
class Low:
    """What a low-latency playlist says beside its segments; `hint` is the URI of the part that comes next. Seconds."""

    part_target: Fraction
    hold_back: Fraction
    skip_until: Fraction
    hint: str
    parts: tuple[PartEntry, ...]


@dataclass(frozen=True)
class MediaPlaylist:
    """A media playlist that kept the rules for one load; of a delta update, also what it left out."""

    target_duration: int
    entries: tuple[Entry, ...]
    independent: bool
    ended: bool
    low: Low | None = None
    skipped: int = 0


@dataclass
class PlaylistChecker:
    """Checks loads of one playlist in order: alone, and each against those before it."""

    seen: dict[int, Entry] = field(default_factory=dict)
    parts: dict[str, PartEntry] = field(default_factory=dict)
    resolved: int = 0  # hints whose part was seen later
    last: MediaPlaylist | None = None

    def load(self, text: str) -> MediaPlaylist:
        """Reads one load; raises `PlaylistError` where it breaks a rule or contradicts one before."""
        playlist = parse_media(text, self.seen)
        if self.last is not None:
            self._compare(self.last, playlist)
        for entry in playlist.entries:
            known = self.seen.setdefault(entry.msn, entry)
            demand(known == entry, f"segment {entry.msn} changed from {known} to {entry}")
        for part in playlist.low.parts if playlist.low else ():
            known_part = self.parts.setdefault(part.uri, part)
            demand(known_part == part, f"part {part.uri} changed from {known_part} to {part}")
        self.last = playlist
        return playlist

    def _compare(self, before: MediaPlaylist, now: MediaPlaylist) -> None:
        demand(now.target_duration == before.target_duration, "the target duration changed")
        demand(not before.ended or now == before, "a playlist with EXT-X-ENDLIST changed")
        if before.entries and now.entries:
            demand(now.entries[0].msn >= before.entries[0].msn, "the media sequence went back")
            demand(now.entries[-1].msn >= before.entries[-1].msn, "the newest segment was taken back")
        if before.low and now.low:
            self._compare_edges(before.low, now.low)

    def _compare_edges(self, before: Low, now: Low) -> None:
        demand(now.part_target == before.part_target, "the part target changed")
        uris = [part.uri for part in now.parts]
        if before.hint == now.hint or not before.parts or before.parts[-1].uri not in uris:
            return
        after = uris.index(before.parts[-1].uri) + 1
        demand(uris[after : after + 1] == [before.hint], f"the hint {before.hint} did not become the next part")
        self.resolved += 1


def parse_media(text: str, seen: Mapping[int, Entry] | None = None) -> MediaPlaylist:
    """One load of a media playlist, checked on its own. `seen` are earlier segments, which a delta update may skip."""
    tags = list(_lines(text))
    single = _single_values(tags)
    demand(int(single["EXT-X-VERSION"]) >= 6, "EXT-X-MAP needs version 6")
    target = int(single["EXT-X-TARGETDURATION"])
    skipped = _skipped(single, seen or {})
    entries, parts = _entries(tags, single, skipped)
    for entry in entries:
        demand(int(entry.seconds + Fraction(1, 2)) <= target, f"{entry.uri} of {entry.seconds} s is over the target")
    for one, other in pairwise(entries):
        demand(other.at >= one.at, "EXT-X-PROGRAM-DATE-TIME went back")
    low = _low(single, parts, target) if "EXT-X-PART-INF" in single else None
    demand(low is not None or not parts, "parts without EXT-X-PART-INF")
    if low:
        _check_parts(low, entries, target, "EXT-X-INDEPENDENT-SEGMENTS" in single)
    ended = "EXT-X-ENDLIST" in single
    return MediaPlaylist(target, entries, "EXT-X-INDEPENDENT-SEGMENTS" in single, ended, low, len(skipped))


def _skipped(single: dict[str, str], seen: Mapping[int, Entry]) -> tuple[Entry, ...]:
    if "EXT-X-SKIP" not in single:
        return ()
    demand(int(single["EXT-X-VERSION"]) >= 9, "EXT-X-SKIP needs version 9")
    first, count = int(single["EXT-X-MEDIA-SEQUENCE"]), int(_attributes(single["EXT-X-SKIP"])["SKIPPED-SEGMENTS"])
    demand(count > 0, "an EXT-X-SKIP of nothing")
    demand(all(msn in seen for msn in range(first, first + count)), "the delta update skips what was never listed")
    return tuple(seen[msn] for msn in range(first, first + count))


def _low(single: dict[str, str], parts: tuple[PartEntry, ...], target: int) -> Low:
    control = _attributes(single["EXT-X-SERVER-CONTROL"])
    demand(control["CAN-BLOCK-RELOAD"] == "YES", "low latency without blocking reload")
    part_target = Fraction(_attributes(single["EXT-X-PART-INF"])["PART-TARGET"])
    hold_back, until = Fraction(control["PART-HOLD-BACK"]), Fraction(control["CAN-SKIP-UNTIL"])
    demand(hold_back >= 3 * part_target, "PART-HOLD-BACK is under three part targets")
    demand(until >= 6 * target, "CAN-SKIP-UNTIL is under six target durations")
    demand("EXT-X-PRELOAD-HINT" in single, "no preload hint: some players then ask again and again")
    hint = _attributes(single["EXT-X-PRELOAD-HINT"])
    demand(hint["TYPE"] == "PART", "a hint of something else than a part")
    demand(hint["URI"] not in {part.uri for part in parts}, "the hinted part is there already")
    return Low(part_target, hold_back, until, hint["URI"], parts)


def _check_parts(low: Low, entries: tuple[Entry, ...], target: int, independent: bool) -> None:
    whole = {entry.msn: entry for entry in entries}
    for msn in dict.fromkeys(part.msn for part in low.parts):
        run = [part for part in low.parts if part.msn == msn]
        for part in run:
            demand(part.seconds <= low.part_target, f"{part.uri} of {part.seconds} s is over the part target")
        for part in run[:-1]:
            demand(part.seconds >= EVEN * low.part_target, f"{part.uri} of {part.seconds} s is under 85 %")
        if msn in whole:
            off = abs(sum(part.seconds for part in run) - whole[msn].seconds)
            demand(off <= Fraction(len(run) + 1, 1_000_000), f"the parts of segment {msn} do not add up")
        demand(run[0].independent or not independent, f"segment {msn} does not begin with an independent part")
    lasting = sum(part.seconds for part in low.parts)
    demand(
        lasting <= LISTED * target + Fraction(1, 1000), f"{float(lasting)} s of parts are listed (rfc8216bis, 6.2.2)"
    )
    listed = [part.msn for part in low.parts]
    newest = entries[-1].msn if entries else -1
    demand(listed == sorted(listed) and (not listed or listed[-1] >= newest), "parts are not at the live edge")


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
    single: dict[str, str] = {}
    first_segment = next((index for index, (tag, _) in enumerate(tags) if tag in OF_A_SEGMENT), len(tags))
    for index, (tag, value) in enumerate(tags):
        if tag in OF_A_SEGMENT:
            continue
        demand(tag not in single, f"{tag} is there twice")
        demand(index < first_segment or tag in AT_THE_END, f"{tag} comes after the first segment")
        single[tag] = value
    return single


def _entries(
    tags: list[tuple[str, str]], single: dict[str, str], skipped: tuple[Entry, ...]
) -> tuple[tuple[Entry, ...], tuple[PartEntry, ...]]:
    msn = int(single.get("EXT-X-MEDIA-SEQUENCE", "0")) + len(skipped)
    before = skipped[-1] if skipped else None
    discontinuity = before.discontinuity if before else int(single.get("EXT-X-DISCONTINUITY-SEQUENCE", "0"))
    map_uri = previous_map = before.map_uri if before else ""
    entries, parts = list(skipped), list[PartEntry]()
    seconds, at, broken, gap = None, None, False, False
    for tag, value in tags:
        if tag == "EXT-X-DISCONTINUITY":
            discontinuity, broken = discontinuity + 1, True
        elif tag == "EXT-X-MAP":
            map_uri = _attributes(value)["URI"]
        elif tag == "EXT-X-PROGRAM-DATE-TIME":
            at = datetime.fromisoformat(value)
            demand(at.tzinfo is not None, "a date without its zone")
        elif tag == "EXT-X-GAP":
            gap = True
            demand(int(single["EXT-X-VERSION"]) >= 8, "EXT-X-GAP needs version 8")
        elif tag == "EXT-X-PART":
            parts.append(_part(msn, value))
            demand(previous_map in ("", map_uri) or broken, "a part of a new EXT-X-MAP without EXT-X-DISCONTINUITY")
        elif tag == "EXTINF":
            seconds = Fraction(value.rstrip(","))
            demand(value.endswith(",") and seconds > 0, f"EXTINF {value}")
        elif tag == "URI":
            demand(bool(map_uri), "a segment before any EXT-X-MAP")
            demand(previous_map in ("", map_uri) or broken, "a new EXT-X-MAP without EXT-X-DISCONTINUITY")
            if seconds is None or at is None:
                raise PlaylistError(f"{value} has no EXTINF or no date")
            entries.append(Entry(msn, value, seconds, map_uri, discontinuity, at, gap))
            msn, seconds, at, previous_map, broken, gap = msn + 1, None, None, map_uri, False, False
    return tuple(entries), tuple(parts)


def _part(msn: int, value: str) -> PartEntry:
    attributes = _attributes(value)
    independent = attributes.get("INDEPENDENT", "NO")
    demand(independent in ("YES", "NO"), f"INDEPENDENT={independent}")
    return PartEntry(msn, attributes["URI"], Fraction(attributes["DURATION"]), independent == "YES")


def _attributes(value: str) -> dict[str, str]:
    found = ATTRIBUTE.findall(value)
    demand(",".join(f"{name}={content}" for name, content in found) == value, f"bad attribute list {value}")
    demand(len({name for name, _ in found}) == len(found), f"an attribute is there twice in {value}")
    return {name: content.strip('"') for name, content in found}
