"""Which parameter sets get into the samples of key frames, and where."""

import pytest

from media.mp4.parameter_sets import ParameterSets, avc_units, hevc_units

SPS, PPS, OTHER = b"\x67\xaa\xbb", b"\x68\xcc", b"\x68\xdd"
DELIMITER, SEI, IDR = b"\x09\xf0", b"\x06\x05\x01x\x80", b"\x65\x88\x80"
AVCC = bytes.fromhex("0164001fffe1 0003 67aabb 01 0002 68cc")
HVCC = (
    bytes([1])
    + bytes(20)
    + bytes.fromhex("ff 04 a0 0001 0002 4001 a1 0001 0002 4201 a2 0001 0002 4401 a7 0001 0002 4e01")
)


def prefixed(*units: bytes, size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(size) + unit for unit in units)


def test_the_sets_come_out_of_a_record_and_a_short_one_is_told() -> None:
    assert avc_units(AVCC) == (SPS, PPS)
    for cut in range(6, len(AVCC)):
        with pytest.raises(ValueError, match="cut short"):
            avc_units(AVCC[:cut])
    assert hevc_units(HVCC) == (b"\x40\1", b"\x42\1", b"\x44\1")  # SEI is no parameter set
    for cut in range(24, len(HVCC)):
        with pytest.raises(ValueError, match="cut short"):
            hevc_units(HVCC[:cut])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((SEI, IDR), (SPS, PPS, SEI, IDR)),
        ((DELIMITER, SEI, IDR), (DELIMITER, SPS, PPS, SEI, IDR)),
        ((SPS, PPS, IDR), (SPS, PPS, IDR)),
        ((SPS, OTHER, IDR), (PPS, SPS, OTHER, IDR)),  # the last one of a number counts
        ((IDR, PPS), (SPS, PPS, IDR, PPS)),  # too late for this picture
    ],
)
def test_a_key_frame_has_the_sets_behind_its_delimiter_and_none_twice(
    before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    sets = ParameterSets("h264", (SPS, PPS))
    assert sets.sample(prefixed(*before), key=True) == prefixed(*after)
    assert sets.sample(prefixed(*before), key=False) == prefixed(*before)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_sizes_of_any_length_become_sizes_of_four_bytes(size: int) -> None:
    sets = ParameterSets("h264", (SPS, PPS), size)
    assert sets.sample(prefixed(SEI, IDR, size=size), key=False) == prefixed(SEI, IDR)
    assert sets.sample(prefixed(SEI, IDR, size=size), key=True) == prefixed(SPS, PPS, SEI, IDR)


def test_a_sample_that_is_cut_short_stays_so() -> None:
    cut = prefixed(SEI, IDR)[:-1]
    assert ParameterSets("h264", (SPS, PPS)).sample(cut, key=True) == prefixed(SPS, PPS) + cut


def test_the_sets_of_h265_are_three_and_follow_its_delimiter() -> None:
    vps, sps, pps, delimiter, idr = b"\x40\1\x0c", b"\x42\1\1", b"\x44\1\xc1", b"\x46\1\x10", b"\x26\1\xaf"
    sets = ParameterSets("hevc", (vps, sps, pps))
    assert sets.sample(prefixed(delimiter, idr), key=True) == prefixed(delimiter, vps, sps, pps, idr)
