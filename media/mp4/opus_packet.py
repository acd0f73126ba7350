"""Reads how long an Opus packet sounds from its first bytes (RFC 6716, section 3)."""

from typing import Final

RATE: Final = 48_000
# Samples at 48 kHz of a frame, by the configuration number in the five high bits (table 2): SILK, hybrid, CELT.
_FRAME: Final = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


def samples(packet: bytes) -> int:
    """Samples at 48 kHz; 0 for a packet that is none."""
    if not packet:
        return 0
    code = packet[0] & 3  # how many frames: one, two, two, or as the next byte says (section 3.2)
    count = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    return _FRAME[packet[0] >> 3] * count
