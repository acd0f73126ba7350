"""Puts into an init what it says of its picture besides the codec: the shape of a pixel, and what FFmpeg leaves out."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from media.mp4 import boxes
from media.mp4.boxes import Box

_VIDEO_ENTRY: Final = 78  # bytes of VisualSampleEntry before its boxes, 14496-12 section 12.1.3
# Of a file's sample entry: clean aperture (14496-12 section 12.1.4), colours (12.1.5), light levels (12.1.6, 12.1.7),
# the surroundings (12.1.8), and Dolby Vision (Dolby Vision Streams within ISOBMFF, section 3).
KEPT: Final = frozenset({b"clap", b"colr", b"clli", b"mdcv", b"amve", b"dvcC", b"dvvC", b"dvwC"})
_WAY: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def of_tracks(data: bytes, moov: Box) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """The boxes of `KEPT` in the first sample entry of each video track, whole, with the track's number."""
    for trak in boxes.children(data, moov.start, moov.end):
        tkhd = boxes.payload(data, b"tkhd", trak) if trak.kind == b"trak" else b""
        entry = _entry(data, trak)
        if tkhd and entry is not None and boxes.payload(data, b"mdia/hdlr", trak)[8:12] == b"vide":
            at = 20 if tkhd[0] == 1 else 12
            inside = boxes.children(data, entry.start + _VIDEO_ENTRY, entry.end)
            found = tuple(_box(each.kind, data[each.start : each.end]) for each in inside if each.kind in KEPT)
            yield int.from_bytes(tkhd[at : at + 4]), found


def described(init: bytes, aspect: Fraction, more: tuple[bytes, ...] = ()) -> bytes:
    """An init with pixels of that shape (width by height), and with those of the boxes that it does not have yet.

    The track header gets the size as shown before the matrix is applied, as QuickTime and Safari go by it (14496-12
    section 8.3.2).
    """
    moov = boxes.find(init, b"moov")
    for trak in boxes.children(init, moov.start, moov.end) if moov else ():
        if trak.kind != b"trak" or boxes.payload(init, b"mdia/hdlr", trak)[8:12] != b"vide":
            continue
        entry = _entry(init, trak)
        if entry is None:
            return init
        changed = _sized(init, trak, entry, aspect)
        return _inserted(changed, entry, _boxes(changed, entry, aspect, more))
    return init


def _entry(data: bytes, trak: Box) -> Box | None:
    stsd = boxes.find(data, b"mdia/minf/stbl/stsd", trak)
    return next(boxes.children(data, stsd.start + 8, stsd.end), None) if stsd else None


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _boxes(init: bytes, entry: Box, aspect: Fraction, more: tuple[bytes, ...]) -> bytes:
    """The boxes of a sample entry with the new ones in their places."""
    inside = list(boxes.children(init, entry.start + _VIDEO_ENTRY, entry.end))
    there = {each.kind for each in inside}
    kept = [_box(each.kind, _true(each.kind, init[each.start : each.end])) for each in inside if each.kind != b"pasp"]
    shape = [_box(b"pasp", struct.pack(">II", *aspect.as_integer_ratio()))] if aspect != 1 or b"pasp" in there else []
    return b"".join([*kept, *shape, *(each for each in more if each[4:8] not in there)])


def _true(kind: bytes, config: bytes) -> bytes:
    """The record of a decoder with the profile and level of its own parameter sets, which are what decoders go by.

    Players read them from the record, and from the codecs string that is made of it (14496-15 5.3.3.1, 8.3.3.1).
    """
    if kind == b"avcC" and config[5:6] and config[5] & 0x1F and len(config) > 11:
        return config[:1] + config[9:12] + config[4:]
    return config


def _sized(init: bytes, trak: Box, entry: Box, aspect: Fraction) -> bytes:
    width, height = struct.unpack_from(">HH", init, entry.start + 24)
    header = boxes.find(init, b"tkhd", trak)
    if header is None:
        return init
    at = header.start + (88 if init[header.start] == 1 else 76)
    # 16.16 fixed point.
    return init[:at] + struct.pack(">II", round(width * aspect * 65536), height << 16) + init[at + 8 :]


def _inserted(init: bytes, entry: Box, inner: bytes) -> bytes:
    """The init with other boxes in that entry, and with the sizes of all that hold it put right."""
    begin = entry.start + _VIDEO_ENTRY
    more = len(inner) - (entry.end - begin)
    changed = bytearray(init)
    start, end = 0, len(init)
    for kind in (*_WAY, init[entry.start - 4 : entry.start]):
        holder = next(each for each in boxes.children(init, start, end) if each.kind == kind and each.end >= entry.end)
        size = holder.start - 8
        struct.pack_into(">I", changed, size, holder.end - size + more)
        start, end = holder.start + (8 if kind == b"stsd" else 0), holder.end
    return bytes(changed[:begin]) + inner + bytes(changed[entry.end :])
