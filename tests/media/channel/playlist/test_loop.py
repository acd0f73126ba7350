"""`Loop` as arithmetic: a thousand rounds without a packet, a process or a clock."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.channel.packages.index import AudioSpan, ByteRange, Entry, Grid, Head, Index
from media.channel.playlist.loop import ChunkPlace, Loop
from media.channel.span import Span, SpanStart
from media.chunk import AudioTrack, Init, VideoTrack

FRAME = 1024


def make_index(
    frames: int, *, frame: int = 512, timescale: int = 12800, gop: int = 25, rate: int | None = 48000, base: int = 0
) -> Index:
    """The index of a file of `frames` pictures of `frame` ticks: 9 to a chunk, and AAC at `rate`."""
    video = VideoTrack("avc1.64001f", timescale, 320, 180)
    audio = AudioTrack("mp4a.40.2", rate, rate, 2) if rate else None
    head = Head(Init(b"init", video, audio), Grid(base, FRAME) if rate else None, 2)
    starts = [at for begin in range(0, frames, gop) for at in range(begin, min(begin + gop, frames), 9)]
    length = frames * frame
    entries = []
    counts: tuple[int, ...] = ()
    for at, end in pairwise([*starts, frames]):
        spans: list[AudioSpan] = []
        if rate:
            first, last = (Fraction(x * frame * rate, timescale * FRAME) for x in (at, end))
            if end == frames:
                counts = tuple(sorted({int(last), -int(-last // 1)}))
                spans = [AudioSpan(0, count - int(first), int(first), count - int(first)) for count in counts]
            elif int(last) > int(first):
                spans = [AudioSpan(0, 1, int(first), int(last) - int(first))]
        entries.append(Entry(at * frame, (end - at) * frame, at % gop == 0, ByteRange(0, 1), tuple(spans)))
    index = Index(head, length, tuple(entries), 4096, counts)
    index.check()
    return index


INDEXES = st.builds(
    make_index,
    st.integers(13, 400),
    frame=st.integers(1, 4000),
    timescale=st.sampled_from([600, 12800, 30000, 90000]),
    gop=st.integers(1, 60),
    rate=st.sampled_from([None, 8000, 22050, 44100, 48000]),
    base=st.integers(0, 5000),
)


@pytest.mark.parametrize(
    "index",
    [
        make_index(100),
        make_index(101, base=3840),
        make_index(120, frame=3003, timescale=90000, gop=30),
        make_index(97, frame=1001, timescale=30000, gop=50, rate=44100),
        make_index(13, frame=20, timescale=600, gop=12),
    ],
)
def test_a_thousand_rounds_have_neither_gap_nor_drift(index: Index) -> None:
    loop = Loop.of(index)
    audio = index.head.init.audio
    assert audio is not None
    assert index.head.grid is not None
    timescale, sequence, decode, sound = index.head.init.timescale, 0, 0, index.head.grid.base
    for number in range(1000 * loop.chunk_count):
        pieces = loop.pieces(number)
        place = loop.at(number)
        chunk = loop.chunk(number, 0, b"")
        assert pieces[0].decode_time == chunk.decode_time == decode
        assert decode == place.round * index.length + index.entries[place.k].decode_time
        assert pieces[0].sequence > sequence
        sequence = pieces[-1].sequence
        decode += chunk.duration
        if len(pieces) == 2:
            assert pieces[1].decode_time == sound  # gapless, for ever
            entry = index.entries[place.k]
            count = entry.audio[index.variant(place.round) if len(entry.audio) > 1 else 0].count
            sound += count * FRAME
        # Both tracks have been delivered up to the same moment, to a frame and a half of audio.
        ahead = Fraction(sound - index.head.grid.base, audio.timescale) - Fraction(decode, timescale)
        assert abs(ahead) <= Fraction(3 * FRAME, 2 * audio.timescale)
    assert decode == 1000 * index.length


@given(INDEXES, st.integers(0, 10**9))
def test_a_round_begins_at_the_audio_frame_nearest_to_it(index: Index, number: int) -> None:
    audio = index.head.init.audio
    if audio is None:
        assert index.first_frame(number) == 0
        return
    ideal = number * index.seconds * audio.timescale / FRAME
    assert abs(index.first_frame(number) - ideal) <= Fraction(1, 2)
    assert index.counts[index.variant(number)] == index.first_frame(number + 1) - index.first_frame(number)


def channel(loop: Loop) -> Span:
    """What plays it from its beginning, at 0 s."""
    return Span(loop, SpanStart(at=0.0, wall=0.0))


@given(INDEXES, st.integers(0, 10**6))
def test_what_is_due_is_out_and_not_a_moment_before(index: Index, number: int) -> None:
    played = channel(Loop.of(index))
    due = played.due(number)
    assert due is not None
    assert played.out(due) > number
    if due > 0:
        assert played.out(due - 1e-4) <= number


@given(INDEXES)
def test_at_the_start_exactly_the_first_segment_is_out(index: Index) -> None:
    loop = Loop.of(index)
    played = channel(loop)
    out = played.out(0.0)
    assert played.out(-1e-3) == 0
    assert loop.segment_of(out - 1) == 0
    assert loop.segment_of(out) == 1
    assert played.due(out - 1) == 0
    assert played.due(out) == pytest.approx(float(loop.lasts(out)))


@given(INDEXES)
def test_segments_tile_the_rounds_and_begin_at_key_frames(index: Index) -> None:
    loop = Loop.of(index)
    head = 3 * loop.chunk_count
    number = decode = 0
    for msn in range(3 * loop.segments_per_round):
        segment = channel(loop).segment(msn, head)
        assert (segment.msn, segment.first, segment.decode_time) == (msn, number, decode)
        assert segment.complete
        assert segment.count > 0
        assert round(segment.seconds) <= loop.target_duration
        for each in range(number, number + segment.count):
            assert loop.segment_of(each) == msn
        last_of_round = (msn + 1) % loop.segments_per_round == 0
        following = loop.chunk(number + segment.count, 0, b"").seconds
        long_enough = segment.seconds + following / 2 >= 2 or segment.seconds + following > 10
        assert last_of_round or long_enough
        number, decode = number + segment.count, decode + segment.duration
    assert number == head
    assert decode == 3 * index.length


@given(INDEXES, st.integers(0, 10**6))
def test_the_rate_of_a_segment_is_that_of_its_bytes(index: Index, msn: int) -> None:
    loop = Loop.of(index)
    for each in (msn, msn + 1, msn):  # the last one from memory
        begin, end, _ = loop.bounds(each)
        size = sum(piece.size for number in range(begin, end) for piece in loop.pieces(number))
        assert loop.rate(each) == pytest.approx(float(8 * size / (loop.begins(end) - loop.begins(begin))))


def test_segments_last_two_seconds_and_the_last_of_a_round_what_is_left() -> None:
    loop = Loop.of(make_index(25 * 5))
    lengths = [channel(loop).segment(msn, 10**6).seconds for msn in range(6)]
    assert lengths == [2, 2, 1, 2, 2, 1]
    assert all(channel(loop).segment(msn, 10**6).independent for msn in range(6))


def test_a_long_group_of_pictures_is_cut_into_segments_without_a_key_frame() -> None:
    loop = Loop.of(make_index(25 * 30, gop=750))
    segments = [channel(loop).segment(msn, 10**6) for msn in range(loop.segments_per_round)]
    assert all(segment.seconds <= 10 for segment in segments)
    assert [segment.independent for segment in segments] == [True, False, False, False]
    assert loop.target_duration == 10


def test_a_file_shorter_than_a_segment_is_one_segment_a_round() -> None:
    loop = Loop.of(make_index(13))
    assert loop.segments_per_round == 1
    assert channel(loop).segment(7, 10**6).decode_time == 7 * 13 * 512


def test_newest_key_is_the_newest_independent_chunk() -> None:
    loop = Loop.of(make_index(50))
    assert loop.chunk_count == 6
    assert [loop.newest_key(number) for number in range(8)] == [0, 0, 0, 3, 3, 3, 6, 6]


def test_a_position_is_round_and_seconds() -> None:
    loop = Loop.of(make_index(100))
    assert loop.position(0.0) == (0, Fraction(0))
    assert loop.position(9.5) == (2, Fraction(3, 2))
    assert loop.at(loop.chunk_count) == ChunkPlace(1, 0)


def test_a_growing_loop_has_what_is_on_disk_and_becomes_the_finished_one() -> None:
    index = make_index(100)
    loop, finished = Loop(index.head), Loop.of(index)
    played, known = channel(loop), channel(finished)
    for number, entry in enumerate(index.entries[:-1]):
        assert played.due(number) is None
        loop.grow(entry)
        if number < 6:  # the first segment is not closed yet
            assert played.out(100.0) == 0
        else:
            assert played.out(100.0) == number + 1
            assert loop.pieces(number) == finished.pieces(number)
            assert played.due(number) == known.due(number)
            assert not played.segment(1, number + 1).complete
    assert loop.position(100.0) == (0, Fraction(100))
    loop.finish(index)
    assert loop.length == 4
    assert [played.out(at / 10) for at in range(200)] == [known.out(at / 10) for at in range(200)]


def test_chunks_that_do_not_follow_are_refused() -> None:
    index = make_index(100)
    loop = Loop(index.head)
    loop.grow(index.entries[0])
    for wrong in (index.entries[0], index.entries[2]):
        with pytest.raises(ValueError, match="does not follow"):
            loop.grow(wrong)
    with pytest.raises(ValueError, match="does not follow"):
        Loop.of(index).grow(index.entries[0])


def test_rounds_may_take_audio_variants_in_turn() -> None:
    index = make_index(100)
    assert index.counts == (187, 188)
    assert [index.variant(number) for number in range(6)] == [1, 0, 1, 0, 1, 0]
    turned = replace(index, cycle=(1, 0))
    turned.check()
    assert [turned.variant(number) for number in range(6)] == [1, 0, 1, 0, 1, 0]
