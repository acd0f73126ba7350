"""A low-latency HLS player of our own, without a picture: it reloads, takes every hint, and believes nothing."""

import asyncio
import struct
from dataclasses import dataclass, field
from fractions import Fraction

from aiohttp import ClientSession

from tests.support.hls_checker import MediaPlaylist, PlaylistChecker, demand


@dataclass
class Follower:
    """Follows one stream by blocking reloads, every second time by a delta update; fetches parts by their hints.

    `base` is the address of the stream's folder with its slash. `late` are the seconds for which hinted parts were
    held; `plain` counts loads that were no low-latency ones; `spread` is how far EXTINF sums and decode times of one
    run ever were apart, in seconds.
    """

    base: str
    checker: PlaylistChecker = field(default_factory=PlaylistChecker)
    loads: int = 0
    deltas: int = 0
    plain: int = 0
    fetched: dict[str, bytes] = field(default_factory=dict)
    spread: Fraction = Fraction(0)
    _timescales: dict[str, int] = field(default_factory=dict)

    async def follow(self, seconds: float) -> None:
        """Raises `PlaylistError` at the first violation."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with ClientSession() as session:
            playlist = await self._load(session, "media.m3u8")
            while loop.time() < until and not playlist.ended:
                if playlist.low is None:
                    self.plain += 1
                    await asyncio.sleep(0.2)
                    playlist = await self._load(session, "media.m3u8")
                    continue
                playlist = await self._turn(session, playlist)

    async def _turn(self, session: ClientSession, playlist: MediaPlaylist) -> MediaPlaylist:
        assert playlist.low is not None
        hint = playlist.low.hint
        async with asyncio.TaskGroup() as group:
            part = group.create_task(self._fetch(session, hint))
            load = group.create_task(self._load(session, self._reload(playlist)))
        data = part.result()
        if hint in self.checker.parts:
            self._check_times(load.result(), hint, data)
        return load.result()

    def _reload(self, playlist: MediaPlaylist) -> str:
        assert playlist.low is not None
        newest = playlist.entries[-1].msn
        opened = [part for part in playlist.low.parts if part.msn > newest]
        skip = "&_HLS_skip=YES" if self.loads % 2 else ""
        return f"media.m3u8?_HLS_msn={newest + 1}&_HLS_part={len(opened)}{skip}"

    async def _load(self, session: ClientSession, path: str) -> MediaPlaylist:
        async with session.get(self.base + path) as response:
            text = await response.text()
            demand(response.status == 200, f"{path} answered {response.status}: {text}")
        playlist = self.checker.load(text)
        self.loads += 1
        self.deltas += playlist.skipped > 0
        for entry in playlist.entries:
            if entry.map_uri not in self._timescales:
                self._timescales[entry.map_uri] = await self._timescale(session, entry.map_uri)
        return playlist

    async def _fetch(self, session: ClientSession, uri: str) -> bytes:
        async with session.get(self.base + uri) as response:
            data = await response.read()
            demand(response.status == 200, f"the hinted {uri} answered {response.status}")
            return data

    async def _timescale(self, session: ClientSession, uri: str) -> int:
        data = await self._fetch(session, uri)
        at = data.index(b"mdhd") + 4  # the first track: video
        return int(struct.unpack_from(">I", data, at + (20 if data[at] else 12))[0])

    def _check_times(self, playlist: MediaPlaylist, uri: str, data: bytes) -> None:
        """The part begins in decode time as far behind its segment's beginning as the playlist says."""
        assert playlist.low is not None
        self.fetched[uri] = data
        part = self.checker.parts[uri]
        before = [other for other in playlist.low.parts if other.msn == part.msn]
        before = before[: before.index(part)]
        if before and before[0].uri in self.fetched:
            timescale = self._timescales[playlist.entries[-1].map_uri]
            told = sum((other.seconds for other in before), Fraction(0))
            real = Fraction(decode_time(data) - decode_time(self.fetched[before[0].uri]), timescale)
            self.spread = max(self.spread, abs(told - real))
        for old in list(self.fetched)[:-40]:
            del self.fetched[old]


def decode_time(fragment: bytes) -> int:
    """The base media decode time of the first track fragment (ISO/IEC 14496-12, 8.8.12)."""
    at = fragment.index(b"tfdt") + 4
    return int(struct.unpack_from(">Q" if fragment[at] else ">I", fragment, at + 4)[0])
