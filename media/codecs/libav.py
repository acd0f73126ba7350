"""The small things that sources, packager and pictures ask of FFmpeg, so that its corners are known in one place."""

import io
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from media.chunk import Init
from media.faults import Fault
from media.mp4 import fmp4, moov, picture_boxes
from media.mp4.aac import AacConfig

MAX_PIXELS: Final = 8192 * 4352  # 8K; a decoder refuses a larger picture before it allocates it
# The decoders that see what comes from outside, as FFmpeg's `codec_whitelist` has them: of what cameras, phones and
# editors make. FFmpeg knows hundreds more, of codecs that hardly anybody uses, and there most of the faults are found
# by which a file breaks into a decoder.
WHITELIST: Final = (
    "h264,hevc,av1,libdav1d,vp8,libvpx,vp9,libvpx-vp9,mpeg1video,mpeg2video,mpeg4,h263,mjpeg,prores,dnxhd,dvvideo,"
    "aac,aac_latm,mp2,mp2float,mp3,mp3float,ac3,eac3,dca,opus,libopus,vorbis,flac,alac,amrnb,amrwb,g722,g723_1,g726,"
    "g726le,gsm,adpcm_ima_qt,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be"
)
DECODERS: Final = frozenset(WHITELIST.split(","))
# Codecs that browsers play, but not from here.
PLAYED: Final = frozenset({"av1", "vp8", "vp9", "opus", "mp3", "flac", "vorbis"})
MAX_RATE: Final = 240  # frames a second over which a declared rate is a clock rate, not a frame rate

av.logging.set_level(None)  # FFmpeg's lines hold URLs with their passwords


@dataclass(frozen=True, slots=True)
class Proof:
    """A key frame that was decoded: what it says of the picture.

    `keyframe` is the access unit in Annex B form with its parameter sets in front; `width` and `height` are the coded
    picture's, `reorder` is how many frames may come before one that is shown earlier, `fps` is declared (0: it is not).
    """

    codec: str
    keyframe: bytes = field(repr=False)
    parameter_sets: tuple[bytes, ...] = field(repr=False)
    width: int
    height: int
    reorder: int
    fps: float


def prove_keyframe(video: VideoStream, data: bytes, max_pixels: int = MAX_PIXELS) -> Proof | None:
    """Decodes one Annex B key frame (`data`) of an H.264 or H.265 stream with a fresh decoder.

    Parameter sets may be in it or in the stream's extradata (Annex B). A `Proof` only if exactly a picture came out,
    with no error and no corrupt flag; else None. Packets that merely claim to be key frames are common: random RTP
    gave some within two seconds, every time.
    """
    codec = codec_of(video)
    sets = fmp4.parameter_sets(data, codec) or fmp4.parameter_sets(video.codec_context.extradata or b"", codec)
    units = [unit for unit in fmp4.nal_units(data) if unit not in sets]
    decoder = _decode(codec, _annexb(*sets, *units), b"", max_pixels)
    if decoder is None:
        return None
    return Proof(
        codec=codec,
        keyframe=_annexb(*sets, *units),
        parameter_sets=sets,
        width=decoder.width,
        height=decoder.height,
        reorder=decoder.reorder_depth,
        fps=sane_rate(decoder.framerate),
    )


def codec_of(video: VideoStream) -> str:
    """The name of the codec, not of who decodes or encodes it: `h264` for what libx264 makes as well."""
    return name_of(video.codec_context)


def name_of(context: CodecContext) -> str:
    """The codec as people call it, whatever FFmpeg calls its decoder: `av1`, not `libdav1d`; `mp3`, not `mp3float`."""
    return context.codec.canonical_name


def why_made_anew(context: CodecContext, kept: str) -> str:
    """Why a camera's track of that codec is encoded again, in words; `kept` are the codecs that are passed on."""
    name = name_of(context)
    return f"{name} is not passed on as it is; {kept}" if name in PLAYED else f"{name} is played by no browser"


def decodes(video: VideoStream, data: bytes, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether this key frame, in the form of the stream's extradata, decodes alone and without a flaw."""
    context = video.codec_context
    return _decode(context.name, data, context.extradata or b"", max_pixels) is not None


def has_parameters(video: VideoStream) -> bool:
    """Whether the stream's extradata holds a sequence parameter set."""
    extradata = video.codec_context.extradata or b""
    return extradata.startswith(b"\1") or bool(fmp4.parameter_sets(extradata, codec_of(video)))


def _decode(codec: str, data: bytes, extradata: bytes, max_pixels: int) -> VideoCodecContext | None:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1  # a frame-threaded decoder that is alive makes a later fork dangerous
    decoder.options = {"max_pixels": str(max_pixels), "err_detect": "explode"}
    if extradata:
        decoder.extradata = extradata
    try:
        frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError):
        return None
    return decoder if frames and not any(frame.is_corrupt for frame in frames) else None


def live_init(proof: Proof, video: VideoStream, audio: AudioStream | None, timescale: int) -> Init:
    """The init of a live source: the proven key frame says what the video is, whatever the session description said.

    `timescale` is the video track's, ticks a second. Raises `av.FFmpegError` when FFmpeg cannot write it.
    """
    fps = proof.fps or sane_rate(video.average_rate)
    options = {"max_pixels": str(MAX_PIXELS), "probesize": str(max(len(proof.keyframe), 2048))}
    with av.open(io.BytesIO(proof.keyframe), format=proof.codec, options=options) as container:
        return init_segment(container.streams.video[0], audio, timescale, fps)


def init_segment(video: VideoStream | None, audio: AudioStream | None, timescale: int, fps: float = 0.0) -> Init:
    """`ftyp` + `moov` for streams that another container holds; video becomes track 1, audio the next.

    FFmpeg writes it, so every codec that it can put into MP4 works, from extradata in either form (Annex B or the
    MP4 record); a rotation and a sample aspect ratio are kept. `timescale` is the video track's; an audio track's is
    its sample rate. `fps` 0 means: what the stream declares. Raises `av.FFmpegError` for what MP4 cannot hold.
    """
    if video is not None and not fps:
        fps = sane_rate(video.average_rate)
    buffer = io.BytesIO()
    with init_writer(buffer, timescale) as container:
        for stream in (video, audio):
            if stream is not None:
                copy_track(container, stream)
        container.start_encoding()
        data = buffer.getvalue()
    aspect = (video.sample_aspect_ratio if video is not None else None) or Fraction(1)
    return moov.declared(picture_boxes.described(data, aspect), fps)


def copy_track(container: OutputContainer, stream: VideoStream | AudioStream) -> None:
    """A track of an init for packets that are copied from `stream`."""
    track = container.add_stream_from_template(stream)
    if isinstance(track, AudioStream):
        track.codec_context.bit_rate = 0  # no average that would tell apart files of one kind
    elif stream.codec_context.name == "hevc":
        track.codec_tag = "hvc1"  # Apple plays no hev1


def init_writer(buffer: io.BytesIO, timescale: int) -> OutputContainer:
    """An MP4 muxer whose header is an init: add streams, `start_encoding()`, and take what is in `buffer` then.

    What it writes when it is closed is of no use. An encoder may live in it: its packets are not muxed here.
    """
    options = {
        "movflags": "empty_moov+default_base_moof+frag_custom",
        "use_editlist": "0",
        "video_track_timescale": str(timescale),
        "write_btrt": "0",  # an average that would tell apart files of one kind
        "fflags": "+bitexact",  # equal inputs give equal inits, whatever FFmpeg's version
    }
    return av.open(buffer, "w", format="mp4", options=options)


def silent_aac(config: AacConfig) -> bytes:
    """One AAC frame of silence that fits between the frames of a stream of that config.

    Fault: `codec-unsupported` for a channel configuration or frame length that FFmpeg cannot encode.
    """
    if not config.layout or config.frame != 1024:
        raise Fault(
            "codec-unsupported", "The audio has holes, and its AAC is of a kind that cannot be filled.", "packaging"
        )
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = config.core_rate, config.layout, "fltp"
    encoder.time_base = Fraction(1, config.core_rate)
    return _quiet(encoder, config.frame)


def silent_opus(layout: str, samples: int) -> bytes:
    """One Opus packet of that many samples at 48 kHz, silent. Fault: `codec-unsupported` for a length that none has."""
    try:
        encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(encoder, AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = 48000, layout, "flt"
        encoder.time_base = Fraction(1, 48000)
        encoder.options = {"frame_duration": f"{samples / 48:g}"}
        encoder.open()
        return _quiet(encoder, encoder.frame_size)
    except (av.FFmpegError, ValueError, IndexError):
        raise Fault("codec-unsupported", "The audio has holes that cannot be filled.", "packaging") from None


def _quiet(encoder: AudioCodecContext, samples: int) -> bytes:
    """What an encoder makes of silence, frame by frame, when it has been silent for a while."""
    packets = []
    for number in range(8):  # the first ones carry the encoder's priming
        frame = AudioFrame(encoder.format.name, encoder.layout.name, samples)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = encoder.sample_rate, number * samples, encoder.time_base
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[-1]


def _annexb(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def sane_rate(rate: Fraction | None) -> float:
    """The declared frames a second; 0 where nothing is declared, or nothing that a frame rate can be."""
    return float(rate) if rate and 0 < rate <= MAX_RATE else 0.0
