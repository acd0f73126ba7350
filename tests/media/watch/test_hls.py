"""HLS playlists: every load is legal alone, and successive loads agree with one another and with the chunks."""

from dataclasses import replace
from fractions import Fraction

import pytest

from media.chunk import Init
from media.ring import LiveRing, RingLimits
from media.watch.hls import Bandwidth, Window, bandwidth, media_playlist, multivariant, segment_name, window
from tests.support.feeding import Feeder, an_init
from tests.support.hls_checker import MediaPlaylist, PlaylistChecker, PlaylistError, parse_media, parse_multivariant

LIMITS = RingLimits(window=3, spare=2)


def a_ring() -> LiveRing:
    return LiveRing(LIMITS, lambda: 1_700_000_000.25)


def playlist(ring: LiveRing) -> str:
    return media_playlist(window(ring.segments(), ring.discontinuities, 3), ring.target_duration, ring.ended)


def test_a_playlist_reads_as_expected() -> None:
    ring = a_ring()
    Feeder(ring).feed_until(2)
    assert playlist(ring) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:6\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        f'#EXT-X-MAP:URI="init-{an_init().id}.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.250Z\n"
        "#EXTINF:2.000000,\n"
        "segment-0.m4s?t=1700000000250\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.250Z\n"
        "#EXTINF:2.000000,\n"
        "segment-1.m4s?t=1700000002250\n"
    )


def test_successive_loads_agree_over_discontinuities_and_new_inits() -> None:
    ring, checker = a_ring(), PlaylistChecker()
    feeder = Feeder(ring)
    for round_number in range(30):
        feeder.feed(7)
        checker.load(playlist(ring))
        if round_number % 5 == 4:
            feeder.skip(3)
        if round_number % 7 == 6:
            feeder.init = an_init(640 + round_number)
            feeder.fed += -feeder.fed % feeder.per_key
    ring.close()
    assert checker.load(playlist(ring)).ended
    assert sorted(checker.seen) == list(range(len(checker.seen)))
    assert checker.seen[max(checker.seen)].discontinuity == 9  # 5 holes that something follows, and 4 new inits


def test_extinf_adds_up_to_the_decode_times() -> None:
    ring, checker = LiveRing(RingLimits(window=400), lambda: 0.0), PlaylistChecker()
    feeder = Feeder(ring, duration=30_030)  # 29.97 frames a second: no whole number of milliseconds
    feeder.feed(2_000)
    listed = window(ring.segments(), 0, 400)
    loaded = checker.load(media_playlist(listed, ring.target_duration, False))
    total = sum((entry.seconds for entry in loaded.entries), Fraction(0))
    exact = sum((segment.seconds for segment in listed.segments), Fraction(0))
    assert len(loaded.entries) > 150
    assert abs(total - exact) < Fraction(1, 1_000)


def test_the_window_lists_the_newest_complete_segments_only() -> None:
    ring = a_ring()
    Feeder(ring).feed(5 * 12 + 2)
    assert [segment.msn for segment in ring.segments()] == [7, 8, 9, 10, 11, 12]
    assert [segment.msn for segment in window(ring.segments(), 0, 3).segments] == [9, 10, 11]


def test_discontinuities_among_the_spare_segments_are_before_the_window() -> None:
    ring = a_ring()
    feeder = Feeder(ring)
    for _ in range(10):
        feeder.feed(5)
        feeder.skip(1)
    listed = window(ring.segments(), ring.discontinuities, 3)
    assert listed.segments[0].msn == 6
    assert listed.discontinuities == 5  # those of segments 1 to 5


def test_a_segment_cut_without_a_key_frame_takes_the_promise_of_independence_away() -> None:
    ring = a_ring()
    Feeder(ring).feed_until(3)
    listed = window(ring.segments(), 0, 3)
    assert parse_media(media_playlist(listed, 2, False)).independent
    cut = Window((*listed.segments[:2], replace(listed.segments[2], independent=False)), 0)
    assert not parse_media(media_playlist(cut, 2, False)).independent


def test_the_multivariant_playlist_describes_the_stream() -> None:
    attributes, uri = parse_multivariant(multivariant(an_init(), Bandwidth(2_000, 1_000)))
    assert uri == "media.m3u8"
    assert attributes == {
        "BANDWIDTH": "2000",
        "AVERAGE-BANDWIDTH": "1000",
        "CODECS": "avc1.64001f,mp4a.40.2",
        "RESOLUTION": "640x360",
        "FRAME-RATE": "25.000",
    }


def test_sound_alone_has_no_resolution() -> None:
    sound = Init(b"sound", None, an_init().audio)
    attributes, _ = parse_multivariant(multivariant(sound, Bandwidth(2, 1)))
    assert set(attributes) == {"BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"}


def test_an_unknown_frame_rate_is_left_out() -> None:
    init = an_init()
    assert init.video is not None
    slow = Init(b"slow", replace(init.video, fps=0.0), None)
    assert "FRAME-RATE" not in multivariant(slow, Bandwidth(2, 1))


def test_the_peak_is_that_of_runs_near_the_target_and_not_of_a_scrap() -> None:
    scrap = (100_000, Fraction(1, 10))
    usual = (100_000, Fraction(2))
    assert bandwidth([usual, usual, scrap], 2) == Bandwidth(761_905, 585_366)


def test_nothing_measured_is_not_zero() -> None:
    assert bandwidth([], 2) == Bandwidth(1, 1)


def test_one_segment_has_another_address_after_a_restart() -> None:
    ring = a_ring()
    Feeder(ring).feed_until(1)
    segment = ring.segments()[0]
    assert segment_name(segment) != segment_name(replace(segment, wall=segment.wall + 60))


GOOD = (
    "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:4\n"
    '#EXT-X-MAP:URI="a.mp4"\n#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z\n#EXTINF:2.0,\ns4\n'
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (GOOD.replace("VERSION:6", "VERSION:3"), "version 6"),
        (GOOD.replace("2.0,", "2.6,"), "over the target"),
        (GOOD.replace('#EXT-X-MAP:URI="a.mp4"\n', ""), "before any EXT-X-MAP"),
        (GOOD.replace("#EXTINF:2.0,\n", ""), "no EXTINF"),
        (GOOD + "#EXT-X-TARGETDURATION:2\n", "twice"),
        (GOOD + GOOD[GOOD.index("#EXT-X-MAP") :].replace("a.mp4", "b.mp4"), "without EXT-X-DISCONTINUITY"),
        (GOOD + GOOD[GOOD.index("#EXT-X-PROGRAM") :].replace("2024", "2023"), "went back"),
    ],
)
def test_the_checker_refuses_a_broken_playlist(text: str, rule: str) -> None:
    assert isinstance(parse_media(GOOD), MediaPlaylist)
    with pytest.raises(PlaylistError, match=rule):
        parse_media(text)


@pytest.mark.parametrize(
    ("later", "rule"),
    [
        (GOOD.replace("SEQUENCE:4", "SEQUENCE:3"), "went back"),
        (GOOD.replace("2.0,", "1.9,"), "changed"),
        (GOOD.replace("DURATION:2", "DURATION:1").replace("2.0,", "1.0,"), "target duration changed"),
    ],
)
def test_the_checker_refuses_loads_that_contradict_each_other(later: str, rule: str) -> None:
    checker = PlaylistChecker()
    checker.load(GOOD)
    with pytest.raises(PlaylistError, match=rule):
        checker.load(later)
