"""The bytes of fragmented MP4: movie fragments, length-prefixed samples, codec strings (ISO/IEC 14496-12 and -15)."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

# `moof` as we write it: every box before the sample table has a constant size, so these two fields never move.
SEQUENCE_AT: Final = 20  # mfhd.sequence_number, u32
DECODE_TIME_AT: Final = 60  # tfdt.baseMediaDecodeTime, u64
HEAD_SIZE: Final = 88  # moof, mfhd, traf, tfhd, tfdt and the fixed part of trun
SAMPLE_SIZE: Final = 16  # duration, size, flags, composition offset

# Sample flags, 14496-12 section 8.8.3.1: sample_depends_on 2 = needs no other sample, 1 = needs others.
SYNC: Final = 0x02000000
NON_SYNC: Final = 0x01010000

TFHD_FLAGS: Final = 0x020000  # default-base-is-moof, section 8.8.7
TRUN_FLAGS: Final = 0x000F01  # data offset; duration, size, flags and composition offset of each sample, section 8.8.8

VIDEO_TRACK: Final = 1  # the track of the picture in every init and chunk of ours
AUDIO_TRACK: Final = 2

_HEAD: Final = struct.Struct(">I4s I4sII I4s I4sII I4sIQ I4sIII")
_SAMPLE: Final = struct.Struct(">IIIi")
_KINDS: Final = struct.Struct(">4x4s44x4s")  # of `_HEAD`: moof and tfdt
_SEQUENCE: Final = struct.Struct(">I")
_DECODE_TIME: Final = struct.Struct(">Q")
_MDAT: Final = struct.Struct(">I4s")
_MAX_PAYLOAD: Final = 2**31 - 1  # trun.data_offset is signed 32 bits, and nothing near it is sane

# NAL unit types, by codec: (access unit delimiter, parameter sets in the order of decoding).
_DELIMITER: Final = {"h264": 9, "hevc": 35}
_SLICES_H264: Final = range(1, 6)
_SLICES_HEVC: Final = range(32)
_PARAMETER_SETS: Final = {"h264": (7, 8), "hevc": (32, 33, 34)}
_DROPPED: Final = {codec: frozenset({kind}) for codec, kind in _DELIMITER.items()}
_STRIPPED: Final = {codec: _DROPPED[codec].union(kinds) for codec, kinds in _PARAMETER_SETS.items()}


class Sample(NamedTuple):
    """One coded frame. Ticks of the track's timescale; `offset` = presentation - decode time and may be negative."""

    data: bytes
    duration: int
    key: bool
    offset: int = 0


def fragment(track_id: int, sequence: int, decode_time: int, samples: Sequence[Sample]) -> bytes:
    """One movie fragment of one track: `moof` + `mdat` (ISO/IEC 14496-12 sections 8.8.4 to 8.8.12 and 8.1.1).

    `decode_time` is that of the first sample, in ticks, 64 bits (tfdt version 1, section 8.8.12). Composition offsets
    are signed (trun version 1, section 8.8.8). Raises `ValueError` without samples or when a field does not fit.
    """
    if not samples:
        raise ValueError("a fragment needs a sample")
    payload = sum(len(sample.data) for sample in samples)
    if payload > _MAX_PAYLOAD:
        raise ValueError(f"a fragment of {payload} bytes is over the limit of {_MAX_PAYLOAD}")
    table = SAMPLE_SIZE * len(samples)
    moof = HEAD_SIZE + table
    head = _head(track_id, sequence, decode_time, len(samples), moof)
    try:
        entries = [
            _SAMPLE.pack(sample.duration, len(sample.data), SYNC if sample.key else NON_SYNC, sample.offset)
            for sample in samples
        ]
    except struct.error as error:
        raise ValueError("a sample's duration or composition offset does not fit into 32 bits") from error
    mdat = _MDAT.pack(_MDAT.size + payload, b"mdat")
    return b"".join((head, *entries, mdat, *(sample.data for sample in samples)))


def _head(track_id: int, sequence: int, decode_time: int, count: int, moof: int) -> bytes:
    traf = moof - 24
    trun = moof - 68
    try:
        return _HEAD.pack(
            *(moof, b"moof"),
            *(16, b"mfhd", 0, sequence & 0xFFFFFFFF),
            *(traf, b"traf"),
            *(16, b"tfhd", TFHD_FLAGS, track_id),
            *(20, b"tfdt", 0x01000000, decode_time),
            *(trun, b"trun", 0x01000000 | TRUN_FLAGS, count, moof + _MDAT.size),
        )
    except struct.error as error:
        raise ValueError(f"track {track_id} or decode time {decode_time} does not fit") from error


def stamp(fragment: bytearray | memoryview, sequence: int, decode_time: int) -> None:
    """Puts a fragment to another place in time: new `mfhd.sequence_number` (modulo 2^32) and `tfdt`, in its own bytes.

    Only for what `fragment` wrote. Raises `ValueError` for anything else.
    """
    if len(fragment) < _KINDS.size or _KINDS.unpack_from(fragment) != (b"moof", b"tfdt"):
        raise ValueError("not a fragment of ours")
    try:
        _DECODE_TIME.pack_into(fragment, DECODE_TIME_AT, decode_time)
    except struct.error as error:
        raise ValueError(f"decode time {decode_time} does not fit into 64 bits") from error
    _SEQUENCE.pack_into(fragment, SEQUENCE_AT, sequence & 0xFFFFFFFF)


def nal_units(annexb: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B byte stream (ISO/IEC 14496-10 Annex B), without start codes; empty ones are skipped.

    Start codes of three and of four bytes. The zeros before a start code belong to no unit: a NAL unit never ends in
    a zero byte (section 7.4.1). Bytes before the first start code are ignored.
    """
    start = annexb.find(b"\0\0\1")
    while start >= 0:
        begin = start + 3
        start = annexb.find(b"\0\0\1", begin)
        unit = (annexb[begin:] if start < 0 else annexb[begin:start]).rstrip(b"\0")
        if unit:
            yield unit


def nal_type(unit: bytes, codec: str = "h264") -> int:
    """`nal_unit_type`: 14496-10 section 7.3.1 (`h264`), 23008-2 section 7.3.1.2 (`hevc`)."""
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def is_delimiter(unit: bytes, codec: str = "h264") -> bool:
    """Whether it is an access unit delimiter."""
    return nal_type(unit, codec) == _DELIMITER[codec]


def is_parameter_set(unit: bytes, codec: str = "h264") -> bool:
    """Whether it is a VPS, SPS or PPS."""
    return nal_type(unit, codec) in _PARAMETER_SETS[codec]


def is_slice(unit: bytes, codec: str = "h264") -> bool:
    """Whether it is a part of the coded picture itself."""
    return nal_type(unit, codec) in (_SLICES_H264 if codec == "h264" else _SLICES_HEVC)


def prefixed(units: Iterable[bytes]) -> bytes:
    """NAL units as they stand in an MP4 sample: each behind its size in 4 bytes (ISO/IEC 14496-15 5.3.4.2)."""
    return b"".join(piece for unit in units for piece in (_SEQUENCE.pack(len(unit)), unit))


def length_prefixed(annexb: bytes, codec: str = "h264", *, parameter_sets: bool = True, size: int = 4) -> bytes:
    """An Annex B access unit as an MP4 sample: each NAL unit behind its length in `size` bytes (14496-15 5.3.4.2).

    `codec` is `h264` or `hevc`. Access unit delimiters are dropped; so are parameter sets with `parameter_sets=False`.
    """
    dropped = _DROPPED[codec] if parameter_sets else _STRIPPED[codec]
    h264 = codec == "h264"
    pieces: list[bytes] = []
    for unit in nal_units(annexb):
        if (unit[0] & 0x1F if h264 else unit[0] >> 1 & 0x3F) not in dropped:
            pieces += (len(unit).to_bytes(size), unit)
    return b"".join(pieces)


def split_prefixed(sample: bytes) -> Iterator[bytes]:
    """The NAL units of an MP4 sample with 4-byte sizes. Raises `ValueError` when a size points past the end."""
    at = 0
    while at < len(sample):
        end = at + 4 + int.from_bytes(sample[at : at + 4])
        if end > len(sample) or at + 4 > len(sample):
            raise ValueError("a NAL unit's size points past the end of its sample")
        yield sample[at + 4 : end]
        at = end


def goes_on(annexb: bytes, codec: str = "h264") -> bool:
    """Whether these bytes are further slices of the picture before: FFmpeg's parser parts a picture where a sender
    repeats parameter sets before each slice, as GStreamer does.

    `first_mb_in_slice` (14496-10 section 7.4.3) or `first_slice_segment_in_pic_flag` (23008-2 section 7.4.7.1) of the
    first slice says so: in both, the first bit of the header is 1 when the slice begins its picture.
    """
    slices, header = (_SLICES_H264, 1) if codec == "h264" else (_SLICES_HEVC, 2)
    at = annexb.find(b"\0\0\1")
    while 0 <= at < len(annexb) - 3 - header:
        kind = annexb[at + 3] & 0x1F if header == 1 else annexb[at + 3] >> 1 & 0x3F
        if kind in slices:
            return not annexb[at + 3 + header] & 0x80  # found without a look at the rest, which is most of a picture
        at = annexb.find(b"\0\0\1", at + 3)
    return False


def parameter_sets(annexb: bytes, codec: str = "h264") -> tuple[bytes, ...]:
    """SPS and PPS (`hevc`: VPS, SPS, PPS) of an Annex B stream, in order, each once; without start codes."""
    wanted = _PARAMETER_SETS[codec]
    return tuple(dict.fromkeys(unit for unit in nal_units(annexb) if nal_type(unit, codec) in wanted))


def codec_string(config: bytes) -> str:
    """RFC 6381 section 3.3 for H.264: `avc1.PPCCLL`, from an `avcC` record, an SPS, or Annex B with an SPS in it.

    Raises `ValueError` when there is no SPS.
    """
    return "avc1." + avc_profile(config).hex()


def avc_profile(config: bytes) -> bytes:
    """Profile, constraint flags and level: three bytes, of an `avcC` record (14496-15 5.3.3.1), an SPS or Annex B."""
    if len(config) >= 7 and config[0] == 1:
        return config[1:4]
    units = [config] if config and not config.startswith(b"\0\0") else list(nal_units(config))
    for unit in units:
        if nal_type(unit) == 7 and len(unit) >= 4:
            return unit[1:4]
    raise ValueError("there is no H.264 sequence parameter set in these bytes")


def hevc_codec_string(hvcc: bytes) -> str:
    """ISO/IEC 14496-15 Annex E.3 for H.265: `hvc1.1.6.L93.90`, from an `hvcC` record. Raises `ValueError` if short."""
    if len(hvcc) < 13 or hvcc[0] != 1:
        raise ValueError("these bytes are no hvcC record")
    space = ("", "A", "B", "C")[hvcc[1] >> 6]
    tier = "H" if hvcc[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(hvcc[2:6]):032b}"[::-1], 2)  # written in reverse bit order
    constraints = hvcc[6:12].rstrip(b"\0")
    return ".".join(
        ("hvc1", f"{space}{hvcc[1] & 0x1F}", f"{compatible:X}", f"{tier}{hvcc[12]}", *(f"{c:X}" for c in constraints))
    )


def aac_codec_string(config: bytes) -> str:
    """RFC 6381 section 3.3 for AAC: `mp4a.40.N`, N the object type of an AudioSpecificConfig (14496-3 section 1.6.2.1).

    Raises `ValueError` when the config is empty.
    """
    if len(config) < 2:
        raise ValueError("these bytes are no AudioSpecificConfig")
    kind = config[0] >> 3
    if kind == 31:  # escape: six more bits
        kind = 32 + (int.from_bytes(config[:2]) >> 5 & 0x3F)
    return f"mp4a.40.{kind}"
