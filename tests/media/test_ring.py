"""The live ring: numbering, grouping into segments, its bounds, and who waits for it."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.chunk import Chunk, Init
from media.ring import CHUNK_OVERHEAD, LiveRing, RingLimits, RingStart
from tests.support.feeding import TIMESCALE, Feeder, an_init


@dataclass
class Clock:
    """Unix time as the test says it is."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def a_ring(limits: RingLimits | None = None, clock: Clock | None = None) -> LiveRing:
    return LiveRing(limits or RingLimits(), clock or Clock())


async def test_chunks_are_numbered_from_zero_and_found_by_number() -> None:
    ring = a_ring()
    fed = [Feeder(ring).feed(1)]
    fed += [ring.append(an_init(), 36_000 * n, 36_000, False, b"x") for n in range(1, 4)]
    assert [chunk.number for chunk in fed] == [0, 1, 2, 3]
    assert [await ring.chunk(number) for number in range(5)] == [*fed, None]
    assert ring.head == 4
    assert ring.newest_key() == 0


def test_a_fresh_ring_holds_nothing() -> None:
    ring = a_ring()
    assert (ring.head, ring.newest_key(), ring.segments(), ring.ended, ring.size) == (0, None, (), False, 0)


def test_a_segment_ends_before_the_key_frame_that_follows_two_seconds() -> None:
    ring = a_ring()
    Feeder(ring, per_key=2).feed(13)  # key frames at 0, 0.8, 1.6, 2.4 s
    assert [(segment.first, segment.count, segment.complete) for segment in ring.segments()] == [
        (0, 6, True),
        (6, 6, True),
        (12, 1, False),
    ]


def test_half_a_chunk_short_of_two_seconds_is_two_seconds() -> None:
    ring = a_ring()
    Feeder(ring, duration=TIMESCALE * 39 // 100, per_key=5).feed(11)  # a key frame every 1.95 s
    assert [segment.count for segment in ring.segments()] == [5, 5, 1]


def test_a_long_first_gop_makes_a_long_segment_and_the_target_duration() -> None:
    ring = a_ring()
    Feeder(ring, per_key=10).feed_until(2)
    assert ring.target_duration == 4
    assert [float(segment.seconds) for segment in ring.segments()] == [4.0, 4.0, 0.4]


def test_the_target_duration_stays_and_longer_gops_are_cut_where_they_must_be() -> None:
    ring = a_ring()
    feeder = Feeder(ring, per_key=5)
    feeder.feed_until(2)
    feeder.per_key = 25
    feeder.feed_until(8)
    assert ring.target_duration == 2
    assert max(segment.seconds for segment in ring.segments()) == Fraction(12, 5)
    assert not all(segment.independent for segment in ring.segments())


def test_a_first_gop_without_an_end_is_cut_after_ten_seconds() -> None:
    ring = a_ring()
    Feeder(ring, per_key=10**9).feed(60)
    assert ring.target_duration == 10
    assert [float(segment.seconds) for segment in ring.segments()] == [10.4, 10.4, 3.2]


def test_a_short_chunk_before_an_early_key_frame_ends_its_segment() -> None:
    ring = a_ring()
    at = 0
    for frames, key in [(9, True), (9, False), (7, False), (9, True), (9, False), (9, False), (9, True)]:
        ring.append(an_init(), at, frames * 3_600, key, b"x")
        at += frames * 3_600
    assert [(segment.first, segment.count) for segment in ring.segments()] == [(0, 3), (3, 4)]


def test_a_source_that_is_away_leaves_gaps_and_comes_back_behind_a_discontinuity() -> None:
    steady = Clock(50.0)
    ring = LiveRing(RingLimits(window=4, spare=2), Clock(1_000.0), steady)
    feeder = Feeder(ring)
    feeder.feed(7)
    steady.now += 2.9
    assert not ring.segments()[-1].complete  # late is not away
    steady.now += 1.2
    held = ring.segments()
    assert [(segment.msn, segment.gap, float(segment.seconds)) for segment in held] == [
        (0, False, 2.0),
        (1, False, 0.8),
        (2, True, 2.0),
        (3, True, 2.0),
    ]
    assert all(segment.complete for segment in held)
    assert held[2].wall == pytest.approx(1_002.8)
    steady.now += 3_600
    assert sum(segment.gap for segment in ring.segments()) == 3  # one of the window stays a picture
    assert ring.newest_key() == 5
    feeder.feed()
    assert [(segment.gap, segment.discontinuity) for segment in ring.segments()][-2:] == [(True, False), (False, True)]
    assert ring.segments()[-1].wall == pytest.approx(1_008.8)


def test_a_new_init_starts_a_segment_and_is_a_discontinuity_unsaid() -> None:
    ring = a_ring()
    feeder = Feeder(ring)
    feeder.feed(3)
    feeder.init = an_init(1280)
    chunk = feeder.feed()
    assert chunk.discontinuity
    assert [(segment.first, segment.discontinuity) for segment in ring.segments()] == [(0, False), (3, True)]


def test_a_jump_of_decode_time_is_a_discontinuity_unsaid() -> None:
    ring = a_ring()
    feeder = Feeder(ring)
    feeder.feed(3)
    feeder.skip(8)
    feeder.feed()
    assert [segment.discontinuity for segment in ring.segments()] == [False, True]


def test_an_equal_init_made_anew_changes_nothing() -> None:
    ring = a_ring()
    first = ring.append(an_init(), 0, 9_000, True, b"a")
    second = ring.append(an_init(), 9_000, 9_000, False, b"b")
    assert second.init is first.init
    assert not second.discontinuity


def test_the_very_first_chunk_is_no_discontinuity() -> None:
    assert not a_ring().append(an_init(), 5, 9_000, True, b"a", discontinuity=True).discontinuity


def test_discontinuities_are_counted_when_their_segments_leave() -> None:
    ring = a_ring(RingLimits(window=2, spare=0))
    feeder = Feeder(ring)
    for _ in range(6):
        feeder.feed(5)
        feeder.skip(1)
    listed = ring.segments()
    assert [segment.msn for segment in listed] == [3, 4, 5]
    assert ring.discontinuities == 2  # of segments 1 and 2; segment 0 began the stream


def test_the_window_and_the_spare_segments_stay_and_older_ones_leave() -> None:
    ring = a_ring(RingLimits(window=8, spare=4))
    Feeder(ring).feed(5 * 40)
    assert [segment.msn for segment in ring.segments()] == list(range(27, 40))


async def test_a_chunk_that_left_is_none_but_was_there() -> None:
    ring = a_ring(RingLimits(window=1, spare=0))
    Feeder(ring).feed(5 * 10)
    assert await ring.chunk(0) is None
    assert await ring.wait(0)


def test_wall_time_follows_the_media_and_not_the_jitter_of_arrival() -> None:
    clock = Clock(1_000.0)
    ring = a_ring(clock=clock)
    feeder = Feeder(ring)
    for _ in range(15):
        feeder.feed()
        clock.now += 0.7
    assert [segment.wall for segment in ring.segments()] == [1_000.0, 1_002.0, 1_004.0]


def test_wall_time_starts_anew_at_a_discontinuity() -> None:
    clock = Clock(1_000.0)
    ring = a_ring(clock=clock)
    feeder = Feeder(ring)
    feeder.feed(5)
    feeder.skip(8)
    clock.now = 1_030.0
    feeder.feed(1)
    assert [segment.wall for segment in ring.segments()] == [1_000.0, 1_030.0]


def test_wall_time_never_goes_back_even_if_the_clock_does() -> None:
    clock = Clock(1_000.0)
    ring = a_ring(clock=clock)
    feeder = Feeder(ring)
    feeder.feed(5)
    feeder.skip(8)
    clock.now = 10.0
    feeder.feed(1)
    assert [segment.wall for segment in ring.segments()] == [1_000.0, 1_002.0]


def test_a_stream_without_key_frames_is_cut_before_it_fills_the_memory() -> None:
    ring = a_ring(RingLimits(max_bytes=100_000))
    Feeder(ring, per_key=10**9, payload=4_000).feed(500)
    assert ring.size <= 100_000
    assert len(ring.segments()) > 1
    assert not any(segment.independent for segment in ring.segments())
    assert ring.newest_key() is None


async def test_wait_returns_when_the_chunk_comes() -> None:
    ring = a_ring()
    waiter = asyncio.create_task(ring.wait(1))
    feeder = Feeder(ring)
    feeder.feed()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiter.done()
    feeder.feed()
    assert await waiter
    assert ring.waiting == 0


async def test_closing_completes_the_open_segment_and_wakes_everybody() -> None:
    ring = a_ring()
    Feeder(ring).feed(2)
    waiters = [asyncio.create_task(ring.wait(number)) for number in (1, 2, 9)]
    await asyncio.sleep(0)
    ring.close()
    assert await asyncio.gather(*waiters) == [True, False, False]
    assert ring.ended
    assert ring.segments()[-1].complete
    assert not await ring.wait(2)
    ring.close()
    with pytest.raises(ValueError, match="ended"):
        Feeder(ring).feed()


@pytest.mark.parametrize("duration", [0, -1])
def test_a_chunk_without_duration_is_refused(duration: int) -> None:
    with pytest.raises(ValueError, match="duration"):
        a_ring().append(an_init(), 0, duration, True, b"a")


async def test_five_hundred_cancelled_waiters_leave_nothing() -> None:
    ring = a_ring()
    waiters = [asyncio.create_task(ring.wait(0)) for _ in range(500)]
    await asyncio.sleep(0)
    assert ring.waiting == 500
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    assert ring.waiting == 0


@dataclass(frozen=True)
class Arrival:
    """What a source may send: `gap` ticks after the chunk before."""

    duration: int
    independent: bool
    size: int
    width: int
    gap: int
    said: bool


arrivals = st.lists(
    st.builds(
        Arrival,
        duration=st.integers(1, 400_000),
        independent=st.booleans(),
        size=st.one_of(st.integers(0, 3_000), st.integers(0, 60_000)),
        width=st.sampled_from([640, 640, 640, 1280]),
        gap=st.sampled_from([0, 0, 0, 0, 0, 1, -5_000, 10**9]),
        said=st.booleans(),
    ),
    max_size=120,
)
ring_limits = st.builds(
    RingLimits,
    segment=st.fractions(Fraction(1, 2), 6),
    window=st.integers(1, 8),
    spare=st.integers(0, 4),
    max_bytes=st.integers(1_000, 200_000),
)


def play(ring: LiveRing, arrivals: list[Arrival]) -> list[Chunk]:
    decode_time, fed = 10**6, []
    inits: dict[int, Init] = {width: an_init(width) for width in (640, 1280)}
    for arrival in arrivals:
        decode_time = max(0, decode_time + arrival.gap)
        fed.append(
            ring.append(
                inits[arrival.width],
                decode_time,
                arrival.duration,
                arrival.independent,
                bytes(arrival.size),
                arrival.said and arrival.independent,
            )
        )
        decode_time += arrival.duration
        check_bounds(ring, fed)
    return fed


def check_bounds(ring: LiveRing, fed: list[Chunk]) -> None:
    limits = ring._limits
    held = ring.segments()
    first = held[0].first
    size = sum(len(chunk.data) + CHUNK_OVERHEAD for chunk in fed[first:])
    assert set(ring._chunks) == set(range(first, len(fed)))
    assert ring.size == size
    assert size <= max(limits.max_bytes, max(len(chunk.data) + CHUNK_OVERHEAD for chunk in fed[first:]))
    assert sum(segment.complete for segment in held) <= limits.window + limits.spare
    keys = [chunk.number for chunk in fed[first:] if chunk.independent]
    assert ring.newest_key() == (keys[-1] if keys else None)


@settings(max_examples=150, deadline=None)
@given(ring_limits, arrivals)
def test_any_source_stays_within_the_bounds_and_the_segments_add_up(
    limits: RingLimits, arrivals: list[Arrival]
) -> None:
    ring = a_ring(limits)
    fed = play(ring, arrivals)
    held = ring.segments()
    assert [segment.msn for segment in held] == list(range(held[0].msn, held[-1].msn + 1)) if held else not arrivals
    for index, segment in enumerate(held):
        inside = fed[segment.first : segment.first + segment.count]
        assert segment.decode_time == inside[0].decode_time
        assert segment.duration == sum(chunk.duration for chunk in inside)
        assert segment.discontinuity == inside[0].discontinuity
        assert segment.independent == inside[0].independent
        assert {chunk.init.id for chunk in inside} == {segment.init.id}
        assert not any(chunk.discontinuity for chunk in inside[1:])
        assert segment.complete == (index < len(held) - 1)
        if segment.complete:
            assert int(segment.seconds + Fraction(1, 2)) <= ring.target_duration
    for one, other in pairwise(held):
        assert one.first + one.count == other.first
        assert other.wall >= one.wall
        if not other.discontinuity:
            assert other.decode_time == one.decode_time + one.duration
    gone = fed[: held[0].first] if held else []
    assert ring.discontinuities == sum(chunk.discontinuity for chunk in gone)


def test_numbers_made_from_the_time_go_on_behind_those_of_an_earlier_ring() -> None:
    """Two a second: also where every segment lasted but half a second, and a clock before 2020 breaks nothing."""
    earlier = Feeder(LiveRing(RingLimits(), Clock(1_700_000_000.0), start=RingStart.at(1_700_000_000.0, broken=False)))
    earlier.feed_until(10)
    newest = earlier.ring.segments()[-1].msn
    wall = 1_700_000_000.0 + float(10 * earlier.ring.segments()[0].seconds)
    later = Feeder(LiveRing(RingLimits(), Clock(wall), start=RingStart.at(wall, broken=True)))
    later.feed_until(2)
    first, second = later.ring.segments()[:2]
    assert (first.msn > newest, second.msn) == (True, first.msn + 1)
    assert (first.discontinuity, second.discontinuity) == (True, False)
    assert later.ring.discontinuities > earlier.ring.discontinuities + 10
    assert RingStart.at(0.0, broken=False) == RingStart()
