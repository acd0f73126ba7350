"""The sound of a clip in the codecs that cameras have: a tone with a beep at every full second."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import av.filter

from media.faultcamera.clip import rtp
from media.faultcamera.clip.track import ClipTrack, ClipUnit
from media.faultcamera.settings import SoundCodec

SECONDS: Final = 8  # the shortest whole number of seconds in whole AAC frames at 48 kHz
WARM_UP: Final = 4  # frames that are thrown away: an encoder's first ones hold its delay


@dataclass(frozen=True)
class Form:
    """How a codec travels: FFmpeg's encoder and sample format, samples a second and a frame, RTP type and name."""

    encoder: str
    samples: str
    rate: int
    frame: int
    payload_type: int
    name: str


FORMS: Final[dict[SoundCodec, Form]] = {
    "aac": Form("aac", "fltp", 48_000, 1024, 97, "MPEG4-GENERIC/48000/1"),
    "pcma": Form("pcm_alaw", "s16", 8_000, 160, 8, "PCMA/8000"),
    "pcmu": Form("pcm_mulaw", "s16", 8_000, 160, 0, "PCMU/8000"),
    "g726": Form("g726le", "s16", 8_000, 160, 98, "G726-32/8000"),
    "l16": Form("pcm_s16be", "s16", 16_000, 320, 99, "L16/16000/1"),
    "opus": Form("libopus", "s16", 48_000, 960, 100, "opus/48000/2"),
}


def track(sound: SoundCodec) -> ClipTrack:
    """A track with eight seconds of sound."""
    form = FORMS[sound]
    encoder = _encoder(form)
    count = SECONDS * form.rate // form.frame
    units: dict[int, ClipUnit] = {}
    for index, data in enumerate(_encode(form, encoder, count + 2 * WARM_UP)):
        if WARM_UP <= index < WARM_UP + count:
            time = index % count * form.frame  # the sound repeats every second, so what comes late fits early
            payload = rtp.aac_payload(data) if sound == "aac" else rtp.Payload(data, False)
            units[time] = ClipUnit(time, time, True, (payload,))
    lines = [f"a=rtpmap:{form.payload_type} {form.name}"]
    if sound == "aac":
        config = bytes(encoder.extradata or b"").hex().upper()
        lines.append(
            f"a=fmtp:{form.payload_type} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
            f"indexdeltalength=3;config={config}"
        )
    ordered = tuple(units[time] for time in sorted(units))
    return ClipTrack("audio", form.payload_type, form.rate, count * form.frame, ordered, tuple(lines))


def _encoder(form: Form) -> av.AudioCodecContext:
    encoder = av.CodecContext.create(form.encoder, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = form.rate, "mono", form.samples
    encoder.bit_rate = 32_000 if form.encoder == "g726le" else 64_000
    encoder.time_base = Fraction(1, form.rate)
    encoder.open()
    return encoder


def _encode(form: Form, encoder: av.AudioCodecContext, frames: int) -> Iterator[bytes]:
    """The encoded pieces, one for each frame, in order."""
    graph = av.filter.Graph()
    # A tone with a short beep at every full second: the same moment as a frame number that `fps` divides.
    tone = f"frequency=440:beep_factor=4:sample_rate={form.rate}:samples_per_frame={form.frame}"
    source = graph.add("sine", tone)
    shape = graph.add("aformat", f"sample_fmts={form.samples}:channel_layouts=mono:sample_rates={form.rate}")
    sink = graph.add("abuffersink")
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    packets: list[av.Packet[Any]] = []
    for number in range(frames):
        frame = sink.pull()
        assert isinstance(frame, av.AudioFrame)
        frame.pts, frame.time_base = number * form.frame, Fraction(1, form.rate)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    if form.encoder == "g726le":  # its encoder makes packets of its own length
        joined, size = b"".join(map(bytes, packets)), form.frame // 2
        yield from (joined[at : at + size] for at in range(0, len(joined), size))
        return
    for packet in packets:
        if packet.pts is None or packet.pts >= 0:  # what is before is the encoder's delay
            yield bytes(packet)
