"""What an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1) says."""

from dataclasses import dataclass
from typing import Final

_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "7.1(wide)"}
_SBR: Final = (5, 29)  # object types whose core runs at half the rate and is described behind a second rate


@dataclass(frozen=True, slots=True)
class AacConfig:
    """`core_rate` is that of the AAC frames themselves; with SBR what sounds has twice as many samples.

    `layout` is FFmpeg's name of the channel configuration, "" when the stream describes its own. `frame` is how many
    samples at `core_rate` one frame holds. `kind` is the audio object type (table 1.17): 2 is LC.
    """

    core_rate: int
    layout: str
    frame: int
    kind: int = 2

    @property
    def plain(self) -> bool:
        """Whether every browser plays it: LC, or that with SBR or PS, of channels that are said here."""
        return self.kind in (2, *_SBR) and self.frame == 1024 and bool(self.layout)


def parse(config: bytes) -> AacConfig:
    """Raises `ValueError` when these bytes are no config of an AAC stream."""
    bits = _Bits(config)
    kind = _object_type(bits)
    core_rate = _rate(bits)
    layout = LAYOUTS.get(bits.take(4), "")
    if kind in _SBR:
        _rate(bits)
        _object_type(bits)
    short_frames = bits.take(1)
    return AacConfig(core_rate, layout, 960 if short_frames else 1024, kind)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("an AudioSpecificConfig that ends too early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


def _object_type(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _rate(bits: _Bits) -> int:
    index = bits.take(4)
    rate = bits.take(24) if index == 15 else _RATES[index] if index < len(_RATES) else 0
    if not rate:
        raise ValueError("an AudioSpecificConfig without a sample rate")
    return rate
