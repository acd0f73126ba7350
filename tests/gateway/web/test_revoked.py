"""A key that is revoked, and a token or a key past its time, end what was begun with them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient

from gateway.auth.keys import Key, KeyFile, Keys, Scope
from gateway.auth.play_tokens import PlayTokens
from gateway.web.access.access import Access, middleware
from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import Makers, PlayLimits
from gateway.web.watch.viewers import ViewerCaps, Viewers
from media.pictures.stills import Format, Still, Stills
from media.ring import Ring
from media.watch.whep import Broadcasts, Offer, Rings, WhepSession
from tests.gateway.web.test_whep import SDP, a_ring
from tests.support.feeding import Feeder
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

WAYS = ("mse", "film", "pictures", "whep")
ENDS = {"type": "end", "reason": "unauthorized"}


class Wall:
    """A time of day that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Taker(Stills):
    """Takes the same picture of everything."""

    def __init__(self) -> None:
        pass

    async def take(self, ring: Ring, form: Format = "jpeg", width: int | None = None, viewer: str = "") -> Still:
        return Still(b"picture", 8, 8, form, 1_700_000_000.0)

    def age(self, still: Still) -> float:
        return 0.0


class Sessions:
    """In the place of `Broadcasts`: takes every offer, and ends a session as soon as that is wanted."""

    def __init__(self) -> None:
        self.open_ones: dict[str, WhepSession] = {}

    async def open(self, _name: str, _rings: Rings, offer: Offer) -> WhepSession:
        loop = asyncio.get_running_loop()
        session = WhepSession(f"s{len(self.open_ones)}", loop.create_future(), loop.create_future())
        session.answer.set_result(offer.sdp)
        self.open_ones[session.id] = session
        return session

    def end(self, _name: str, session: str) -> None:
        self.open_ones.pop(session).gone.set_result(None)


def an_access(path: Path, wall: Callable[[], float] = lambda: 0.0) -> Access:
    return Access(Keys(path), PlayTokens(bytes(32)), PlayTokens(bytes(32)), wall=wall)


class Watching:
    """Streams behind keys. `yard` can be watched in every way."""

    def __init__(self, folder: Path, *, keyless: bool = False) -> None:
        self.file, self.wall, self.streams = KeyFile(folder / "keys.json"), Wall(), FakeStreams()
        self.access = an_access(folder / "keys.json", self.wall)
        if not keyless:
            self.file.make("somebody", (Scope.READ,))  # so that keys are needed
        self.sessions = Sessions()
        self.seats = Viewers(self.streams, ViewerCaps())

    def client(self) -> TestClient[Any, Any]:
        """One whose stream goes on."""
        self.streams.rings["sendable"] = a_ring("avc1.1")
        Feeder(self.streams.add("yard")).feed_until(2)
        makers = Makers(Taker(), cast(Broadcasts, self.sessions))
        app = an_app(self.streams, PlayLimits(viewer=ViewerLimits(tick=0.05)), makers, self.seats)
        app.middlewares.append(middleware(self.access))
        return TestClient(Server(app))

    def revoke(self, name: str) -> None:
        self.file.revoke(name)
        self.access.keys.reload()

    @property
    def viewers(self) -> int:
        return sum(self.streams.watching.values())


async def watch(client: TestClient[Any, Any], how: str, headers: dict[str, str], query: str = "") -> object:
    """Until it is ended by the gateway; gives what a socket is told last, and its close code."""
    if how == "mse":
        said: object = None
        async with client.ws_connect(f"/live/yard/mse{query}", headers=headers) as socket:
            async for message in socket:
                said = message.json() if message.type == WSMsgType.TEXT else said
            return said, socket.close_code
    if how == "whep":
        async with client.post(f"/live/sendable/whep{query}", data="v=0", headers={**headers, **SDP}) as answer:
            assert answer.status == 201
        return None
    path = {"film": "/live/yard.mp4", "pictures": "/live/yard.mjpeg"}[how]
    async with client.get(f"{path}{query}", headers=headers) as film:
        assert film.status == 200
        await film.read()
    return None


@pytest.mark.parametrize("how", WAYS)
async def test_a_viewer_whose_key_is_revoked_sees_no_more(tmp_path: Path, how: str) -> None:
    here = Watching(tmp_path)
    headers = [
        {"Authorization": f"Bearer {here.file.make(name, (Scope.PLAY,))[1]}", "User-Agent": name}
        for name in ("one", "two")
    ]
    async with here.client() as client, asyncio.timeout(60):
        first, second = (asyncio.create_task(watch(client, how, each)) for each in headers)
        await until(lambda: here.viewers == 2, 30)
        here.revoke("one")
        await until(lambda: here.viewers == 1, 30)
        if how == "mse":
            assert await first == (ENDS, 1008)
            assert not second.done()
        here.revoke("two")
        await until(lambda: here.viewers == 0, 30)
        await asyncio.gather(first, second)


@pytest.mark.parametrize("how", WAYS)
async def test_a_viewer_who_came_before_the_first_key_was_made_sees_no_more(tmp_path: Path, how: str) -> None:
    here = Watching(tmp_path, keyless=True)
    async with here.client() as client, asyncio.timeout(60):
        watching = asyncio.create_task(watch(client, how, {}))
        await until(lambda: here.viewers == 1, 30)
        await asyncio.sleep(0.3)  # many ticks
        assert here.viewers == 1
        here.file.make("first", (Scope.READ,))
        here.access.keys.reload()
        await until(lambda: here.viewers == 0, 30)
        said = await watching
        if how == "mse":
            assert said == (ENDS, 1008)


@pytest.mark.parametrize("how", WAYS)
async def test_a_viewer_who_is_told_to_go_sees_no_more_and_others_do(tmp_path: Path, how: str) -> None:
    here = Watching(tmp_path, keyless=True)
    async with here.client() as client, asyncio.timeout(60):
        first = asyncio.create_task(watch(client, how, {}))
        await until(lambda: here.viewers == 1, 30)
        (seat,) = here.seats.seats()
        second = asyncio.create_task(watch(client, how, {}))
        await until(lambda: here.viewers == 2, 30)
        here.seats.end(seat.id)
        assert [each.id != seat.id for each in here.seats.seats()] == [True]
        await until(lambda: here.viewers == 1, 30)
        if how == "mse":
            assert await first == (ENDS, 1008)
            assert not second.done()
        here.seats.end(here.seats.seats()[0].id)
        here.seats.end("nobody")
        await until(lambda: here.viewers == 0, 30)
        await asyncio.gather(first, second)


@pytest.mark.parametrize("why", ["its time", "its key"])
@pytest.mark.parametrize("how", WAYS)
async def test_what_was_begun_with_a_play_token_ends_with_it(tmp_path: Path, how: str, why: str) -> None:
    here = Watching(tmp_path)
    key, _ = here.file.make("portal", (Scope.PLAY,))
    name = "sendable" if how == "whep" else "yard"
    async with here.client() as client, asyncio.timeout(60):
        watching = asyncio.create_task(watch(client, how, {}, f"?token={here.access.token(name, 100, key)}"))
        other = asyncio.create_task(watch(client, how, {}, f"?token={here.access.token(name, 200, None)}"))
        await until(lambda: here.viewers == 2, 30)
        here.wall.now = 99.0
        if why == "its time":
            here.wall.now = 100.0
        else:
            here.revoke("portal")
        await until(lambda: here.viewers == 1, 30)
        if how == "mse":
            assert await watching == (ENDS, 1008)
        here.wall.now = 200.0
        await until(lambda: here.viewers == 0, 30)
        await asyncio.gather(watching, other)


async def test_a_token_that_a_revoked_key_has_made_opens_nothing(tmp_path: Path) -> None:
    here = Watching(tmp_path)
    key, _ = here.file.make("portal", (Scope.PLAY,))
    token = here.access.token("yard", 100, key)
    async with here.client() as client:
        for status in (200, 401):
            async with client.get(f"/live/yard/media.m3u8?token={token}") as answer:
                assert answer.status == status
            if status == 200:
                here.revoke("portal")


async def test_who_is_signed_in_is_not_held_to_the_token_of_the_page(tmp_path: Path) -> None:
    here = Watching(tmp_path)
    key, _ = here.file.make("desk", (Scope.CONTROL,))
    cookies = {
        "reelgate_play": here.access.token("yard", 100, key),
        "reelgate_session": here.access.sessions.sign(key.id, 1000),
    }
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    async with here.client() as client, asyncio.timeout(60):
        watching = asyncio.create_task(watch(client, "mse", headers))
        await until(lambda: here.viewers == 1, 30)
        here.wall.now = 101.0
        async with client.get("/live/yard/media.m3u8", headers=headers) as answer:
            assert answer.status == 200
        assert not watching.done()
        here.revoke("desk")
        assert await watching == (ENDS, 1008)


def test_a_key_of_somebody_elses_is_good_until_its_time(tmp_path: Path) -> None:
    key = Key("jwt-1", "somebody", (Scope.READ,), "", 0.0, 100.0)
    assert an_access(tmp_path / "none", lambda: 99.0).still_good(key)
    assert not an_access(tmp_path / "none", lambda: 100.0).still_good(key)
