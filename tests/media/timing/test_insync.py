"""Sound stays in step with the picture: for any stamps, holes and steps, copied and recoded, from files and cameras."""

import struct
from fractions import Fraction
from itertools import accumulate

from av.audio.frame import AudioFrame
from hypothesis import given
from hypothesis import strategies as st

from media.channel.packages.index import Index
from media.channel.playlist.loop import Loop
from media.channel.span import Span, begun
from media.channel.worker.file_sound import AudioForm, AudioSlots, SoundFrame
from media.codecs import sound_line
from media.codecs.sound_line import SoundLine
from media.timing import insync
from media.timing.clock import RESYNC, SLEW, AudioClock
from tests.media.channel.playlist.test_loop import INDEXES

# Of each frame: by how many thousandths of a second its stamp jitters, and how long a hole or step back is before it.
STEPS = st.lists(st.tuples(st.integers(-6, 6), st.one_of(st.just(0), st.integers(-900, 900))), min_size=2, max_size=60)
FORMS = st.sampled_from([(48000, 1024), (44100, 1024), (32000, 1024), (48000, 120), (48000, 960), (48000, 1920)])


def stamps(steps: list[tuple[int, int]], lasting: Fraction) -> list[Fraction]:
    """Seconds of frames of that length."""
    begins = accumulate((lasting + Fraction(step, 1000) for _, step in steps[1:]), initial=Fraction(1))
    return [at + Fraction(jitter, 1000) for at, (jitter, _) in zip(begins, steps, strict=True)]


@given(form=FORMS, steps=STEPS, first=st.fractions(-1, 1), lead=st.fractions(0, Fraction(1, 10)))
def test_a_copied_frame_is_never_forty_milliseconds_from_its_stamp_in_any_round(
    form: tuple[int, int], steps: list[tuple[int, int]], first: Fraction, lead: Fraction
) -> None:
    rate, frame = form
    lasting = Fraction(frame, rate)
    at = stamps(steps, lasting)
    sounds = [SoundFrame(float(seconds), str(number).encode()) for number, seconds in enumerate(at)]
    slots = AudioSlots(AudioForm(rate, frame, lambda: b"silence"), iter(sounds), first, lead)
    taken = [one for end in range(5, 400, 7) for one in slots.take(end)]
    assert slots.phase >= -lead * rate - 1
    heard = [(slot, int(data)) for slot, data in enumerate(taken) if data != b"silence"]
    assert [number for _, number in heard] == sorted({number for _, number in heard})
    for slot, number in heard:
        plays = first + (slot * frame + slots.phase) / Fraction(rate)
        # A round begins at the frame nearest to its picture: that is half a frame more.
        assert abs(plays - at[number]) + lasting / 2 <= insync.FARTHEST + Fraction(1, rate)


@given(steps=STEPS)
def test_a_decoded_sample_is_never_further_from_its_stamp_than_stamps_jitter(steps: list[tuple[int, int]]) -> None:
    rate, count = 8000, 160
    at = stamps(steps, Fraction(count, rate))
    line, found = SoundLine(rate, "mono", 256), []
    for number, seconds in enumerate(at, 1):
        frame = AudioFrame("fltp", "mono", count)
        frame.planes[0].update(struct.pack(f"{count}f", *[number] * count).ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = rate, round(seconds * rate), Fraction(1, rate)
        found += list(line.pieces(frame))
    found += list(line.rest())
    due = {number: round(seconds * rate) for number, seconds in enumerate(at, 1)}
    end = None
    for piece in found:
        assert piece.pts is not None
        assert end is None or piece.pts >= end
        end = piece.pts + piece.samples
        values = struct.unpack_from(f"{piece.samples}f", bytes(piece.planes[0]))
        for offset, value in enumerate(map(round, values)):
            if value:
                late = piece.pts + offset - due[value]
                assert -sound_line.LIMIT * rate - 2 <= late <= count + sound_line.LIMIT * rate + 2


def test_a_hole_is_silent_for_as_long_as_it_lasts_and_an_overlap_is_heard_once() -> None:
    rate, line = 8000, SoundLine(8000, "mono", 80)
    samples = 0
    for pts in (0, 160, 800, 880, 960):  # 60 ms are missing before the third; the next begin within it
        frame = AudioFrame("s16", "mono", 160)
        frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1, rate)
        samples += sum(piece.samples for piece in line.pieces(frame))
    samples += sum(piece.samples for piece in line.rest())
    assert samples == 960 + 160  # from the first one to the end of the last


@given(steps=STEPS, frame=st.sampled_from([960, 1024, 2048]))
def test_a_cameras_sound_is_never_further_from_its_stamp_than_the_limit(
    steps: list[tuple[int, int]], frame: int
) -> None:
    clock, rate, end = AudioClock(48_000, frame), 48_000, 0
    for seconds in stamps(steps, Fraction(frame, rate)):
        stamp = clock.stamp(seconds)
        if stamp is not None:
            assert stamp >= end - max(1, frame // SLEW)  # slewed: the sample before is as much shorter
            assert abs(stamp - seconds * rate) <= RESYNC * rate + frame
            end = stamp + frame


def test_a_camera_whose_clock_steps_is_in_step_again_with_the_next_frame_that_fits() -> None:
    for step in (0.7, 0.15, -0.15, -0.7):
        clock = AudioClock(48_000)
        at = [n * 1024 / 48_000 + (step if n >= 50 else 0.0) for n in range(150)]
        off = [None if (stamp := clock.stamp(seconds)) is None else stamp / 48_000 - seconds for seconds in at]
        assert max(abs(each) for each in off[90:] if each is not None) <= 1024 / 48_000
        assert all(each is not None for each in off[90:])


@given(INDEXES, st.integers(0, 10_000))
def test_a_channel_that_begins_in_the_middle_has_its_sound_as_far_from_its_picture_as_the_file(
    index: Index, at: int
) -> None:
    loop = Loop.of(index)
    number = loop.key_at(Fraction(at, 10_000) * index.seconds)
    start = begun(loop, number, 0.0, 0.0)
    stretch = Span(loop, start)
    for local in range(number, number + 2 * loop.chunk_count):
        mine, files = stretch.pieces(local - number), loop.pieces(local)
        assert min(piece.decode_time for piece in mine) >= 0
        if len(files) > 1:
            rate = loop.sound_rate
            moved = Fraction(mine[0].decode_time - files[0].decode_time, loop.timescale)
            assert abs(Fraction(mine[1].decode_time - files[1].decode_time, rate) - moved) <= Fraction(1, rate)
