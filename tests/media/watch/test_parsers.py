"""What parsers of others make of our playlists: m3u8 of PyPI, hls-parser (strict) and m3u8-parser of npm."""

import asyncio
import importlib
import json
import re
import subprocess
from functools import partial
from typing import Any

import pytest

from media.ring import LiveRing, RingLimits
from media.watch.hls import Bandwidth, media_playlist, multivariant, window
from media.watch.parts import PartLog
from tests.peers import npm
from tests.support.feeding import Feeder, an_init

pytestmark = [pytest.mark.media, pytest.mark.debian]

m3u8: Any = importlib.import_module("m3u8")  # it has no types
SCRIPT = npm.FOLDER / "parse_playlists.cjs"


def written(ring: LiveRing, *, low: bool = True, skip: bool = False) -> str:
    listed = window(ring.segments(), ring.discontinuities, 10, ring.target_duration)
    parts = PartLog().read(ring, ring.segments(), ring.target_duration) if low else None
    return media_playlist(listed, ring.target_duration, ring.ended, parts, skip)


def playlists() -> list[str]:
    """The four kinds; then over a hole and a new init, where a segment is short, and at the end."""
    ring = LiveRing(RingLimits(), lambda: 1_700_000_000.25)
    feeder = Feeder(ring)
    feeder.feed(5 * 8 + 2)
    kinds = [multivariant(an_init(), Bandwidth(2000, 1000)), written(ring, low=False), written(ring)]
    kinds.append(written(ring, skip=True))
    feeder.skip(7)
    feeder.init = an_init(320)
    feeder.feed(12)
    kinds += [written(ring), written(ring, low=False)]
    ring.close()
    return [*kinds, written(ring)]


async def by_npm(texts: list[str]) -> Any:
    for package in ("hls-parser", "m3u8-parser"):
        await npm.installed(f"{package}/package.json")
    run = partial(subprocess.run, ["node", SCRIPT], capture_output=True, timeout=30, check=True)
    done = await asyncio.to_thread(run, input=json.dumps(texts).encode())
    return json.loads(done.stdout)


async def test_three_parsers_read_in_each_kind_of_playlist_what_is_written_there() -> None:
    texts = playlists()
    assert "EXT-X-SKIP" in texts[3]
    assert all("EXT-X-PART:" in texts[number] for number in (2, 3, 4))
    assert "EXT-X-ENDLIST" in texts[-1]
    for text, (strict, lenient) in zip(texts, await by_npm(texts), strict=True):
        uris = [line for line in text.splitlines() if line and not line.startswith("#")]
        parts = re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', text)
        skipped = int((re.findall(r"SKIPPED-SEGMENTS=(\d+)", text) or ["0"])[0])
        by_m3u8 = m3u8.loads(text)
        if "EXT-X-STREAM-INF" in text:
            assert strict == {"variants": uris}
            assert lenient == {"variants": uris, "warnings": []}
            assert [one.uri for one in by_m3u8.playlists] == uris
            continue
        read = {"skipped": skipped, "segments": uris, "parts": parts}
        assert strict == read
        assert lenient == {**read, "warnings": []}
        assert [one.uri for one in by_m3u8.segments if one.uri] == uris
        assert [part.uri for one in by_m3u8.segments for part in one.parts] == parts
