"""A channel that is moved - paused, resumed, sought, given another file - and one that was late, in virtual time."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from media.channel.channel_ring import ChannelRing
from media.channel.packages.data_file import PackageFile
from media.channel.packages.index import Index
from media.channel.playlist.loop import Loop
from media.channel.running_clock import RunningClock
from media.channel.span import SpanStart
from media.chunk import Chunk
from media.ring import RingLimits
from media.watch import hls
from tests.media.channel.playlist.test_loop import make_index
from tests.media.channel.test_channel_ring import write_package
from tests.support.hls_checker import PlaylistChecker

pytestmark = pytest.mark.looptime

WALL = 1_700_000_000.0
Begin = Callable[..., ChannelRing]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return write_package(tmp_path / "data")


@pytest.fixture
def begin(index: Index, tmp_path: Path) -> Iterator[Begin]:
    begun: list[ChannelRing] = []

    def start(repeat: bool = True, kept: SpanStart | None = None) -> ChannelRing:
        clock = asyncio.get_running_loop().time
        file = PackageFile(tmp_path / "data")
        limits = RingLimits(window=3, spare=1)
        ring = ChannelRing(Loop.of(index), [file], kept or SpanStart(clock(), wall()), clock, limits, repeat)
        begun.append(ring)
        return ring

    yield start
    for ring in begun:
        ring.close()


def wall() -> float:
    return WALL + asyncio.get_running_loop().time()


def near(position: tuple[int, Fraction], rounds: int, seconds: float) -> bool:
    return position[0] == rounds and abs(float(position[1]) - seconds) < 1e-3


async def chunks(ring: ChannelRing, first: int, last: int) -> list[Chunk]:
    found = []
    for number in range(first, last):
        chunk = await ring.chunk(number)
        assert chunk is not None, number
        found.append(chunk)
    return found


def follow_each_other(found: list[Chunk]) -> bool:
    return all(b.decode_time == a.decode_time + a.duration for a, b in pairwise(found))


async def rate(ring: ChannelRing) -> float:
    """Bits a second of the newest segment but one, if there is one: that is whole."""
    segment = ring.segments()[-2:][0]
    found = await chunks(ring, segment.first, segment.first + segment.count)
    return 8 * sum(len(chunk.data) for chunk in found) / float(segment.seconds)


async def test_the_bitrate_is_that_of_the_newest_whole_segment_also_where_it_was_cut(begin: Begin) -> None:
    ring = begin()
    assert ring.bitrate() == pytest.approx(await rate(ring))
    await asyncio.sleep(0.6)
    ring.pause()
    ring.resume(wall())
    for _ in range(30):
        await asyncio.sleep(0.7)
        assert ring.bitrate() == pytest.approx(await rate(ring))
    ring.seek(Fraction(4), wall())
    assert ring.bitrate() == pytest.approx(await rate(ring))


async def test_while_it_is_paused_nothing_comes_out_and_the_position_stays(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(1.1)
    stood = ring.standing
    ring.pause()
    ring.pause()
    assert (stood, ring.standing) == (False, True)
    head, position = ring.head, ring.position
    waiter = asyncio.create_task(ring.wait(head))
    await asyncio.sleep(100)
    assert (ring.head, ring.position, ring.paused, ring.ended) == (head, position, True, False)
    assert near(position, 0, 1.1)
    assert all(segment.complete for segment in ring.segments())
    ring.resume(wall())
    assert await waiter
    assert ring.head == head + 1
    assert ring.position[1] == pytest.approx(1.1)


async def test_a_resumed_channel_goes_on_with_the_next_picture_and_no_discontinuity(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(0.6)
    before = ring.head
    ring.pause()
    await asyncio.sleep(7)
    ring.resume(wall())
    await asyncio.sleep(2.0)
    found = await chunks(ring, before - 2, ring.head)
    assert len(found) == 7
    assert follow_each_other(found)
    assert not any(chunk.discontinuity for chunk in found)
    assert [b"picture %d" % (number % 10) in chunk.data for number, chunk in enumerate(found, before - 2)] == [True] * 7


async def test_a_channel_that_is_sought_shows_the_new_position_at_once(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(0.3)
    head = ring.head
    waiter = asyncio.create_task(ring.wait(head))
    ring.seek(Fraction("3.7"), wall())
    assert ring.head == head + 1
    assert await waiter
    assert near(ring.position, 0, 3.0)
    found = await chunks(ring, 0, ring.head)
    assert follow_each_other(found)
    assert [chunk.discontinuity for chunk in found] == [False] * head + [True]
    assert b"picture 6" in found[-1].data
    assert found[-1].independent
    await asyncio.sleep(0.5)
    assert ring.head == head + 2


async def test_what_was_sought_in_a_later_round_stays_in_that_round_and_goes_on_over_its_join(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(12.0)
    ring.seek(Fraction(4), wall())
    assert near(ring.position, 2, 4.0)
    first = ring.head - 1
    await asyncio.sleep(2.0)
    assert ring.position[0] == 3
    found = await chunks(ring, first, ring.head)
    assert [b"picture 8" in found[0].data, b"picture 9" in found[1].data, b"picture 0" in found[2].data] == [True] * 3
    assert follow_each_other(found)


async def test_a_paused_channel_that_is_sought_shows_the_picture_and_stays_paused(begin: Begin) -> None:
    ring = begin()
    ring.pause()
    head = ring.head
    ring.seek(Fraction(2), wall())
    await asyncio.sleep(50)
    assert ring.paused
    assert ring.head == head + 1
    assert ring.newest_key() == head
    assert near(ring.position, 0, 2.0)
    ring.resume(wall())
    await asyncio.sleep(1.0)
    assert ring.head == head + 4
    assert follow_each_other(await chunks(ring, 0, ring.head))


async def test_playlists_of_a_channel_that_is_moved_keep_every_rule(begin: Begin) -> None:
    ring = begin()
    checker = PlaylistChecker()
    moves: dict[int, Callable[[], None]] = {
        8: ring.pause,
        13: lambda: ring.resume(wall()),
        17: lambda: ring.seek(Fraction(1), wall()),
        18: lambda: ring.seek(Fraction(4), wall()),
        30: ring.pause,
        31: lambda: ring.seek(Fraction(3), wall()),
        33: lambda: ring.resume(wall()),
    }
    for tick in range(120):
        moves.get(tick, lambda: None)()
        listed = hls.window(ring.segments(), ring.discontinuities, 3)
        checker.load(hls.media_playlist(listed, ring.target_duration, ring.ended))
        await asyncio.sleep(0.7)
    assert ring.discontinuities == 3


async def test_stretches_that_have_left_the_window_are_forgotten(begin: Begin) -> None:
    ring = begin()
    for _ in range(200):
        await asyncio.sleep(1.3)
        ring.seek(Fraction(2), wall())
    assert len(ring._spans) < 8
    assert follow_each_other(await chunks(ring, ring.segments()[0].first, ring.head))


async def test_a_channel_that_does_not_repeat_ends_after_what_was_left_behind_a_seek(begin: Begin) -> None:
    ring = begin(repeat=False)
    ring.seek(Fraction(4), wall())
    await asyncio.sleep(30)
    assert ring.ended
    found = await chunks(ring, 0, ring.head)
    assert b"picture 9" in found[-1].data
    assert len(found) == 4 + 2


async def test_a_moved_channel_goes_on_after_a_restart_where_it_would_have_been(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(3.3)
    ring.seek(Fraction(1), wall())
    await asyncio.sleep(20.2)
    again = begin(kept=ring.start)
    assert again.head == ring.head
    assert again.position == ring.position
    assert again.segments()[-1] == ring.segments()[-1]
    assert await again.chunk(again.head - 1) == await ring.chunk(ring.head - 1)


async def test_a_paused_channel_is_begun_again_where_it_will_go_on(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(3.3)
    ring.pause()
    again = begin(kept=ring.start)
    again.pause()
    assert near(again.position, 0, float(ring.position[1]))
    await asyncio.sleep(60)
    again.resume(wall())
    ring.resume(wall())
    assert again.head == ring.head + 1
    assert near(again.position, 0, float(ring.position[1]))


async def test_another_file_takes_over_at_the_join_without_a_seam(begin: Begin, tmp_path: Path) -> None:
    ring = begin()
    await asyncio.sleep(7.0)
    longer = write_package(tmp_path / "other", seconds=8)
    ring.replace_at_join(Loop.of(longer), [PackageFile(tmp_path / "other")])
    moments = []
    first = ring.head
    for number in range(first, 30):
        assert await ring.wait(number)
        moments.append(asyncio.get_running_loop().time())
        found = await chunks(ring, max(0, number - 4), number + 1)
        assert follow_each_other(found)
        assert not any(chunk.discontinuity for chunk in found)
        assert b"picture %d" % (number - 20 if number >= 20 else number % 10) in found[-1].data
    assert [round(b - a, 3) for a, b in pairwise(moments)] == [0.5] * (len(moments) - 1)
    await asyncio.sleep(20)
    await ring.chunk(ring.head - 1)
    assert len(ring._files) == 1
    assert ring.discontinuities == 0


async def test_another_init_takes_over_behind_a_discontinuity(begin: Begin, tmp_path: Path) -> None:
    ring = begin()
    other = make_index(100, rate=None)
    other = replace(other, head=replace(other.head, init=replace(other.head.init, data=b"another")))
    (tmp_path / "other").write_bytes(bytes(1))
    ring.replace_at_join(Loop.of(other), [PackageFile(tmp_path / "other")])
    await asyncio.sleep(7.0)
    kinds = [(segment.init.timescale, segment.discontinuity) for segment in ring.segments()]
    assert kinds == [(100, False)] * 3 + [(12800, True), (12800, False)]
    switched = next(segment for segment in ring.segments() if segment.discontinuity)
    assert Fraction(switched.decode_time, 12800) == 5


async def test_audio_never_overlaps_where_a_channel_is_moved() -> None:
    index = make_index(250, base=3840)
    clock = asyncio.get_running_loop().time
    playing = Loop.of(index)
    ring = ChannelRing(playing, [], SpanStart(clock(), wall()), clock, RingLimits(window=50))
    heard = 0
    number = 0
    for step in range(40):
        await asyncio.sleep(0.37)
        (ring.pause if step % 3 == 1 else partial(ring.seek, Fraction(step % 9), wall()))()
        if step % 3 == 1:
            ring.resume(wall())
        for each in range(number, ring.head):
            span = ring._span(each)
            pieces = span.pieces(each)
            for sound in pieces[1:]:
                assert sound.decode_time >= heard
                local = each - span.start.number + span.start.first
                heard = sound.decode_time + 1024 * playing._sound_count(local)
            video = Fraction(pieces[0].decode_time + 0, 12800)
            assert abs(Fraction(heard - 3840, 48000) - video) < 1
        number = ring.head


async def test_a_process_that_did_not_run_is_late_and_does_not_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    clock = RunningClock()
    began = clock()
    await asyncio.sleep(10)
    assert clock() - began == pytest.approx(10)
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + 5.0)  # as after SIGSTOP for five seconds
    assert clock() - began == pytest.approx(10.5, abs=0.51)
    assert clock.anchored == 1
    await asyncio.sleep(3)
    assert clock() - began == pytest.approx(13.5, abs=0.51)
    assert clock.anchored == 1
    clock.close()


async def test_who_asks_after_a_long_silence_for_a_chunk_of_a_file_that_has_been_replaced_is_told_that_it_has_left(
    begin: Begin, tmp_path: Path
) -> None:
    ring = begin()
    longer = write_package(tmp_path / "other", seconds=8)
    ring.replace_at_join(Loop.of(longer), [PackageFile(tmp_path / "other")])
    await asyncio.sleep(5.2)
    known = ring.segments()[0].first  # a player has read its playlist, and then slept
    await asyncio.sleep(100)
    assert await ring.chunk(known) is None
    assert len(ring._files) == 1
