"""WHEP (draft-ietf-wish-whep): WebRTC by one POST with an SDP offer, whose answer is a session to be deleted."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.kinds.kind import as_failure
from gateway.web import body
from gateway.web.access.access import TOKEN, grant
from gateway.web.access.outer import outer
from gateway.web.access.principal import viewer
from gateway.web.watch.viewers import Viewers, Way
from media.chunk import Chunk
from media.ring import Ring
from media.watch import whep
from media.watch.whep import Broadcasts, Offer, WhepSession

SDP: Final = "application/sdp"


class Whep:
    """The sessions of all streams. A viewer counts as one for as long as its session lasts.

    `tick` is in seconds: until one is ended whose token's time is over, or whose key was revoked.
    """

    def __init__(self, broadcasts: Broadcasts | None, viewers: Viewers, tick: float) -> None:
        self._broadcasts = broadcasts
        self._viewers = viewers
        self._tick = tick
        self._sessions: dict[tuple[str, str], WhepSession] = {}

    def check(self, request: web.Request) -> None:
        """Raises `Failure` when WebRTC is not for this gateway (`not-installed`) or the body is no SDP."""
        if self._broadcasts is None or not whep.is_installed():
            raise Failure(
                "not-installed", "WebRTC needs the extra: pip install 'reelgate[webrtc]'. MSE and HLS do not."
            )
        if request.content_type != SDP:
            raise Failure("unsupported-media-type", f"Send an SDP offer as {SDP}.")

    async def offer(self, request: web.Request, chunk: Chunk, rings: Callable[[], Ring | None]) -> web.Response:
        """201 with the answer; its Location is the session. `chunk` is the newest key frame's.

        Failures: `codec-unsupported`, `capacity-exceeded`, `too-slow`, and those of `Broadcasts.open`.
        """
        assert self._broadcasts is not None
        reason = whep.refusal(chunk)
        if reason:
            raise Failure("codec-unsupported", reason)
        name, text = request.match_info["name"], await _text(request)
        with ExitStack() as stack:
            stack.enter_context(self._viewers.watching(request, Way.WHEP))
            with as_failure():
                session = await self._broadcasts.open(name, rings, Offer(text, _reached(request), _who(request)))
            self._sessions[name, session.id] = session
            place = stack.pop_all()

        place.callback(self._sessions.pop, (name, session.id))
        session.gone.add_done_callback(lambda _: place.close())
        self._watch_over(name, session, grant(request))
        token = request.get(TOKEN)  # the one that was checked: what else is in the address gets into no header
        location = f"/live/{quote(name, safe='')}/whep/{session.id}" + (f"?token={token}" if token else "")
        headers = {hdrs.LOCATION: location, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(status=201, text=session.answer.result(), content_type=SDP, headers=headers)

    def _watch_over(self, name: str, session: WhepSession, may_watch: Callable[[], bool]) -> None:
        """Ends the session when it may not go on. Nothing passes through here that could ask by itself."""
        if session.gone.done() or self._broadcasts is None:
            return
        # At the beginning, so that there is another look whatever goes wrong with this one.
        next_look = asyncio.get_running_loop().call_later(self._tick, self._watch_over, name, session, may_watch)
        if not may_watch():
            next_look.cancel()
            self._broadcasts.end(name, session.id)

    def delete(self, request: web.Request) -> web.Response:
        """Ends a session. Failure: `not-found`."""
        name, session = request.match_info["name"], request.match_info["session"]
        if self._broadcasts is None or (name, session) not in self._sessions:
            raise Failure("not-found", "There is no such session (any more).")
        self._broadcasts.end(name, session)
        return web.Response()


async def options(_: web.Request) -> web.StreamResponse:
    """What may be posted (draft-ietf-wish-whep, section 4.1; `Accept-Post` is of Linked Data Platform, 7.1)."""
    return web.Response(status=204, headers={"Accept-Post": SDP, hdrs.ALLOW: "OPTIONS, POST"})


async def _text(request: web.Request) -> str:
    """SDP is UTF-8 (RFC 8866, section 5), whatever the request says."""
    try:
        return (await body.read(request)).decode()
    except UnicodeDecodeError:
        raise Failure("bad-request", "The offer is not UTF-8.") from None


def _who(request: web.Request) -> str:
    """Whom a viewer's place counts for: its token and its address, as a page may give one token to all its viewers."""
    return f"{viewer(request)} {outer(request).address}"


def _reached(request: web.Request) -> str:
    """The address of this machine that the viewer came to, and so can send to."""
    address = request.transport.get_extra_info("sockname") if request.transport else None
    return str(address[0]).partition("%")[0] if address else "127.0.0.1"
