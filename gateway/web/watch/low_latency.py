"""The live edge of a ring over HTTP: playlists written once for all, blocking reloads, parts before they exist."""

import asyncio
import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.web.access.access import TOKEN
from gateway.web.watch.mse import arrival, is_gone
from media.chunk import Chunk
from media.ring import Ring
from media.watch import hls
from media.watch.parts import LowLatency, PartLog

AHEAD: Final = 2  # segments past the newest one that may be asked for (rfc8216bis, 6.2.5.2)
HELD_TARGETS: Final = 3  # target durations that a reload or a part is held at the most (rfc8216bis, 6.2.5.2)
BIG_NUMBER: Final = 18  # digits


@dataclass(frozen=True, slots=True)
class Reload:
    """The delivery directives of one request (rfc8216bis, 6.2.5); `msn` None: as it is now."""

    msn: int | None = None
    part: int | None = None
    skip: bool = False


def directives(query: Mapping[str, str]) -> Reload:
    """Reads `_HLS_msn`, `_HLS_part` and `_HLS_skip`. Raises `Failure` (`bad-request`) for what makes no sense."""
    msn, part = _number(query, "_HLS_msn"), _number(query, "_HLS_part")
    if part is not None and msn is None:
        raise Failure("bad-request", "_HLS_part needs _HLS_msn beside it.")
    return Reload(msn, part, query.get("_HLS_skip") in ("YES", "v2"))


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= BIG_NUMBER):
        raise Failure("bad-request", f"{name} must be a whole number.")
    return int(text)


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """`window` in segments, `waiters` at once on one ring, `tick` in seconds until a vanished client is noticed."""

    window: int
    waiters: int
    tick: float


@dataclass(frozen=True)
class Written:
    """One playlist as it goes out, plain or zipped; the ETag is weak, for it stands for both."""

    plain: bytes
    etag: str

    @classmethod
    def of(cls, text: str) -> "Written":
        plain = text.encode()
        return cls(plain, f'W/"{sha256(plain).hexdigest()[:16]}"')

    @cached_property
    def zipped(self) -> bytes:
        """The text compressed by gzip; made for the first client that wants it so."""
        return gzip.compress(self.plain, 5, mtime=0)

    def answer(self, request: web.Request) -> web.Response:
        """200, or 304 for a client that has it already; compressed for who takes it so.

        A playlist that was asked for with a token carries the token in each of its addresses, since no player keeps a
        cookie of another site. It is that viewer's alone then: no cache may keep it.
        """
        if (token := request.get(TOKEN)) is not None:
            own = Written.of(hls.carrying(self.plain.decode(), f"token={token}"))
            return own.zippable(request, "private, no-store")
        return self.zippable(request, "no-cache")

    def shared(self, request: web.Request, seconds: int) -> web.Response:
        """An answer that many clients wait for at the same time.

        It is plain, whatever they take: a cache in between asks once for all of them, and compresses it itself.
        """
        if TOKEN in request:
            return self.answer(request)
        return self._render(request, lambda: self.plain, {"Cache-Control": f"max-age={seconds}"})

    def zippable(self, request: web.Request, cache: str) -> web.Response:
        """An answer that is compressed for who takes it so, and plain for others."""
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return self._render(request, lambda: self.zipped, {**headers, "Content-Encoding": "gzip"})
        return self._render(request, lambda: self.plain, headers)

    def _render(self, request: web.Request, body: Callable[[], bytes], headers: dict[str, str]) -> web.Response:
        headers["ETag"] = self.etag
        if self.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            headers.pop("Content-Encoding", None)
            return web.Response(status=304, headers=headers)
        headers["X-Content-Type-Options"] = "nosniff"
        return web.Response(body=body(), content_type=hls.MIME, headers=headers)


class Edge:
    """What is served of one ring by HLS. Every wait ends at a limit, or within a tick of the client's leaving.

    `is_current` says whether the ring is still the stream's: nobody waits for one that was replaced.
    """

    def __init__(self, ring: Ring, limits: EdgeLimits) -> None:
        self._ring = ring
        self._limits = limits
        self._log = PartLog()
        self._state: object = None  # of the ring when it was read for what follows
        self._low: LowLatency | None = None
        self._written: dict[bool, Written] = {}
        self.waiting = 0

    async def playlist(self, request: web.Request, want: Reload, is_current: Callable[[], bool]) -> web.Response:
        """The media playlist, once it has what was asked for. Failures: `bad-request`, `capacity-exceeded`.

        `no-keyframe-yet` is a blocking reload that took too long. A stream that is plain HLS now answers at once.
        """
        written, low = self._write(want.skip)
        if want.msn is None or low is None:
            return written.answer(request)
        if want.msn > self._ring.segments()[-1].msn + AHEAD:
            raise Failure("bad-request", f"Segment {want.msn} is more than {AHEAD} ahead; read the playlist again.")
        with self._waiter():
            await self._until(request, lambda: self._has(want), is_current)
        written, _ = self._write(want.skip)
        # What was waited for is in it whoever reads it, so a cache may hand it on as long as it is of use.
        return written.shared(request, self._ring.target_duration)

    async def part(self, request: web.Request, number: int, token: str, is_current: Callable[[], bool]) -> Chunk:
        """The chunk that is this part, once it is there. Raises `Failure` `not-found` if it is another ring's, has left
        or never comes.
        """
        ring, chunk = self._ring, None
        if token == self._log.token:
            chunk = await ring.chunk(number)  # as a rule it is there
            if chunk is None and number == ring.head:
                with self._waiter():
                    await self._until(request, lambda: ring.head > number or self._is_away(), is_current)
            if chunk is None and number <= ring.head:
                chunk = await ring.chunk(number)
        if chunk is None:
            detail = f"Part {number} is not in the stream (any more); read the playlist again."
            raise Failure("not-found", detail)
        return chunk

    def _write(self, skip: bool) -> tuple[Written, LowLatency | None]:
        """The playlist as it is now, and what makes it a low-latency one; worked out once for all who ask."""
        ring = self._ring
        segments, target = ring.segments(), ring.target_duration
        last = segments[-1]
        state = (segments[0].msn, last.msn, last.count, last.complete, target, ring.ended, ring.standing)
        if state != self._state:
            self._state, self._low = state, self._log.read(ring, segments, target)
            self._written.clear()
        if skip not in self._written:
            listed = hls.window(segments, ring.discontinuities, self._limits.window, target)
            self._written[skip] = Written.of(hls.media_playlist(listed, target, ring.ended, self._low, skip))
        return self._written[skip], self._low

    def _has(self, want: Reload) -> bool:
        """Whether the playlist has that segment or part, or there is no use in waiting for it."""
        last = self._ring.segments()[-1]
        if want.msn is None or want.msn < last.msn or self._is_away():
            return True
        if want.msn > last.msn:
            return False
        return last.complete if want.part is None else want.part < last.count

    def _is_away(self) -> bool:
        return self._ring.standing or self._ring.segments()[-1].gap

    async def _until(self, request: web.Request, holds: Callable[[], bool], is_current: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + HELD_TARGETS * self._ring.target_duration
        while not holds() and not self._ring.ended and is_current():
            left = limit - loop.time()
            if left <= 0 or is_gone(request):
                raise Failure("no-keyframe-yet", "The stream stands still; ask again.", retry_after=1)
            await arrival(self._ring, self._ring.head, min(left, self._limits.tick))

    @contextmanager
    def _waiter(self) -> Iterator[None]:
        if self.waiting >= self._limits.waiters:
            raise Failure("capacity-exceeded", "Too many requests wait for this stream; ask again.", retry_after=1)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
