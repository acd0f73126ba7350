"""What `media.mp4.fmp4` writes, read back by an independent box reader."""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.mp4 import fmp4
from media.mp4.fmp4 import Sample

SAMPLES = st.lists(
    st.builds(
        Sample,
        data=st.binary(max_size=40),
        duration=st.integers(0, 2**32 - 1),
        key=st.booleans(),
        offset=st.integers(-(2**31), 2**31 - 1),
    ),
    min_size=1,
    max_size=12,
)
TIMES = st.integers(0, 2**64 - 1)
SEQUENCES = st.integers(0, 2**32 - 1)


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """Splits bytes into boxes by their declared sizes; the sizes must add up."""
    found = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        assert size >= 8
        assert at + size <= len(data)
        found.append((data[at + 4 : at + 8].decode(), data[at + 8 : at + size]))
        at += size
    return found


@dataclass(frozen=True)
class Parsed:
    track_id: int
    sequence: int
    decode_time: int
    samples: list[Sample]


def parse(data: bytes) -> Parsed:
    """One fragment, by the book: every offset is followed, every flag looked at."""
    (moof_name, moof), (mdat_name, _) = boxes(data)
    assert (moof_name, mdat_name) == ("moof", "mdat")
    (mfhd_name, mfhd), (traf_name, traf) = boxes(moof)
    assert (mfhd_name, traf_name) == ("mfhd", "traf")
    (tfhd_name, tfhd), (tfdt_name, tfdt), (trun_name, trun) = boxes(traf)
    assert (tfhd_name, tfdt_name, trun_name) == ("tfhd", "tfdt", "trun")
    assert tfhd[:4] == b"\0\2\0\0"
    assert tfdt[0] == 1
    assert trun[:4] == b"\1\0\x0f\1"
    count, data_offset = struct.unpack(">Ii", trun[4:12])
    samples = []
    at = data_offset  # from the first byte of moof
    for index in range(count):
        duration, size, flags, offset = struct.unpack(">IIIi", trun[12 + 16 * index : 28 + 16 * index])
        non_sync = bool(flags >> 16 & 1)
        assert flags >> 24 & 3 == (1 if non_sync else 2)
        samples.append(Sample(data[at : at + size], duration, not non_sync, offset))
        at += size
    assert at == len(data)
    return Parsed(
        struct.unpack(">I", tfhd[4:])[0],
        struct.unpack(">I", mfhd[4:])[0],
        struct.unpack(">Q", tfdt[4:])[0],
        samples,
    )


def restamped(data: bytes, sequence: int, decode_time: int) -> bytes:
    again = bytearray(data)
    fmp4.stamp(again, sequence, decode_time)
    return bytes(again)


@given(st.integers(1, 2**32 - 1), SEQUENCES, TIMES, SAMPLES)
def test_a_fragment_says_exactly_what_it_was_given(track: int, sequence: int, time: int, samples: list[Sample]) -> None:
    assert parse(fmp4.fragment(track, sequence, time, samples)) == Parsed(track, sequence, time, samples)


@given(SEQUENCES, TIMES, SEQUENCES, TIMES, SAMPLES)
def test_a_restamped_fragment_is_the_one_written_for_that_time(
    sequence: int, time: int, later_sequence: int, later_time: int, samples: list[Sample]
) -> None:
    first = fmp4.fragment(1, sequence, time, samples)
    assert restamped(first, later_sequence, later_time) == fmp4.fragment(1, later_sequence, later_time, samples)


def test_sequence_numbers_wrap_at_32_bits_and_do_not_fail() -> None:
    data = fmp4.fragment(1, 2**32 + 7, 0, [Sample(b"x", 1, True)])
    assert parse(data).sequence == 7
    assert parse(restamped(data, 2**33 + 9, 0)).sequence == 9


@pytest.mark.parametrize(
    ("samples", "time"),
    [
        ([], 0),
        ([Sample(b"", -1, True)], 0),
        ([Sample(b"", 2**32, True)], 0),
        ([Sample(b"", 1, True, 2**31)], 0),
        ([Sample(b"", 1, True)], -1),
        ([Sample(b"", 1, True)], 2**64),
    ],
)
def test_what_does_not_fit_into_a_fragment_is_refused(samples: list[Sample], time: int) -> None:
    with pytest.raises(ValueError, match=r"fit|needs"):
        fmp4.fragment(1, 1, time, samples)


def test_only_our_own_fragments_are_restamped() -> None:
    with pytest.raises(ValueError, match="not a fragment"):
        restamped(bytes(200), 1, 1)
    with pytest.raises(ValueError, match="64 bits"):
        restamped(fmp4.fragment(1, 1, 0, [Sample(b"x", 1, True)]), 1, -1)


# A NAL unit: a header byte that is not zero, a payload without start-code emulation, no zero at the end.
UNITS = st.lists(
    st.builds(
        lambda kind, body: bytes([kind]) + body.replace(b"\0", b"\3") + b"\x80",
        st.integers(1, 31).map(lambda kind: 0x60 | kind),
        st.binary(max_size=30),
    ),
    min_size=1,
    max_size=8,
)
START_CODES = st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"])


@given(UNITS, st.data())
def test_nal_units_are_found_behind_start_codes_of_any_length(units: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(data.draw(START_CODES) + unit for unit in units)
    assert list(fmp4.nal_units(stream)) == units
    prefixed = fmp4.length_prefixed(stream)
    assert list(fmp4.split_prefixed(prefixed)) == [unit for unit in units if fmp4.nal_type(unit) != 9]


def test_single_zeros_inside_a_nal_unit_are_kept() -> None:
    unit = b"\x65\0\1\0\0\2\0\1\x80"
    assert list(fmp4.nal_units(b"\0\0\1" + unit + b"\0\0\0\1\x41\x80\0\0")) == [unit, b"\x41\x80"]


def test_delimiters_and_on_request_parameter_sets_are_dropped() -> None:
    sps, pps, idr = b"\x67\x42\xc0\x1e\x80", b"\x68\xce\x80", b"\x65\x88\x80"
    stream = b"".join(b"\0\0\0\1" + unit for unit in (b"\x09\xf0", sps, pps, idr, sps))
    assert list(fmp4.split_prefixed(fmp4.length_prefixed(stream))) == [sps, pps, idr, sps]
    assert list(fmp4.split_prefixed(fmp4.length_prefixed(stream, parameter_sets=False))) == [idr]
    assert fmp4.parameter_sets(stream) == (sps, pps)


def test_parameter_sets_of_h265_are_three() -> None:
    vps, sps, pps, delimiter, idr = b"\x40\1\x0c", b"\x42\1\1", b"\x44\1\xc1", b"\x46\1\x10", b"\x26\1\xaf"
    stream = b"".join(b"\0\0\1" + unit for unit in (delimiter, vps, sps, pps, idr))
    assert fmp4.parameter_sets(stream, "hevc") == (vps, sps, pps)
    assert list(fmp4.split_prefixed(fmp4.length_prefixed(stream, "hevc", parameter_sets=False))) == [idr]


def test_a_size_past_the_end_of_a_sample_is_refused() -> None:
    for bad in (b"\0\0\0\5abc", b"\0\0"):
        with pytest.raises(ValueError, match="past the end"):
            list(fmp4.split_prefixed(bad))


@pytest.mark.parametrize(
    "config",
    [
        bytes.fromhex("0164001fffe1000567 64001f80 01000368ee80"),
        bytes.fromhex("6764001fac"),
        bytes.fromhex("0000000109f0000000016764001fac00000168ee80"),
    ],
)
def test_the_codec_string_of_h264_is_profile_constraints_and_level(config: bytes) -> None:
    assert fmp4.codec_string(config) == "avc1.64001f"


@pytest.mark.parametrize("config", [b"", b"\0\0\1\x68\xee", b"\x67\x64"])
def test_without_a_sequence_parameter_set_there_is_no_codec_string(config: bytes) -> None:
    with pytest.raises(ValueError, match=r"no H\.264 sequence parameter set"):
        fmp4.codec_string(config)


def test_the_codec_string_of_h265_follows_annex_e() -> None:
    # The first is an example of ISO/IEC 14496-15 Annex E.3; the second has a profile space and the high tier.
    assert fmp4.hevc_codec_string(bytes.fromhex("01 01 60000000 b00000000000 5d")) == "hvc1.1.6.L93.B0"
    assert fmp4.hevc_codec_string(bytes.fromhex("01 62 20000000 b023 00000000 78")) == "hvc1.A2.4.H120.B0.23"
    with pytest.raises(ValueError, match="hvcC"):
        fmp4.hevc_codec_string(b"\1\1")


@pytest.mark.parametrize(("config", "codec"), [("1190", "mp4a.40.2"), ("2b92", "mp4a.40.5"), ("f956", "mp4a.40.42")])
def test_the_codec_string_of_aac_is_its_object_type(config: str, codec: str) -> None:
    assert fmp4.aac_codec_string(bytes.fromhex(config)) == codec


def test_an_empty_audio_config_has_no_codec_string() -> None:
    with pytest.raises(ValueError, match="AudioSpecificConfig"):
        fmp4.aac_codec_string(b"")
