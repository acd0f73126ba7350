"""Low-latency HLS: what the playlist promises, what a blocking reload waits for, and when it is refused."""

import asyncio
import itertools
from fractions import Fraction
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from gateway.web.watch.viewers import ViewerCaps
from media.chunk import Init, VideoTrack
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.ring import LiveRing, RingLimits
from tests.support.feeding import TIMESCALE, Feeder, an_init
from tests.support.follower import Follower
from tests.support.hls_checker import MediaPlaylist, PlaylistChecker
from tests.support.processes import until
from tests.support.watching import FakeStreams, Server, an_app

Client = TestClient[Any, Any]


async def loaded(client: Client, checker: PlaylistChecker | None = None, query: str = "") -> MediaPlaylist:
    response = await client.get(f"/live/yard/media.m3u8{query}")
    assert response.status == 200
    return (checker or PlaylistChecker()).load(await response.text())


async def refusal(client: Client, query: str) -> tuple[int, str]:
    response = await client.get(f"/live/yard/media.m3u8{query}")
    return response.status, (await response.json())["code"]


async def test_the_playlist_lists_parts_at_the_live_edge_and_hints_at_the_next(
    client: Client, streams: FakeStreams
) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed_until(8)
    feeder.feed(2)
    playlist = await loaded(client)
    assert playlist.low is not None
    assert playlist.low.part_target == Fraction(412, 1000)
    assert playlist.low.hold_back == 3 * playlist.low.part_target
    assert [part.msn for part in playlist.low.parts].count(8) == 3  # the open segment's
    assert playlist.low.parts[0].msn == 6  # what began more than three target durations ago has none
    assert playlist.low.hint.startswith("part-43.m4s")


async def test_the_hinted_part_is_held_until_it_is_there_and_is_the_next_one_listed(
    client: Client, streams: FakeStreams
) -> None:
    ring = streams.add("yard")
    feeder, checker = Feeder(ring), PlaylistChecker()
    feeder.feed_until(2)
    before = await loaded(client, checker)
    assert before.low is not None
    held = asyncio.create_task(client.get(f"/live/yard/{before.low.hint}"))
    await until(lambda: ring.waiting > 0)
    made = feeder.feed()
    response = await held
    assert await response.read() == made.data
    assert response.headers["Cache-Control"] == "max-age=3600, immutable"
    await loaded(client, checker)
    assert checker.resolved == 1


@pytest.mark.parametrize("path", ["part-{ahead}.m4s?s={token}", "part-1.m4s?s=0000", "part-1.m4s"])
async def test_a_part_that_was_never_hinted_is_not_found(client: Client, streams: FakeStreams, path: str) -> None:
    ring = streams.add("yard")
    Feeder(ring).feed_until(2)
    playlist = await loaded(client)
    assert playlist.low is not None
    token = playlist.low.hint.partition("=")[2]
    address = path.format(ahead=ring.head + 1, token=token)
    assert (await client.get(f"/live/yard/{address}")).status == 404


async def test_a_blocking_reload_returns_with_the_part_or_the_segment_it_asks_for(
    client: Client, streams: FakeStreams
) -> None:
    ring = streams.add("yard")
    feeder, checker = Feeder(ring), PlaylistChecker()
    feeder.feed_until(3)
    await loaded(client, checker)
    for query, chunks in (("?_HLS_msn=3&_HLS_part=1", 1), ("?_HLS_msn=3&_HLS_part=2", 1), ("?_HLS_msn=3", 3)):
        held = asyncio.create_task(client.get(f"/live/yard/media.m3u8{query}"))
        await until(lambda: ring.waiting > 0)
        assert not held.done()
        feeder.feed(chunks)
        response = await held
        assert response.headers["Cache-Control"] == "max-age=2"
        playlist = checker.load(await response.text())
        assert playlist.low is not None
    assert playlist.entries[-1].msn == 3


async def test_a_reload_is_the_same_bytes_for_all_whatever_encodings_they_take(
    client: Client, streams: FakeStreams
) -> None:
    Feeder(streams.add("yard")).feed_until(3)
    bodies = set()
    for encodings in ("gzip, deflate, br", "gzip", "identity"):
        for known in ({}, {"If-None-Match": 'W/"another"'}):
            answer = await client.get(
                "/live/yard/media.m3u8?_HLS_msn=2", headers={"Accept-Encoding": encodings, **known}
            )
            assert "Vary" not in answer.headers
            assert "Content-Encoding" not in answer.headers
            bodies.add(await answer.read())
    assert len(bodies) == 1
    now = await client.get("/live/yard/media.m3u8", headers={"Accept-Encoding": "gzip"})
    assert (now.headers["Content-Encoding"], now.headers["Vary"]) == ("gzip", "Accept-Encoding")


async def test_what_is_there_already_is_not_waited_for(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard")).feed_until(3)
    for query in ("?_HLS_msn=0", "?_HLS_msn=2&_HLS_part=4", "?_HLS_msn=3&_HLS_part=0"):
        await loaded(client, query=query)  # what is held is a 503 after 6 s


@pytest.mark.parametrize(
    "query", ["?_HLS_msn=6", "?_HLS_part=1", "?_HLS_msn=-1", "?_HLS_msn=x", "?_HLS_msn=1&_HLS_part=1e3"]
)
async def test_nonsense_and_the_far_future_are_refused(client: Client, streams: FakeStreams, query: str) -> None:
    Feeder(streams.add("yard")).feed_until(3)
    assert await refusal(client, query) == (400, "bad-request")


async def test_a_delta_update_skips_what_is_old_and_the_rest_agrees(client: Client, streams: FakeStreams) -> None:
    feeder, checker = Feeder(streams.add("yard")), PlaylistChecker()
    feeder.feed_until(9)
    whole = await loaded(client, checker)
    delta = await loaded(client, checker, "?_HLS_skip=YES")
    assert delta.skipped == 2
    assert delta.entries == whole.entries
    feeder.skip(4)
    feeder.feed_until(12)
    await loaded(client, checker, "?_HLS_skip=v2")


async def test_a_playlist_that_did_not_change_is_not_sent_again(client: Client, streams: FakeStreams) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed_until(2)
    first = await client.get("/live/yard/media.m3u8")
    known = {"If-None-Match": first.headers["ETag"]}
    assert (await client.get("/live/yard/media.m3u8", headers=known)).status == 304
    feeder.feed()
    again = await client.get("/live/yard/media.m3u8", headers=known)
    assert (again.status, again.headers["ETag"] != first.headers["ETag"]) == (200, True)


@pytest.mark.looptime
async def test_a_stream_that_stands_still_ends_the_wait_after_three_target_durations() -> None:
    streams = FakeStreams()
    ring = streams.add("yard")
    Feeder(ring).feed_until(2)
    loop = asyncio.get_running_loop()
    async with TestClient(Server(an_app(streams))) as client:
        began = loop.time()
        assert await refusal(client, "?_HLS_msn=3") == (503, "no-keyframe-yet")
        assert loop.time() - began == pytest.approx(6, abs=0.5)
    assert ring.waiting == 0


class Pausable(LiveRing):
    """A ring that can be told to stand, as that of a paused channel does."""

    paused = False

    @property
    def standing(self) -> bool:
        return self.paused


async def test_a_paused_channel_promises_no_reload_and_holds_nobody(client: Client, streams: FakeStreams) -> None:
    streams.rings["yard"] = ring = Pausable(RingLimits(), lambda: 1_700_000_000.0)
    feeder, checker = Feeder(ring), PlaylistChecker()
    feeder.feed_until(3)
    feeder.feed()
    hint = (await loaded(client, checker)).low
    assert hint is not None
    held = [asyncio.create_task(client.get(f"/live/yard/{path}")) for path in (hint.hint, "media.m3u8?_HLS_msn=4")]
    await until(lambda: ring.waiting == 2)
    ring.paused = True
    part, reload = [await each for each in held]  # without a chunk, and before the limit of six seconds
    assert (part.status, reload.status) == (404, 200)
    paused = checker.load(await reload.text())
    assert paused.low is None
    assert not paused.ended
    ring.paused = False
    feeder.feed()
    assert (await loaded(client, checker)).low is not None


@pytest.mark.looptime
async def test_while_the_camera_is_away_the_playlist_is_plain_and_says_so_by_gaps() -> None:
    streams, loop = FakeStreams(), asyncio.get_running_loop()
    ring = LiveRing(RingLimits(), lambda: 1_700_000_000.0 + loop.time(), loop.time)
    streams.rings["yard"] = ring
    feeder, checker = Feeder(ring), PlaylistChecker()
    feeder.feed_until(3)
    async with TestClient(Server(an_app(streams))) as client:
        assert (await loaded(client, checker)).low is not None
        began = loop.time()
        away = await loaded(client, checker, "?_HLS_msn=4")  # held, and answered once the absence is plain
        assert loop.time() - began == pytest.approx(3, abs=1.1)
        assert away.low is None
        assert away.entries[-1].gap
        assert not away.entries[-2].gap
        await asyncio.sleep(60)
        gaps = [entry.gap for entry in (await loaded(client, checker)).entries]
        assert gaps == [False] + [True] * 7
        assert (await client.get(f"/live/yard/{away.entries[-1].uri}")).status == 404
        feeder.skip(8)
        feeder.feed(12)
        back = await loaded(client, checker)
        assert back.low is not None
        assert not back.ended
        assert len({entry.discontinuity for entry in back.entries}) == 2


async def test_uneven_parts_and_few_frames_make_a_plain_playlist(client: Client, streams: FakeStreams) -> None:
    feeder = Feeder(streams.add("yard"))
    feeder.feed_until(2)
    assert (await loaded(client)).low is not None
    feeder.duration = TIMESCALE // 4
    feeder.feed(8)
    assert (await loaded(client)).low is None
    slow = an_init()
    init = Init(b"slow", VideoTrack("avc1.64001f", TIMESCALE, 640, 360, "High", 2.0), slow.audio)
    Feeder(streams.add("yard"), init).feed_until(2)
    assert (await loaded(client)).low is None


async def test_a_stream_that_is_plain_answers_a_blocking_reload_at_once(client: Client, streams: FakeStreams) -> None:
    Feeder(streams.add("yard"), duration=TIMESCALE * 2).feed_until(2)
    assert (await loaded(client, query="?_HLS_msn=3")).low is None  # what is held is a 503 after 6 s


async def test_a_new_ring_ends_the_wait_on_the_old_one(client: Client, streams: FakeStreams) -> None:
    old = streams.add("yard")
    Feeder(old).feed_until(2)
    hint = (await loaded(client)).low
    assert hint is not None
    held = [asyncio.create_task(client.get(f"/live/yard/{path}")) for path in ("media.m3u8?_HLS_msn=3", hint.hint)]
    await until(lambda: old.waiting == 2)
    Feeder(streams.add("yard")).feed_until(2)
    answers = await asyncio.gather(*held)
    assert [answer.status for answer in answers] == [200, 404]


async def test_the_end_of_the_stream_ends_every_wait(client: Client, streams: FakeStreams) -> None:
    ring = streams.add("yard")
    Feeder(ring).feed_until(2)
    hint = (await loaded(client)).low
    assert hint is not None
    held = [asyncio.create_task(client.get(f"/live/yard/{path}")) for path in ("media.m3u8?_HLS_msn=3", hint.hint)]
    await until(lambda: ring.waiting == 2)
    ring.close()
    reload, part = await asyncio.gather(*held)
    assert PlaylistChecker().load(await reload.text()).ended
    assert part.status == 404


async def test_more_waiting_requests_than_allowed_are_refused(
    aiohttp_client: AiohttpClient, streams: FakeStreams
) -> None:
    limits = PlayLimits(caps=ViewerCaps(per_stream=3))
    client: Client = await aiohttp_client(Server(an_app(streams, limits)))
    ring = streams.add("yard")
    Feeder(ring).feed_until(2)
    held = [asyncio.create_task(client.get("/live/yard/media.m3u8?_HLS_msn=3")) for _ in range(3)]
    await until(lambda: ring.waiting == 3)
    assert await refusal(client, "?_HLS_msn=3") == (503, "capacity-exceeded")
    ring.close()
    await asyncio.gather(*held)


@pytest.mark.looptime
async def test_o5_a_scripted_minute_followed_part_by_part_breaks_no_rule() -> None:
    """The camera and the loop of the torture tests are real and take their time; this minute takes a second."""
    streams = FakeStreams()
    ring = streams.add("yard")
    init = Init(b"mdhd" + bytes(12) + TIMESCALE.to_bytes(4), VideoTrack("avc1.64001f", TIMESCALE, 640, 360), None)

    async def camera() -> None:
        # Nine and eight frames of 25 a second in turn, as a cutter makes them of a key frame a second.
        time = 0
        for number in itertools.count():
            frames = 9 if number % 3 == 0 else 8
            duration = frames * TIMESCALE // 25
            await asyncio.sleep(frames / 25)
            data = fmp4.fragment(1, number, time, [Sample(b"a frame", duration, True)])
            ring.append(init, time, duration, number % 3 == 0, data)
            time += duration

    playing = asyncio.create_task(camera(), name="camera")
    server = Server(an_app(streams, PlayLimits(viewer=ViewerLimits(tick=0.2))))
    await server.start_server()
    follower = Follower(str(server.make_url("/live/yard/")))
    await follower.follow(60)
    playing.cancel()
    await asyncio.wait({playing})
    await server.close()
    assert follower.plain == 0
    assert follower.checker.resolved > 150  # three parts a second, each of them hinted at
    assert follower.deltas > 60
    assert follower.spread == 0
    assert len(follower.checker.seen) >= 28
