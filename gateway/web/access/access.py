"""Who gets in: keys and play tokens are read from each request, before anything else of it is looked at."""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Annotated, Final
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from pydantic import Field

from gateway.auth.jwts import Jwts
from gateway.auth.keys import PREFIX, Key, Keys, Scope
from gateway.auth.play_tokens import PlayTokens, Ticket
from gateway.jobs.failures import Failure
from gateway.jobs.job import time_of_day
from gateway.kinds.kind import Exact
from gateway.kinds.names import StreamName
from gateway.web.access.outer import outer
from gateway.web.access.principal import PRINCIPAL, SESSION, VIEWER, cookie
from gateway.web.access.scopes import STAT, scope_of
from gateway.web.access.sites import acts_from_elsewhere
from gateway.web.calls.selection import selection
from gateway.web.context import BASE
from gateway.web.openapi.answer_models import TokenRecord
from gateway.web.problems import problem
from media.stream import playback

REALM: Final = 'realm="Reelgate", charset="UTF-8"'
COOKIE: Final = "reelgate_play"
PAGE: Final = 3600  # seconds for which a player page that was opened with a key may fetch, as its scripts have no key
TOKEN: Final = web.RequestKey("play_token", str)  # the play token of the address, when it let the request in
PAGE_TOKEN: Final = web.RequestKey("page_token", str)  # the play token of a player page that was opened with a key
GRANT: Final = web.RequestKey("grant", partial[bool])  # a function: whether the key or token of a request is still good
GUARD: Final = web.RequestKey("guard", partial[bool])  # a function: whether the answer is only for those with a key
TRIES: Final = 20  # wrong keys from one address within WINDOW, before it is told to wait
WINDOW: Final = 60.0  # seconds
MOST_ADDRESSES: Final = 10_000


class Tries:
    """Counts wrong keys by the address that they come from.

    A right key is never held up: behind a proxy all callers share one address.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until one more wrong key from there is answered as such."""
        since, count = self._wrong.get(address, (0.0, 0))
        if count < TRIES:
            return 0.0
        return max(0.0, since + WINDOW - self._clock())

    def wrong(self, address: str) -> None:
        """A wrong key came from there."""
        since, count = self._wrong.pop(address, (self._clock(), 0))
        if self._clock() - since >= WINDOW:
            since, count = self._clock(), 0
        self._wrong[address] = (since, count + 1)
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Access:
    """What decides: the keys, the tokens, and which other sites' pages may call (`origins`)."""

    keys: Keys
    tokens: PlayTokens
    sessions: PlayTokens
    origins: tuple[str, ...] = ()
    wall: Callable[[], float] = time.time
    jwts: Jwts | None = None
    tries: Tries = field(default_factory=Tries)

    def check(self, request: web.Request) -> None:
        """Raises `Failure` unless the request may go on: `forbidden`, `unauthorized`, `rate-limited`."""
        foreign = acts_from_elsewhere(request, self.origins)
        scope = _scope(request)
        if scope is not None:
            request[GUARD] = partial(self._is_needed)
        if not self.needed:
            request[GRANT] = partial(self._still_open)
            return
        if scope is None or (scope is Scope.PLAY and self._by_token(request, foreign)):
            return
        if foreign and not _bears(request):
            raise Failure("unauthorized", "A page of another site has to send its own key, as Authorization: Bearer.")
        key = self._key(request) if foreign else self._caller(request)
        request[PRINCIPAL], request[GRANT] = key, partial(self.still_good, key)
        if not key.allows(scope):
            raise Failure("forbidden", f"This needs a key with the scope {scope}; {key.name!r} does not have it.")
        if _is_page(request):
            until = int(min(self.wall() + PAGE, key.expires or inf))
            request[PAGE_TOKEN] = self.token(request.match_info["name"], until, key)

    @property
    def needed(self) -> bool:
        """Whether a caller needs a key."""
        return self.keys.needed or self.jwts is not None

    def signed_in(self, request: web.Request) -> Key | None:
        """The key that a request carries or stands for, if it is good."""
        if not self.needed:
            return None
        try:
            return self._caller(request)
        except Failure:
            return None

    def still_good(self, key: Key) -> bool:
        """Whether a key that was good has not been revoked since, and is not past its time."""
        issued_elsewhere = not key.sha256
        return not key.expired(self.wall()) if issued_elsewhere else self.keys.known(key.id) is not None

    def _is_needed(self) -> bool:
        return self.needed

    def _still_open(self) -> bool:
        """Whether there is no key as yet. The first key ends what strangers have begun."""
        return not self.needed

    def holds(self, ticket: Ticket) -> bool:
        """Whether what a play token permits goes on: its time is not over, nor the key revoked that made it."""
        return self.wall() < ticket.until and (not ticket.key or self.keys.known(ticket.key) is not None)

    def token(self, name: str, until: int, key: Key | None) -> str:
        """A play token that this caller makes. A key of somebody else's cannot be revoked here: it leaves no trace."""
        return self.tokens.sign(name, until, key.id if key is not None and key.sha256 else "")

    def _caller(self, request: web.Request) -> Key:
        """The key that is sent along, or that a browser has signed in with.

        What is sent along and is no key may be the login of a proxy in front, which browsers send to whatever lies
        behind it. Raises `Failure` as `key_of` does.
        """
        text = credentials(request)
        return (self._found(text) if text else None) or self._session(request) or self._key(request)

    def _session(self, request: web.Request) -> Key | None:
        """The key that a browser has signed in with, if it is still good."""
        token = cookie(request, SESSION)
        if not token:
            return None
        signed = self.sessions.check(token, self.wall())
        if signed is not None:
            return self.keys.known(signed.name)
        return self.jwts.find(token) if self.jwts is not None else None

    def session_of(self, key: Key, text: str, seconds: int) -> str:
        """The text that a browser keeps in place of this key, for so long.

        A JWT ends by itself, and is kept as it is.
        """
        return self.sessions.sign(key.id, int(self.wall()) + seconds) if self.keys.known(key.id) else text

    def _key(self, request: web.Request) -> Key:
        text = credentials(request)
        # A proxy's own login is no guess at a key: it comes with every request of somebody who has not signed in yet.
        if text is None or not (_bears(request) or text.startswith(f"{PREFIX}_")):
            raise Failure("unauthorized", "An API key is needed: send it as Authorization: Bearer, or as a password.")
        return self.key_of(request, text)

    def _found(self, text: str) -> Key | None:
        return self.keys.find(text) or (self.jwts.find(text) if self.jwts is not None else None)

    def key_of(self, request: web.Request, text: str) -> Key:
        """The key that a text from there is. Raises `Failure`: `unauthorized`, `rate-limited`."""
        key = self._found(text)
        if key is not None:
            return key
        address = outer(request).address
        if wait := self.tries.wait(address):
            detail = "Too many wrong keys came from this address; try again later."
            raise Failure("rate-limited", detail, retry_after=int(wait) + 1)
        self.tries.wrong(address)
        raise Failure("unauthorized", "The API key is unknown, revoked, or past its time.")

    def _by_token(self, request: web.Request, foreign: bool) -> bool:
        """Whether a play token lets it in. The cookie of a page that a key has opened gives way to a session's key,
        which lasts longer, but not where that key would not count: on a page of another site.
        """
        name, asked = request.match_info.get("name"), request.query.get("token")
        token = asked or cookie(request, COOKIE)
        ticket = self.tokens.check(token, self.wall()) if token else None
        if token is None or ticket is None or ticket.name != name or not self.holds(ticket):
            return False
        if not asked and not foreign and (key := self._session(request)) is not None and key.allows(Scope.PLAY):
            return False
        if asked:
            request[TOKEN] = asked
        request[VIEWER], request[GRANT] = token, partial(self.holds, ticket)
        return True


def grant(request: web.Request) -> Callable[[], bool]:
    """A function that says whether the key or play token of a request is still good.

    What goes on after the request, or has an answer that does not end, asks it again and again.
    """
    return request.get(GRANT) or (lambda: True)


def still_good(request: web.Request) -> bool:
    """Whether the key or play token of a request is still good at this moment."""
    return grant(request)()


def credentials(request: web.Request) -> str | None:
    """The key that a request carries: after `Bearer`, or by `Basic` as the password, or as the user without one."""
    lines = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, value = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or user or None


def _bears(request: web.Request) -> bool:
    """Whether a key is sent in a way in which no browser sends one by itself."""
    return credentials(request) is not None and request.headers[hdrs.AUTHORIZATION].lower().startswith("bearer ")


def _scope(request: web.Request) -> Scope | None:
    resource = request.match_info.route.resource
    if resource is None:
        return Scope.READ
    return scope_of(request.method, STAT if asks_for_figures(request) else resource.canonical)


def asks_for_figures(request: web.Request) -> bool:
    """Whether the dashboard's address is asked for the statistics of WCS, which are as `/metrics` to strangers."""
    return request.path == "/" and request.query.get("action") == "stat"


def _is_page(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical == "/live/{name}/"


def middleware(access: Access) -> Middleware:
    """Refuses who may not, before anything of the request is read."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request)
        except Failure as failure:
            response = problem(request, failure)
            if failure.code == "unauthorized":
                for challenge in _challenges(request):
                    response.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
            return response
        return await handler(request)

    return guarded


def _challenges(request: web.Request) -> Iterator[str]:
    """The ways to send a key, as the header `WWW-Authenticate` names them.

    A browser asks its user only where a page is opened, not for the calls of a script.
    """
    yield f"Bearer {REALM}"
    if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        yield f"Basic {REALM}"


def cache_control(request: web.Request, said: str | None) -> str | None:
    """The header `Cache-Control` of an answer that is to say `said` to caches.

    Where a key is needed, a cache that several people share may not keep the answer: it would hand it to whoever asks,
    also after the key was revoked (RFC 9111, section 5.2.2.7).
    """
    guard = request.get(GUARD)
    if guard is None or not guard() or (said is not None and ("no-store" in said or "private" in said)):
        return said
    return f"private, {said}" if said else "private, no-cache"


async def keep_private(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: sets the `Cache-Control` of every answer as `cache_control` says."""
    said = cache_control(request, response.headers.get(hdrs.CACHE_CONTROL))
    if said is not None:
        response.headers[hdrs.CACHE_CONTROL] = said


async def keep_token(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: a player page that was opened with a key gets a token for what lies below it, as its scripts have no
    key. What was opened with a token carries that on in its addresses.
    """
    token = request.get(PAGE_TOKEN)
    if token is not None:
        path = f"{outer(request).prefix}/live/{quote(request.match_info['name'], safe='')}/"
        secure = outer(request).scheme == "https"  # only then a frame of another site may have it
        site = "None; Secure; Partitioned" if secure else "Lax"
        # Cookies that are set by `set_cookie` are in the headers already when this is called.
        response.headers.add(hdrs.SET_COOKIE, f"{COOKIE}={token}; Path={path}; HttpOnly; SameSite={site}")


class TokenParams(Exact):
    """`name` is that of a stream, there or not; `expiresIn` is in seconds."""

    name: StreamName
    expires_in: Annotated[int, Field(ge=1, le=86400)] = 300


def routes(access: Access) -> list[web.RouteDef]:
    """`/stream/play_token`."""

    async def play_token(request: web.Request) -> web.StreamResponse:
        params = await selection(request, TokenParams)
        key = request.get(PRINCIPAL)
        ends = (key.expires if key else None) or inf
        until = int(min(access.wall() + params.expires_in, ends))
        token = access.token(params.name, until, key)
        record = TokenRecord(
            name=params.name,
            token=token,
            expires_at=time_of_day(until),
            playback={way: f"{path}?token={token}" for way, path in playback(params.name).items()},
        )
        return web.json_response(record.model_dump(by_alias=True), headers={hdrs.CACHE_CONTROL: "no-store"})

    return [web.post(f"{BASE}/stream/play_token", play_token)]
