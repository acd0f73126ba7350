"""`ChannelRing` in virtual time, over a real data file."""

import asyncio
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import pytest

from media.channel.channel_ring import ChannelRing
from media.channel.packages import chunk_reader
from media.channel.packages.data_file import PackageFile
from media.channel.packages.index import ByteRange, Entry, Head, Index
from media.channel.playlist.loop import Loop
from media.channel.playlist.timeline import Piece
from media.channel.span import SpanStart
from media.chunk import Init, VideoTrack
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.ring import RingLimits

pytestmark = pytest.mark.looptime

WALL = 1_700_000_000.0


def write_package(path: Path, seconds: int = 5) -> Index:
    """A silent package: chunks of half a second, a key frame each second, 100 ticks a second."""
    init = Init(b"init", VideoTrack("avc1.64001f", 100, 320, 180), None)
    entries = []
    data = b""
    for number in range(2 * seconds):
        key = number % 2 == 0
        fragment = fmp4.fragment(1, 0, number * 50, [Sample(b"picture %d" % number, 50, key)])
        entries.append(Entry(number * 50, 50, key, ByteRange(len(data), len(fragment))))
        data += fragment
    path.write_bytes(data)
    return Index(Head(init, None, 2), seconds * 100, tuple(entries), len(data))


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return write_package(tmp_path / "data")


class Begin(Protocol):
    """Starts a channel of the package, `since` seconds ago; a finished one without `loop`."""

    def __call__(self, loop: Loop | None = None, *, since: float = 0.0, repeat: bool = True) -> ChannelRing: ...


@pytest.fixture
def begin(index: Index, tmp_path: Path) -> Iterator[Begin]:
    begun: list[ChannelRing] = []

    def start(loop: Loop | None = None, *, since: float = 0.0, repeat: bool = True) -> ChannelRing:
        clock = asyncio.get_running_loop().time  # only a test's own time is virtual, not a fixture's
        at = SpanStart(clock() - since, WALL - since)
        file = PackageFile(tmp_path / "data")
        ring = ChannelRing(loop or Loop.of(index), [file], at, clock, RingLimits(window=3, spare=1), repeat)
        begun.append(ring)
        return ring

    yield start
    for ring in begun:
        ring.close()


async def test_a_viewer_starts_at_once_with_one_whole_segment(begin: Begin) -> None:
    ring = begin()
    (segment,) = ring.segments()
    assert (segment.msn, segment.first, segment.count, segment.complete) == (0, 0, 4, True)
    assert ring.head == 4
    assert ring.newest_key() == 2
    assert await ring.wait(3)
    chunk = await ring.chunk(0)
    assert chunk is not None
    assert chunk.independent
    assert not chunk.discontinuity
    assert not ring.ended


async def test_each_chunk_comes_when_it_is_due(begin: Begin) -> None:
    ring = begin()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(4, 30):
        assert await ring.wait(number)
        assert ring.head == number + 1
        assert loop.time() - started == pytest.approx((number - 3) * 0.5, abs=0.001)


async def test_chunks_of_later_rounds_are_those_of_the_first_at_another_time(begin: Begin) -> None:
    ring = begin()
    bodies = []
    for number in range(40):
        assert await ring.wait(number)
        chunk = await ring.chunk(number)
        assert chunk is not None
        samples = [Sample(b"picture %d" % (number % 10), 50, number % 2 == 0)]
        assert chunk.data == fmp4.fragment(1, 2 * number + 1, number * 50, samples)
        assert (chunk.number, chunk.decode_time, chunk.duration) == (number, number * 50, 50)
        bodies.append(chunk.data)
    assert len(set(bodies)) == 40


async def test_the_window_moves_and_its_walls_are_functions_of_the_start(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(100.75)
    segments = ring.segments()
    assert [one.msn for one in segments] == [57, 58, 59, 60, 61]
    assert [one.seconds for one in segments] == [2, 2, 1, 2, Fraction(1, 2)]
    assert all(one.complete for one in segments[:-1])
    assert not segments[-1].complete
    for one in segments:
        assert one.wall == pytest.approx(WALL - 2 + one.decode_time / 100)
    # The newest sample that is out was live no later than now.
    assert segments[-1].wall + float(segments[-1].seconds) <= WALL + 100.75
    assert ring.discontinuities == 0
    assert ring.target_duration == 2


async def test_chunks_outside_the_window_are_not_there(begin: Begin) -> None:
    ring = begin()
    await asyncio.sleep(100.0)
    first = ring.segments()[0].first
    assert await ring.chunk(first) is not None
    assert await ring.chunk(first - 1) is None
    assert await ring.chunk(ring.head) is None
    assert await ring.chunk(-1) is None
    assert await ring.wait(0)  # it has been there


async def test_a_restart_goes_on_where_the_channel_would_have_been(begin: Begin, index: Index, tmp_path: Path) -> None:
    ring = begin()
    await asyncio.sleep(33.3)
    again = begin(since=33.3)
    assert again.head == ring.head
    assert [one.decode_time for one in again.segments()] == [one.decode_time for one in ring.segments()]
    assert [one.msn for one in again.segments()] == [one.msn for one in ring.segments()]
    assert await again.chunk(again.head - 1) == await ring.chunk(ring.head - 1)


async def test_all_viewers_of_a_chunk_share_its_bytes(begin: Begin) -> None:
    ring = begin()
    first, second = await ring.chunk(2), await ring.chunk(2)
    assert first is second


async def test_many_waiters_share_one_timer_and_leave_nothing(begin: Begin) -> None:
    ring = begin()
    loop = asyncio.get_running_loop()
    waiters = [asyncio.create_task(ring.wait(4)) for _ in range(500)]
    await asyncio.sleep(0.1)
    assert ring.waiting == 500
    for waiter in waiters[:250]:
        waiter.cancel()
    await asyncio.sleep(0)
    assert ring.waiting == 250
    assert all(await asyncio.gather(*waiters[250:]))
    assert ring.waiting == 0
    late = asyncio.create_task(ring.wait(10_000))
    await asyncio.sleep(0.1)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    scheduled = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert not scheduled


async def test_a_closed_ring_has_ended_and_lets_everybody_go(begin: Begin) -> None:
    ring = begin()
    waiter = asyncio.create_task(ring.wait(100))
    await asyncio.sleep(1.1)
    ring.close()
    ring.close()
    assert not await waiter
    assert ring.ended
    head = ring.head
    await asyncio.sleep(10)
    assert ring.head == head
    assert await ring.wait(head - 1)
    assert not await ring.wait(head)


async def test_without_repeat_the_channel_ends_after_one_round(begin: Begin, index: Index) -> None:
    ring = begin(repeat=False)
    assert await ring.wait(9)
    assert not await ring.wait(10)
    assert ring.ended
    assert ring.head == 10
    await asyncio.sleep(60)
    assert ring.head == 10
    assert [one.complete for one in ring.segments()] == [True, True, True]
    assert await ring.chunk(9) is not None


async def test_a_growing_package_is_played_as_far_as_it_is_on_disk(begin: Begin, index: Index) -> None:
    growing = Loop(index.head)
    ring = begin(growing)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert ring.segments() == ()
    assert ring.newest_key() is None
    assert await ring.chunk(0) is None
    waiter = asyncio.create_task(ring.wait(0))
    for entry in index.entries[:4]:
        growing.grow(entry)
    await asyncio.sleep(0.1)
    assert not waiter.done()  # only the next key frame says that the first segment is whole
    growing.grow(index.entries[4])
    ring.grown()
    assert await waiter
    assert ring.head == 4
    for entry in index.entries[5:9]:
        growing.grow(entry)
    last = asyncio.create_task(ring.wait(9))
    await asyncio.sleep(20)
    assert not last.done()
    assert ring.head == 9
    assert not ring.ended
    growing.finish(index)
    ring.grown()
    assert await last
    assert ring.head == int((loop.time() - started) * 2) + 4
    ring.close()


async def test_a_clock_that_starts_later_shows_nothing_before(begin: Begin, index: Index) -> None:
    ring = begin(since=-3.0)
    started = asyncio.get_running_loop().time()
    assert ring.segments() == ()
    assert await ring.wait(0)
    assert asyncio.get_running_loop().time() - started == pytest.approx(3.0, abs=0.001)
    ring.close()


async def test_a_data_file_that_was_cut_short_is_a_fault_and_no_silence(begin: Begin, tmp_path: Path) -> None:
    ring = begin()
    os.truncate(tmp_path / "data", 10)
    with pytest.raises(Fault, match="file-changed"):
        await ring.chunk(3)


async def test_a_removed_data_file_is_played_on(begin: Begin, tmp_path: Path) -> None:
    ring = begin()
    (tmp_path / "data").unlink()
    assert await ring.chunk(3) is not None


async def test_bytes_that_are_not_in_the_page_cache_are_read_by_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_bytes(bytes(range(256)))
    real = os.preadv

    def cold(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags == os.RWF_NOWAIT:
            raise BlockingIOError
        return real(fd, [memoryview(buffers[0])[:7]], offset)  # and in small pieces

    monkeypatch.setattr(os, "preadv", cold)
    file = PackageFile(tmp_path / "data")
    data = bytearray(100)
    await file.read(memoryview(data), 10)
    assert data == bytes(range(10, 110))
    reading = asyncio.create_task(file.read(memoryview(data), 0))
    await asyncio.sleep(0)
    file.close()  # under way: the descriptor stays until it is done
    await reading
    assert data == bytes(range(100))
    with pytest.raises(Fault, match="closed"):
        await file.read(memoryview(data), 0)


async def test_a_channel_that_is_ended_while_a_chunk_of_it_is_read_from_disk_has_no_chunk_and_no_fault(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.preadv

    def cold(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags == os.RWF_NOWAIT:
            raise BlockingIOError
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", cold)
    file, span = PackageFile(tmp_path / "data"), index.entries[0].video
    reading = asyncio.create_task(chunk_reader.read([Piece(span.offset, span.size, 1, 0)] * 2, [file]))
    await asyncio.sleep(0)
    file.close()  # between picture and sound
    assert await reading is None


async def test_a_change_that_is_taken_back_before_its_join_leaves_no_file_open(index: Index, tmp_path: Path) -> None:
    now, new = PackageFile(tmp_path / "data"), PackageFile(tmp_path / "data")
    clock = asyncio.get_running_loop().time
    loop = Loop.of(index)
    ring = ChannelRing(loop, [now], SpanStart(clock(), WALL), clock, RingLimits(window=3, spare=1))
    ring.replace_at_join(Loop.of(index), [new])
    ring.replace_at_join(loop, [now.share()])
    assert new.closed
    assert await ring.chunk(0) is not None
    ring.close()
    assert now.closed


async def test_asking_for_what_is_not_out_yet_is_no_look(begin: Begin) -> None:
    ring = begin()
    oldest = ring.segments()[0].first
    await asyncio.sleep(30)
    assert await ring.chunk(ring.head) is None
    assert await ring.chunk(oldest) is not None  # as listed when somebody last looked
    ring.segments()
    assert await ring.chunk(oldest) is None


async def test_channels_share_what_was_read_lately_and_not_their_numbers(begin: Begin) -> None:
    one, other = begin(), begin(since=5.0)
    other.recent = one.recent
    first, second = await one.chunk(2), await other.chunk(2)
    assert first is not None
    assert second is not None
    assert first is not second
    assert await one.chunk(2) is first
    assert await other.chunk(2) is second
    assert one.recent.size > len(first.data) + len(second.data)
