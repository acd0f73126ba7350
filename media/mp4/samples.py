"""Makes the samples of a copied H.264 or H.265 track such as every decoder takes, also where they are put together."""

from collections.abc import Iterator
from typing import Final

from media.mp4 import fmp4

_SEI: Final = {"h264": (6,), "hevc": (39, 40)}
_SLICES: Final = {"h264": range(1, 6), "hevc": range(32)}
_HEADER: Final = {"h264": 1, "hevc": 2}  # bytes of a NAL unit's header
_IDR_H264: Final = 5
_IRAP: Final = range(16, 24)  # of H.265: pictures with which decoding can begin (23008-2 section 7.4.2.2)
_CRA: Final = 21
_BLA_N_LP: Final = 18
_FIRST_SLICE: Final = 0x80  # first_slice_segment_in_pic_flag, the first bit behind the header (section 7.3.6.1)
_NO_OUTPUT: Final = 0x40  # no_output_of_prior_pics_flag, the second one of an IRAP picture
_LENGTH_AT: Final = {"h264": 4, "hevc": 21}  # of lengthSizeMinusOne in avcC and hvcC (14496-15, 5.3.3.1 and 8.3.3.1)


class Samples:
    """The samples of one track. `codec` is `h264` or `hevc`; `config` its `avcC` or `hvcC`, or Annex B.

    They come out as NAL units behind lengths of as many bytes as `config` says, or four, with these changes:

    * SEI whose messages do not fit into it is left out: FFmpeg ignores it, Chromium's decoder refuses the picture.
    * Start codes, where a muxer forgot lengths, become lengths.
    * `no_output_of_prior_pics_flag` is cleared: it would take away the last pictures of the round before.
    """

    def __init__(self, codec: str, config: bytes) -> None:
        self.codec = codec
        record = config[:1] == b"\1" and len(config) > _LENGTH_AT[codec]
        self._size = (config[_LENGTH_AT[codec]] & 3) + 1 if record else 4
        self._annexb: bool | None = None if record else True  # None: the first sample will tell

    def mended(self, data: bytes, *, splice: bool = False) -> bytes:
        """One sample. `splice`: it does not follow the one before it in its file, so that a CRA picture becomes a BLA
        picture (23008-2 section 3.14): one that begins anew. Its leading pictures are not to follow."""
        if self._annexb is not False and self._is_annexb(data):
            data = fmp4.length_prefixed(data, self.codec, parameter_sets=False, size=self._size)
        kind = self._first_kind(data)
        sei = _SEI[self.codec]
        if kind not in sei and not (self.codec == "hevc" and kind in _IRAP):
            return data
        units = [self._mended(unit, splice) for unit in self._prefixed(data)]
        return b"".join(len(unit).to_bytes(self._size) + unit for unit in units if unit)

    def is_key(self, data: bytes, said: bool) -> bool:
        """Whether decoding can begin with this sample, as the file has it, which FFmpeg has `said` or not.

        It misses some in Annex B, and says it of H.264 that only recovers after a while: leading pictures of such a one
        need what was before it, and decoders complain of them.
        """
        if not said and self._annexb is False:
            return False
        if self.codec == "h264" or not said:
            return (said or self._is_annexb(data)) and self.refreshes(data)
        return True

    def refreshes(self, data: bytes) -> bool:
        """Whether a decoder begins anew with this sample, as the file has it: IDR in H.264, IRAP in H.265."""
        units = fmp4.nal_units(data) if self._is_annexb(data) else self._prefixed(data)
        kind = next((kind for kind in map(self._kind, units) if kind in _SLICES[self.codec]), -1)
        return kind == _IDR_H264 if self.codec == "h264" else kind in _IRAP

    def _is_annexb(self, data: bytes) -> bool:
        if self._annexb is None:  # the first sample tells
            self._annexb = not self._fits(data) and data.startswith((b"\0\0\0\1", b"\0\0\1"))
        return self._annexb

    def _prefixed(self, data: bytes) -> Iterator[bytes]:
        """The NAL units of a sample, as far as their lengths fit."""
        at, size = 0, self._size
        while at + size < len(data):
            end = at + size + int.from_bytes(data[at : at + size])
            yield data[at + size : end]
            at = end

    def _kind(self, unit: bytes) -> int:
        return fmp4.nal_type(unit, self.codec) if unit else -1

    def _first_kind(self, data: bytes) -> int:
        """The type of the first NAL unit that may want a change, or of the first slice: looked at in every sample."""
        at, size, h264 = 0, self._size, self.codec == "h264"
        kind = -1
        while at + size < len(data):
            kind = data[at + size] & 0x1F if h264 else data[at + size] >> 1 & 0x3F
            if (1 <= kind <= 6) if h264 else (kind < 32 or kind == 39):
                break
            at += size + int.from_bytes(data[at : at + size])
        return kind

    def _fits(self, data: bytes) -> bool:
        at, size = 0, self._size
        while at + size < len(data):
            at += size + int.from_bytes(data[at : at + size])
        return at == len(data)

    def _mended(self, unit: bytes, splice: bool) -> bytes:
        """Nothing for a NAL unit that goes."""
        kind = self._kind(unit)
        if kind in _SEI[self.codec]:
            return unit if whole_sei(unit[_HEADER[self.codec] :]) else b""
        if self.codec == "hevc" and kind in _IRAP and len(unit) > 5:
            return _begun_anew(unit, kind, splice)
        return unit


def _begun_anew(unit: bytes, kind: int, splice: bool) -> bytes:
    if splice and kind == _CRA:
        unit = bytes([unit[0] & 0x81 | _BLA_N_LP << 1]) + unit[1:]
    first = unit[2] & ~_NO_OUTPUT
    if first == unit[2]:
        return unit
    # A byte that has become 0 may need the one that keeps start codes from appearing (section 7.4.2, emulation).
    guard = b"\3" if first == 0 == unit[3] and unit[4] <= 3 else b""
    return unit[:2] + bytes([first, unit[3]]) + guard + unit[4:]


def whole_sei(payload: bytes) -> bool:
    """Whether the messages of an SEI NAL unit, without its header, fit into it (14496-10 section 7.3.2.3.1)."""
    data = payload.replace(b"\0\0\3", b"\0\0").rstrip(b"\0")
    at, end = 0, len(data)
    while at < end - 1:
        for _ in range(2):  # the type, then the size
            value = 0
            while at < end and data[at] == 0xFF:
                value, at = value + 255, at + 1
            if at >= end:
                return False
            value, at = value + data[at], at + 1
        at += value
    return at == end - 1 and data[at] == 0x80
