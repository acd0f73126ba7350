"""`PlaylistTimeline`, a list of files as arithmetic: it gives what playing the files one after the other gives."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.channel.packages.index import Index
from media.channel.playlist.loop import Loop
from media.channel.playlist.playlist_timeline import PlaylistTimeline
from media.channel.span import Span, SpanStart
from media.chunk import Init
from tests.media.channel.playlist.test_loop import make_index


def other(index: Index, name: bytes) -> Index:
    """The same with an init of its own."""
    head = index.head
    return replace(index, head=replace(head, init=Init(name, head.init.video, head.init.audio)))


def programme(*indexes: Index) -> PlaylistTimeline:
    return PlaylistTimeline([Loop.of(index) for index in indexes])


A, B = make_index(100), make_index(137)
FILM = other(make_index(97, frame=1001, timescale=30000, gop=50, rate=44100), b"film")
MUTE = other(make_index(50, rate=None), b"mute")

FILES = st.builds(
    make_index,
    st.integers(13, 60),
    frame=st.integers(1, 4000),
    timescale=st.sampled_from([600, 12800, 30000]),
    gop=st.integers(1, 60),
    rate=st.sampled_from([None, 22050, 48000]),
    base=st.sampled_from([0, 1500, 5000]),
)
LISTS = st.lists(FILES, min_size=1, max_size=3).map(lambda found: [other(index, kind(index)) for index in found])


def kind(index: Index) -> bytes:
    """Equal for files of which one can follow another without a seam."""
    audio = index.head.init.audio
    return repr((index.head.init.timescale, audio and audio.timescale)).encode()


@given(LISTS, st.integers(0, 10**6))
def test_the_rate_of_a_segment_is_that_of_its_bytes(indexes: list[Index], msn: int) -> None:
    whole = programme(*indexes)
    begin, end, _ = whole.bounds(msn)
    size = sum(piece.size for number in range(begin, end) for piece in whole.pieces(number))
    assert whole.rate(msn) == pytest.approx(float(8 * size / (whole.begins(end) - whole.begins(begin))))


def test_files_of_one_kind_follow_one_another_without_a_seam_or_drift() -> None:
    whole = programme(A, B, A)
    assert whole.length == A.seconds + B.seconds + A.seconds
    decode = sound = sequence = 0
    for number in range(300 * whole.chunk_count):
        pieces = whole.pieces(number)
        assert pieces[0].decode_time == whole.chunk(number, 0, b"").decode_time == decode
        assert pieces[0].sequence > sequence
        sequence = pieces[-1].sequence
        decode += whole.chunk(number, 0, b"").duration
        for piece in pieces[1:]:
            assert piece.decode_time == sound  # gapless, for ever
            round_number, file, k = whole._place(number)
            sound += 1024 * whole._span(round_number, file, k).count
        assert abs(Fraction(sound, 48000) - Fraction(decode, 12800)) <= Fraction(3 * 1024, 2 * 48000)
        assert not whole.broken(number)
    assert decode == 300 * whole.length * 12800
    assert whole.breaks(300 * whole.chunk_count) == 0


@given(LISTS, st.integers(0, 10**6))
def test_each_chunk_is_of_the_file_whose_turn_it_is_and_the_next_one_follows(files: list[Index], number: int) -> None:
    whole = programme(*files)
    order = [(file, k) for file, index in enumerate(files) for k in range(len(index.entries))]
    round_number, at = divmod(number, len(order))
    file, k = order[at]
    assert (whole.file_of(number), whole.pieces(number)[0].file) == (file, file)
    entry = files[file].entries[k]
    assert whole.pieces(number)[0].offset == entry.video.offset
    before = sum((index.seconds for index in files[:file]), round_number * (whole.length or Fraction()))
    assert whole.begins(number) == before + Fraction(entry.decode_time, files[file].head.init.timescale)
    assert whole.ends(number) == whole.begins(number + 1)
    late = whole.stamp(number, whole.begins_at(number)) - whole.begins(number) * files[file].head.init.timescale
    assert 0 <= late < 1


@given(LISTS, st.integers(0, 10**6))
def test_what_has_ended_and_which_segment_it_is_are_inverses(files: list[Index], number: int) -> None:
    whole = programme(*files)
    assert whole.ended_by(float(whole.ends(number % (3 * whole.chunk_count)))) == number % (3 * whole.chunk_count) + 1
    begin, end, complete = whole.bounds(whole.segment_of(number))
    assert begin <= number < end
    assert complete
    assert whole.file_of(begin) == whole.file_of(end - 1)  # a file begins a segment
    assert begin == 0 or whole.segment_of(begin - 1) == whole.segment_of(begin) - 1
    assert whole.independent(begin) or begin not in {whole.next_join(begin)}
    assert (key := whole.newest_key(number)) is not None
    assert whole.independent(key)


@given(LISTS, st.integers(0, 5000))
def test_a_discontinuity_is_where_the_kind_of_file_changes_and_they_are_counted(
    files: list[Index], number: int
) -> None:
    whole = programme(*files)
    marked = [at for at in range(1, 2 * whole.chunk_count) if whole.broken(at)]
    for at in range(1, 2 * whole.chunk_count):
        if whole.init_of(at).id != whole.init_of(at - 1).id:
            assert at in marked
    assert not whole.broken(0)
    assert whole.breaks(number % (2 * whole.chunk_count)) == sum(
        at <= number % (2 * whole.chunk_count) for at in marked
    )
    assert whole.breaks(number + whole.chunk_count) - whole.breaks(number) == sum(whole._broken)


@given(LISTS)
def test_audio_of_one_kind_has_neither_gap_nor_overlap(files: list[Index]) -> None:
    whole = programme(*files)
    ends: dict[int, int] = {}
    for number in range(3 * whole.chunk_count):
        round_number, file, k = whole._place(number)
        if whole.broken(number):
            ends.clear()
        for piece in whole.pieces(number)[1:]:
            grid = files[file].head.grid
            assert grid is not None
            assert ends.get(0, piece.decode_time) == piece.decode_time
            ends[0] = piece.decode_time + whole._span(round_number, file, k).count * grid.frame
            here = Fraction(piece.decode_time - grid.base, whole._loops[file].sound_rate)
            frame = Fraction(grid.frame, whole._loops[file].sound_rate)
            assert abs(here - whole.begins(number)) <= 3 * frame


def test_a_position_in_the_list_finds_its_key_frame_and_its_file() -> None:
    whole = programme(A, FILM, MUTE)
    film = Fraction(97 * 1001, 30000)
    for seconds, file in ((0, 0), (3.9, 0), (4.1, 1), (4 + film + Fraction(1, 10), 2), (100, 2)):
        key = whole.key_at(Fraction(seconds))
        assert whole.file_of(key) == file
        assert whole.independent(key)
        assert whole.begins(key) <= seconds
    rounds, rest = whole.position(float(4 + film + 2 + 1))
    assert rounds == 1
    assert float(rest) == pytest.approx(1.0, abs=1e-6)
    assert [whole.broken(whole.first_of(file)) for file in range(3)] == [False, True, True]
    assert whole.broken(whole.chunk_count)


def test_a_list_grows_file_by_file_into_what_it_is_when_all_is_there() -> None:
    files = (A, FILM, B)
    loops = [Loop(index.head) for index in files]
    growing, whole = PlaylistTimeline(loops), programme(*files)
    assert (growing.chunk_count, growing.length, growing.whole) == (0, None, False)
    for file in (1, 0, 2):  # the second file is there before the first one
        index = files[file]
        for entry in index.entries[:-1]:
            loops[file].grow(entry)
        count = growing.chunk_count
        for number in range(count):
            assert growing.begins(number) == whole.begins(number)
            assert growing.pieces(number)[0] == whole.pieces(number)[0]
            assert growing.segment_of(number) == whole.segment_of(number)
        assert growing.begins_at(count) == whole.begins_at(count)
        assert growing.ended_by(1e6) == count
        loops[file].finish(index)
    assert growing.whole
    assert growing.chunk_count == whole.chunk_count
    assert [growing.pieces(at) for at in range(200)] == [whole.pieces(at) for at in range(200)]


def test_a_channel_of_a_list_goes_on_where_it_was_after_a_restart() -> None:
    whole = programme(A, FILM, MUTE)
    span = Span(whole, SpanStart(0.0, 1000.0))
    later = 72 * 3600.0
    head = span.out(later)
    again = Span(programme(A, FILM, MUTE), span.start)
    assert again.out(later) == head
    segments = [span.segment(msn, head) for msn in range(span.segment_of(head - 1) - 8, span.segment_of(head))]
    for one, two in pairwise(segments):
        assert two.first == one.first + one.count
        assert two.wall == pytest.approx(one.wall + float(one.seconds), abs=1e-3)
        if one.init.id == two.init.id:
            assert two.decode_time == one.decode_time + one.duration
        assert two.discontinuity == (one.init.id != two.init.id)
    assert span.breaks(head - 1) == whole.breaks(head - 1)


def test_where_audio_goes_on_is_known_without_a_look_at_each_chunk_of_a_mute_film(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = other(make_index(25 * 600, rate=None), b"mute film")
    whole = programme(A, film, A)
    begin, end = whole.first_of(1), whole.first_of(2)
    looked: list[int] = []
    real = PlaylistTimeline.pieces
    monkeypatch.setattr(PlaylistTimeline, "pieces", lambda self, number: looked.append(number) or real(self, number))  # type: ignore[func-returns-value]
    assert whole.sound_from(begin + 5) == whole.sound_from(end)
    assert whole.sound_until(end - 5) == whole.sound_until(begin)
    assert len(looked) < 20
