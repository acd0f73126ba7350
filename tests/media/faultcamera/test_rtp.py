"""Payloads, packets and sender reports, byte by byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.faultcamera.clip import rtp

NALS = st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=5)


def unpack(payloads: tuple[rtp.Payload, ...]) -> list[bytes]:
    """RFC 6184 read back: the NAL units of single packets and FU-A."""
    nals: list[bytes] = []
    for payload in payloads:
        data = payload.data
        if data[0] & 0x1F != rtp.FU_A:
            nals.append(data)
        elif data[1] & 0x80:
            nals.append(bytes([data[0] & 0xE0 | data[1] & 0x1F]) + data[2:])
        else:
            nals[-1] += data[2:]
    return nals


@given(NALS.map(lambda nals: [bytes([nal[0] & 0x60 | 5]) + nal[1:] for nal in nals]), st.integers(3, 100))
def test_an_access_unit_survives_the_cut_into_payloads(nals: list[bytes], limit: int) -> None:
    payloads = rtp.h264_payloads(nals, limit)

    assert unpack(payloads) == nals
    assert all(len(payload.data) <= limit for payload in payloads)
    assert [payload.marker for payload in payloads] == [False] * (len(payloads) - 1) + [True]


def test_only_the_last_fragment_of_a_nal_unit_has_the_end_bit() -> None:
    payloads = rtp.h264_payloads([b"\x65" + bytes(25)], 12)

    assert [payload.data[1] for payload in payloads] == [0x85, 0x05, 0x45]


def test_an_aac_frame_says_its_size_in_thirteen_bits() -> None:
    payload = rtp.aac_payload(bytes(300))

    assert payload.data[:4] == struct.pack(">HH", 16, 300 << 3)
    with pytest.raises(ValueError, match="too large"):
        rtp.aac_payload(bytes(8192))


def test_sequence_and_timestamp_wrap() -> None:
    sender = rtp.Sender(96, ssrc=7, sequence=0xFFFF, offset=rtp.SPAN - 1)
    payload = rtp.Payload(b"x", True)

    packets = [sender.packet(payload, ticks) for ticks in (0, 1)]

    assert [struct.unpack(">BBHII", packet[:12]) for packet in packets] == [
        (0x80, 0xE0, 0xFFFF, 0xFFFFFFFF, 7),
        (0x80, 0xE0, 0, 0, 7),
    ]


def test_a_report_ties_the_timestamp_to_the_wall_clock_and_counts() -> None:
    sender = rtp.Sender(96, ssrc=9, offset=100)
    sender.packet(rtp.Payload(b"four", False), 0)

    packet = sender.report(0.5, 900)

    assert struct.unpack(">BBHIQIII", packet[:28]) == (
        0x80,
        200,
        6,
        9,
        (rtp.NTP_OF_UNIX << 32) + (1 << 31),
        1000,
        1,
        4,
    )
    first, kind, words = struct.unpack(">BBH", packet[28:32])
    assert (first, kind, len(packet)) == (0x81, 202, 32 + 4 * words)
    assert packet.endswith(b"\0")
