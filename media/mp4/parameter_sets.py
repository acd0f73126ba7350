"""Puts the parameter sets that an init declares into the samples of its key frames as well."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from media.mp4 import fmp4, moov

SIZE: Final = 4  # bytes of a NAL unit's size in every sample of ours
_AVC_SIZE_AT: Final = 4  # lengthSizeMinusOne in an avcC record (ISO/IEC 14496-15, 5.3.3.1), in the two lowest bits
_HEVC_SIZE_AT: Final = 21  # lengthSizeMinusOne in an hvcC record (8.3.3.1)


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The SPS and PPS (H.265: VPS, SPS and PPS) of one video track, as its codec record has them.

    `codec` is `h264` or `hevc`; `size` is how many bytes a NAL unit's size takes in samples of the source.

    Each key frame carries its sets because readers made of FFmpeg (OpenCV, PyAV) skip every init but a stream's first.
    14496-15 has a name for such tracks, `avc3` and `hev1`; ours stay `avc1` and `hvc1`, which more players take, and
    the sets in the samples are never other ones than those of the init.
    """

    codec: str
    units: tuple[bytes, ...]
    size: int = SIZE

    @classmethod
    def declared(cls, init: bytes) -> "ParameterSets":
        """Those of the first H.264 or H.265 track of an init. Raises `ValueError` without one or if cut short."""
        codec, record = moov.codec_record(init)
        if codec == "h264":
            return cls(codec, avc_units(record), (record[_AVC_SIZE_AT] & 3) + 1)
        return cls(codec, hevc_units(record), (record[_HEVC_SIZE_AT] & 3) + 1)

    def sample(self, data: bytes, key: bool) -> bytes:
        """A sample of the source with sizes of four bytes, and with the sets in it if it is a key frame.

        The sets follow an access unit delimiter; those that are in it already are not repeated. Sets of its own come
        behind them and win. A sample whose sizes point past its end stays as damaged as it is.
        """
        if self.size != SIZE:
            data = fmp4.prefixed(_units(data, self.size))
        if not key:
            return data
        own, at, end = set(), 0, 0
        for unit in _units(data, SIZE):
            end += SIZE + len(unit)
            if fmp4.is_delimiter(unit, self.codec):
                at = end
            elif fmp4.is_slice(unit, self.codec):
                break
            own.add(unit)
        return data[:at] + fmp4.prefixed(unit for unit in self.units if unit not in own) + data[at:]


def with_sizes_of_four(init: bytes) -> bytes:
    """The same init for samples whose NAL units have sizes of four bytes."""
    codec, record = moov.codec_record(init)
    at = init.index(record) + (_AVC_SIZE_AT if codec == "h264" else _HEVC_SIZE_AT)
    return init[:at] + bytes([init[at] | 3]) + init[at + 1 :]


def avc_units(avcc: bytes) -> tuple[bytes, ...]:
    """SPS and PPS of an `avcC` record (14496-15 5.3.3.1), in order. Raises `ValueError` when it is cut short."""
    found: list[bytes] = []
    at = 5
    for mask in (0x1F, 0xFF):  # how many SPS there are is in five bits, the PPS have a byte
        count, at = avcc[at : at + 1], at + 1
        at = _take(avcc, at, count[0] & mask if count else 0, found)
    if len(avcc) < at:
        raise ValueError("an avcC record that is cut short")
    return tuple(found)


def hevc_units(hvcc: bytes) -> tuple[bytes, ...]:
    """VPS, SPS and PPS of an `hvcC` record (14496-15 8.3.3.1), in order. Raises `ValueError` when it is cut short."""
    found: list[bytes] = []
    arrays, at = hvcc[22:23], 23
    for _ in range(arrays[0] if arrays else 0):
        at = _take(hvcc, at + 3, int.from_bytes(hvcc[at + 1 : at + 3]), found)
    if len(hvcc) < at:
        raise ValueError("an hvcC record that is cut short")
    return tuple(unit for unit in found if fmp4.is_parameter_set(unit, "hevc"))


def _take(record: bytes, at: int, count: int, found: list[bytes]) -> int:
    """Adds `count` NAL units behind their sizes of two bytes to `found`; gives where they end."""
    for _ in range(count):
        end = at + 2 + int.from_bytes(record[at : at + 2])
        if end > len(record):
            return end
        found.append(record[at + 2 : end])
        at = end
    return at


def _units(sample: bytes, size: int) -> Iterator[bytes]:
    """The NAL units of a sample. One whose size points past the end is given as far as it is there."""
    at = 0
    while at + size <= len(sample):
        end = at + size + int.from_bytes(sample[at : at + size])
        if end > at + size:
            yield sample[at + size : end]
        at = end
