"""Many viewers behind one cache: each part and each reload is one request to the gateway, whoever asks and how."""

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from gateway.settings import Settings
from tests.api.test_access import BASE, Guarded, guard
from tests.deploy.outside import Outside
from tests.deploy.test_caches import CHANNEL, LIVE, behind, guided_nginx, guided_varnish, session_of, with_token

pytestmark = [pytest.mark.media, pytest.mark.debian]

PLAYERS: Final = 50
# As browsers, hls.js, AVPlayer, curl and ffmpeg send it, or not at all.
ENCODINGS: Final = ("gzip, deflate, br, zstd", "gzip, deflate, br", "gzip", "identity", "")


class Arrivals:
    """How often one handler of watching was asked, and the loop's time at which it last had an answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.count = 0
        self.answered = 0.0
        from gateway.web.watch.play import _Play

        real: Callable[..., Any] = getattr(_Play, name)

        async def counted(play: _Play, request: web.Request) -> web.StreamResponse:
            self.count += 1
            response: web.StreamResponse = await real(play, request)
            self.answered = asyncio.get_running_loop().time()
            return response

        monkeypatch.setattr(_Play, name, counted)


async def credentials(guarded: Guarded, what: str) -> list[tuple[str, dict[str, str]]]:
    """Who the players are: half have a token of their own, or what takes its place where a token is in the body."""
    found: list[tuple[str, dict[str, str]]] = []
    for number in range(PLAYERS):
        if number % 2:
            found.append(("", {"Authorization": f"Bearer {guarded.texts['play']}"}))
        elif what == "part":
            asked = {"name": CHANNEL["localStreamName"], "expiresIn": 600 + number}
            made = await guarded.ask("POST", f"{BASE}/stream/play_token", "play", asked)
            found.append((made.body["token"], {}))
        else:
            found.append(("", {"Cookie": await session_of(guarded, guarded.texts["play"])}))
    return found


async def at_once(caller: Outside, guarded: Guarded, what: str, arrivals: Arrivals) -> float:
    """All players ask for the next part or reload. Gives the seconds from the gateway's answer to the last one's."""
    players = await credentials(guarded, what)
    await asyncio.gather(*(caller.get(f"{LIVE}/access", headers) for _, headers in players))  # all are connected
    text = (await guarded.ask("GET", f"{LIVE}/media.m3u8?_HLS_msn=1", "play")).body.decode()
    (hint,) = re.findall(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)', text)
    following = int(re.findall(r"segment-(\d+)", text)[-1]) + 1
    path = f"{LIVE}/{hint}" if what == "part" else f"{LIVE}/media.m3u8?_HLS_msn={following}&_HLS_skip=YES"
    loop, bodies = asyncio.get_running_loop(), set()

    async def ask(number: int) -> float:
        token, headers = players[number]
        sent = {**headers, "Accept-Encoding": ENCODINGS[number % len(ENCODINGS)]}
        answer = await caller.get(with_token(path, token) if token else path, sent, most=10**9)
        assert answer.status == 200, answer
        bodies.add(bytes(answer.body))
        return loop.time()

    arrivals.count = 0
    last = max(await asyncio.gather(*(ask(number) for number in range(PLAYERS))))
    assert len(bodies) == 1
    return last - arrivals.answered


@pytest.mark.parametrize("cache", [guided_nginx, guided_varnish], ids=lambda cache: cache.__name__)
async def test_fifty_players_behind_a_cache_are_one_request_for_a_part_and_for_a_reload(
    settings: Settings, tmp_path: Path, cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = {what: Arrivals(monkeypatch, what) for what in ("part", "media")}
    async with guard(settings) as guarded, behind(cache, guarded, tmp_path) as caller:
        assert (await guarded.ask("POST", f"{BASE}/vod/startup", "control", CHANNEL)).status == 200
        for what, arrivals in arrived.items():
            late = await at_once(caller, guarded, what, arrivals)
            print(f"\n{cache.__name__} {what}: the last answer came {late * 1000:.0f} ms after the gateway's")
            assert arrivals.count == 1
            assert late < 5  # with a lock that is never let go of it is nginx's limit of 10 s
        players = await credentials(guarded, "part")
        paths = [
            with_token(f"{LIVE}/{name}", token) if token else f"{LIVE}/{name}"
            for name, (token, _) in zip(itertools.cycle(("index.m3u8", "media.m3u8")), players, strict=False)
        ]
        loop = asyncio.get_running_loop()
        began = loop.time()
        asked = zip(paths, players, strict=True)
        answers = await asyncio.gather(*(caller.get(path, headers) for path, (_, headers) in asked))
        assert {answer.status for answer in answers} == {200}
        assert loop.time() - began < 5  # what is not kept is not locked: nobody waits for another's answer
