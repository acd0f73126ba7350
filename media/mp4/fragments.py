"""Reads back what `media.mp4.fmp4.fragment` wrote: the samples of a chunk."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from media.mp4.fmp4 import DECODE_TIME_AT, HEAD_SIZE, SAMPLE_SIZE, SYNC, Sample

TRACK_AT: Final = 44  # tfhd.track_ID
COUNT_AT: Final = 80  # trun.sample_count
_SAMPLE: Final = struct.Struct(">IIIi")


@dataclass(frozen=True, slots=True)
class Fragment:
    """One movie fragment: its track, the decode time of its first sample in the track's ticks, and its samples."""

    track: int
    decode_time: int
    samples: tuple[Sample, ...]


def fragments(data: bytes) -> Iterator[Fragment]:
    """The fragments of a chunk, in order. Raises `ValueError` for anything that `fmp4.fragment` did not write."""
    at = 0
    while at < len(data):
        if data[at + 4 : at + 8] != b"moof" or data[at + 52 : at + 56] != b"tfdt" or len(data) < at + HEAD_SIZE:
            raise ValueError("not a fragment of ours")
        size = int.from_bytes(data[at : at + 4])
        count = int.from_bytes(data[at + COUNT_AT : at + COUNT_AT + 4])
        end = at + size + int.from_bytes(data[at + size : at + size + 4])
        if size != HEAD_SIZE + SAMPLE_SIZE * count or end > len(data):
            raise ValueError("a fragment that is cut short")
        yield Fragment(
            int.from_bytes(data[at + TRACK_AT : at + TRACK_AT + 4]),
            int.from_bytes(data[at + DECODE_TIME_AT : at + DECODE_TIME_AT + 8]),
            tuple(_samples(data, at + HEAD_SIZE, count, at + size + 8)),
        )
        at = end


def _samples(data: bytes, table: int, count: int, at: int) -> Iterator[Sample]:
    for entry in range(table, table + count * SAMPLE_SIZE, SAMPLE_SIZE):
        duration, size, flags, offset = _SAMPLE.unpack_from(data, entry)
        yield Sample(data[at : at + size], duration, flags == SYNC, offset)
        at += size
