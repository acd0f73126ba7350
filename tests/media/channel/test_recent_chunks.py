"""What the viewers of all looping channels share: bounded, and what is asked for stays."""

from hypothesis import given
from hypothesis import strategies as st

from media.channel.recent_chunks import Recent
from media.chunk import Chunk, Init, VideoTrack
from media.ring import CHUNK_OVERHEAD

INIT = Init(b"init", VideoTrack("avc1.64001f", 100, 320, 180), None)


def chunk(number: int, size: int = 10) -> Chunk:
    return Chunk(number, INIT, 50 * number, 50, independent=True, data=bytes(size))


def test_each_channel_has_its_own_numbers() -> None:
    recent, one, other = Recent(), object(), object()
    first = chunk(1)
    recent.keep(one, first)
    assert recent.get(one, 1) is first
    assert recent.get(other, 1) is None


def test_what_was_asked_for_stays_longest() -> None:
    recent, channel = Recent(3 * (10 + CHUNK_OVERHEAD)), object()
    for number in range(3):
        recent.keep(channel, chunk(number))
    assert recent.get(channel, 0) is not None
    recent.keep(channel, chunk(3))
    assert [number for number in range(4) if recent.get(channel, number)] == [0, 2, 3]


def test_what_is_larger_than_all_of_it_is_not_kept_and_displaces_nothing() -> None:
    recent, channel = Recent(1000), object()
    recent.keep(channel, chunk(0))
    recent.keep(channel, chunk(1, 1000))
    assert recent.get(channel, 1) is None
    assert recent.get(channel, 0) is not None
    assert recent.size == 10 + CHUNK_OVERHEAD


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2000)), max_size=60))
def test_it_never_holds_more_than_it_may_and_counts_right(steps: list[tuple[int, int, int]]) -> None:
    recent, channels = Recent(4000), [object() for _ in range(3)]
    for channel, number, size in steps:
        recent.keep(channels[channel], chunk(number, size))
        held = [recent.get(channel, number) for channel in channels for number in range(6)]
        assert recent.size == sum(len(one.data) + CHUNK_OVERHEAD for one in held if one is not None) <= 4000
