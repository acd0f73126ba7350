"""Reads what an init (`ftyp` + `moov`) declares: the tracks, their codecs and sizes."""

import struct
from typing import Final

from media.chunk import AudioTrack, Init, VideoTrack
from media.mp4 import boxes, fmp4
from media.mp4.boxes import Box

_AVC_PROFILES: Final = {66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 122: "High 4:2:2"}
_HEVC_PROFILES: Final = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions"}
_OTHER_AUDIO: Final = {b"Opus": "opus", b"fLaC": "flac", b"ac-3": "ac-3", b"ec-3": "ec-3"}
_OBJECT_TYPE_AAC: Final = 0x40  # ISO/IEC 14496-1 table 5: audio ISO/IEC 14496-3
_ONE: Final = 1 << 16  # of a matrix, 16.16 fixed point
# How a picture with that matrix (a, b, c, d) has to be turned to be upright, by the numbers of EXIF (tag 0x0112).
_ORIENTATIONS: Final = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_VIDEO_ENTRY: Final = 78  # bytes of VisualSampleEntry before its boxes, 14496-12 section 12.1.3
_AUDIO_ENTRY: Final = 28  # bytes of AudioSampleEntry before its boxes, section 12.2.3


def declared(data: bytes, fps: float = 0.0) -> Init:
    """The `Init` of these bytes. `fps` is taken as it is: a `moov` of a fragmented file does not hold it.

    Raises `ValueError` when there is no track, or a codec that has no RFC 6381 string here.
    """
    video: VideoTrack | None = None
    audio: AudioTrack | None = None
    moov = boxes.find(data, b"moov")
    for trak in boxes.children(data, moov.start, moov.end) if moov else ():
        if trak.kind != b"trak":
            continue
        handler = boxes.payload(data, b"mdia/hdlr", trak)[8:12]
        if handler == b"vide" and video is None:
            video = _video(data, trak, fps)
        elif handler == b"soun" and audio is None:
            audio = _audio(data, trak)
    if video is None and audio is None:
        raise ValueError("there is no track in these bytes")
    return Init(data, video, audio)


def orientation(data: bytes) -> int:
    """How the matrix of the video track turns or mirrors the picture: 1 (not) to 8, as EXIF numbers it."""
    moov = boxes.find(data, b"moov")
    for trak in boxes.children(data, moov.start, moov.end) if moov else ():
        if trak.kind == b"trak" and boxes.payload(data, b"mdia/hdlr", trak)[8:12] == b"vide":
            tkhd = boxes.payload(data, b"tkhd", trak)
            at = 52 if tkhd[0] == 1 else 40
            a, b, _, c, d = struct.unpack_from(">5i", tkhd, at)
            return oriented(a, b, c, d)
    return 1


def oriented(a: int, b: int, c: int, d: int) -> int:
    """The orientation (1 to 8, as EXIF numbers it) in four numbers of a matrix, 16.16 fixed point; 1 for what is no
    quarter turn.

    The matrix is that of 14496-12 section 8.3.2. One that scales the picture, too, turns it all the same.
    """
    return _ORIENTATIONS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(number: int) -> int:
    return (number > _ONE // 2) - (number < -_ONE // 2)


def codec_record(data: bytes) -> tuple[str, bytes]:
    """`h264` and the `avcC` record (ISO/IEC 14496-15, 5.3.3.1) or `hevc` and the `hvcC` record (8.3.3.1) of the first
    video track.

    Raises `ValueError` without one, or when the track is of another codec.
    """
    moov = boxes.find(data, b"moov")
    for trak in boxes.children(data, moov.start, moov.end) if moov else ():
        if trak.kind == b"trak" and boxes.payload(data, b"mdia/hdlr", trak)[8:12] == b"vide":
            entry = _entry(data, trak)
            for codec, kind in (("h264", b"avcC"), ("hevc", b"hvcC")):
                if record := _inside(data, entry, _VIDEO_ENTRY, kind):
                    return codec, record
    raise ValueError("there is no H.264 or H.265 track in these bytes")


def _timescale(data: bytes, trak: Box) -> int:
    mdhd = boxes.payload(data, b"mdia/mdhd", trak)
    at = 20 if mdhd[0] == 1 else 12  # version 1 has 64-bit times, section 8.4.2
    return int.from_bytes(mdhd[at : at + 4])


def _entry(data: bytes, trak: Box) -> Box:
    stsd = boxes.find(data, b"mdia/minf/stbl/stsd", trak)
    entry = next(boxes.children(data, stsd.start + 8, stsd.end), None) if stsd else None
    if entry is None:
        raise ValueError("a track without a sample description")
    return entry


def _inside(data: bytes, entry: Box, skip: int, kind: bytes) -> bytes:
    for child in boxes.children(data, entry.start + skip, entry.end):
        if child.kind == kind:
            return data[child.start : child.end]
    return b""


def _video(data: bytes, trak: Box, fps: float) -> VideoTrack:
    entry = _entry(data, trak)
    coded = int.from_bytes(data[entry.start + 24 : entry.start + 26])
    aspect = _inside(data, entry, _VIDEO_ENTRY, b"pasp")
    width, height = _displayed(boxes.payload(data, b"tkhd", trak), coded, aspect)
    if avcc := _inside(data, entry, _VIDEO_ENTRY, b"avcC"):
        codec, profile = fmp4.codec_string(avcc), avc_profile_name(avcc)
    elif hvcc := _inside(data, entry, _VIDEO_ENTRY, b"hvcC"):
        codec, profile = fmp4.hevc_codec_string(hvcc), _HEVC_PROFILES.get(hvcc[1] & 0x1F, "")
    else:
        raise ValueError(f"a sample description {entry.kind!r} that is not known here")
    return VideoTrack(codec, _timescale(data, trak), width, height, profile, fps)


def avc_profile_name(config: bytes) -> str:
    """The name of an H.264 profile (ISO/IEC 14496-10 Annex A), from what `fmp4.codec_string` takes; "" if unknown."""
    profile, constraints, _ = fmp4.avc_profile(config)
    if profile == 66 and constraints & 0x40:
        return "Constrained Baseline"
    return _AVC_PROFILES.get(profile, "")


def _displayed(tkhd: bytes, coded_width: int, aspect: bytes) -> tuple[int, int]:
    """Width and height as shown: pixel aspect ratio applied (14496-12 section 12.1.4), turned by the matrix (8.3.2)."""
    matrix = 52 if tkhd[0] == 1 else 40
    width = int.from_bytes(tkhd[matrix + 36 : matrix + 40]) / 65536  # 16.16 fixed point
    height = int.from_bytes(tkhd[matrix + 40 : matrix + 44]) / 65536
    across, down = int.from_bytes(aspect[:4]), int.from_bytes(aspect[4:8])
    if across and down and round(width) == coded_width:  # FFmpeg leaves it out of the track header
        width *= across / down
    turned = not any(tkhd[matrix : matrix + 4]) and any(tkhd[matrix + 4 : matrix + 8])
    return (round(height), round(width)) if turned else (round(width), round(height))


def _audio(data: bytes, trak: Box) -> AudioTrack:
    entry = _entry(data, trak)
    timescale = _timescale(data, trak)
    channels = int.from_bytes(data[entry.start + 16 : entry.start + 18])
    if entry.kind != b"mp4a":
        codec = _OTHER_AUDIO.get(entry.kind)
        if codec is None:
            raise ValueError(f"a sample description {entry.kind!r} that is not known here")
        return AudioTrack(codec, timescale, timescale, channels)
    kind, config = _decoder_config(_inside(data, entry, _AUDIO_ENTRY, b"esds")[4:])
    if kind != _OBJECT_TYPE_AAC:
        return AudioTrack(f"mp4a.{kind:02x}", timescale, timescale, channels)
    return AudioTrack(fmp4.aac_codec_string(config), timescale, timescale, channels)


def _decoder_config(esds: bytes) -> tuple[int, bytes]:
    """Object type indication and specific info of the one decoder in an ES descriptor (ISO/IEC 14496-1, 7.2.6.5)."""
    tag, body = _descriptor(esds)
    if tag != 3 or len(body) < 3:
        raise ValueError("an esds box without an elementary stream descriptor")
    flags = body[2]
    skip = 3 + (2 if flags & 0x80 else 0) + (1 + body[3] if flags & 0x40 else 0) + (2 if flags & 0x20 else 0)
    tag, config = _descriptor(body[skip:])
    if tag != 4 or len(config) < 13:
        raise ValueError("an esds box without a decoder configuration")
    tag, info = _descriptor(config[13:])
    return config[0], info if tag == 5 else b""


def _descriptor(data: bytes) -> tuple[int, bytes]:
    """Tag and body; the size takes one to four bytes of seven bits each (section 8.3.3)."""
    size, at = 0, 1
    while at < min(len(data), 5):
        size = size << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            break
    return (data[0] if data else 0), data[at : at + size]
