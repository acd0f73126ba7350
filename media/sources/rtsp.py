"""A camera over RTSP: opens it, proves a picture, and cuts what it sends into chunks."""

import errno
import time
from collections.abc import Iterator
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from media import fmp4, libav
from media.channel import Channel
from media.cutter import Cutter, Timeline
from media.faults import Fault
from media.messages import Finished, Phase, Ready, Stats, Warned
from media.spec import CameraSpec, Secret

READ_TIMEOUT: Final = 0.5  # seconds: how soon a silent camera's reader looks at the stop flag again
STALL_TIMEOUT: Final = 5.0  # seconds without a packet after which a live camera counts as gone
STATS_EVERY: Final = 1.0


def run(channel: Channel, spec: dict[str, Any]) -> None:
    """The task of a worker: reads the camera until it ends, fails, or the gateway says stop.

    `spec`: `camera` (the fields of a `CameraSpec`), and `epoch` and `notBefore` of a `Timeline`.
    """
    camera = CameraSpec(**{**spec["camera"], "password": Secret(spec["camera"]["password"])})
    channel.send(Phase("setup"))
    container = _open(camera)
    try:
        _Reader(channel, camera, container, Timeline(spec["epoch"], spec["notBefore"])).read()
    finally:
        container.close()  # sends TEARDOWN
    channel.send(Finished({}))


def _open(camera: CameraSpec) -> InputContainer:
    """OPTIONS to PLAY. Faults are told apart by the clock first, then by the few errors that FFmpeg keeps distinct."""
    options = {
        "rtsp_transport": "udp" if camera.transport == "udp" else "tcp",
        "timeout": str(int(camera.connect_timeout * 1_000_000)),
        "allowed_media_types": "video+audio" if camera.audio else "video",
        "analyzeduration": "0",
        "probesize": "32",
        "protocol_whitelist": "rtsp,rtsps,rtp,udp,tcp,tls,http",
        "user_agent": "Reelgate",
    }
    began = time.monotonic()
    try:
        return av.open(camera.url(), format="rtsp", options=options, timeout=(camera.connect_timeout, READ_TIMEOUT))
    except (av.FFmpegError, OSError) as error:
        elapsed = time.monotonic() - began
        # The exception's text holds the URL with its password: it goes nowhere.
        raise _opening_fault(error, elapsed >= camera.connect_timeout * 0.95) from None


def _opening_fault(error: Exception, out_of_time: bool) -> Fault:
    code = getattr(error, "errno", None)
    if isinstance(error, av.HTTPUnauthorizedError):
        return Fault("source-auth-failed", "The camera refused the user name or the password.", "describing")
    if isinstance(error, av.HTTPNotFoundError):
        return Fault("source-not-found", "The camera has no stream at this path.", "describing")
    if out_of_time:
        return Fault("source-timeout", "The camera did not answer in time while it was set up.", "setup")
    if code == errno.ECONNREFUSED:
        return Fault("source-refused", "The camera's host refused the connection.", "connecting")
    if code in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return Fault("source-unreachable", "The camera's host cannot be reached.", "connecting")
    return Fault("source-protocol-error", "The camera broke off or broke the protocol while it was set up.", "setup")


class _Reader:
    """One open camera: from PLAY to the end."""

    def __init__(self, channel: Channel, camera: CameraSpec, container: InputContainer, timeline: Timeline) -> None:
        self._channel = channel
        self._camera = camera
        self._container = container
        self._timeline = timeline
        self._video = self._pick_video()
        self._audio = self._pick_audio()
        self._played_at = self._packet_at = self._stats_at = time.monotonic()
        self._frames = self._bytes = 0
        self._cutter: Cutter | None = None
        self._opening: list[Packet[Any]] = []  # the packets of the key frame that may be the first picture

    def read(self) -> None:
        """Until the camera ends or the gateway says stop. Raises `Fault`."""
        self._channel.send(Phase("playing"))
        for packet in self._packets():
            if self._channel.stopping:
                return
            now = time.monotonic()
            if packet is None:
                self._check_silence(now)
            else:
                self._take(packet, now)
            self._tell_stats(now)
        raise Fault("source-protocol-error", "The camera ended the stream.", "live" if self._cutter else "playing")

    def _packets(self) -> Iterator["Packet[Any] | None"]:
        """Packets as they come; None after each `READ_TIMEOUT` without one. Ends with the stream."""
        streams = [stream for stream in (self._video, self._audio) if stream is not None]
        while True:
            try:
                for packet in self._container.demux(streams):
                    if packet.size:  # an empty packet is PyAV's flush mark at the end
                        yield packet
                return
            except av.ExitError:  # the read timeout: the same container goes on reading
                yield None
            except (av.FFmpegError, OSError):
                return

    def _take(self, packet: "Packet[Any]", now: float) -> None:
        if self._packet_at == self._played_at:
            self._channel.send(Phase("waiting-keyframe"))
        self._packet_at = now
        self._bytes += packet.size
        is_video = packet.stream is self._video
        self._frames += is_video
        if self._cutter is not None:
            if is_video:
                self._cutter.video(packet)
            else:
                self._cutter.audio(packet)
        elif is_video:
            self._try_to_go_live(packet, now)

    def _try_to_go_live(self, packet: "Packet[Any]", now: float) -> None:
        data = bytes(packet)
        if not fmp4.goes_on(data):
            self._opening = []
        if packet.is_keyframe:
            self._opening.append(packet)
            proof = libav.prove_keyframe(self._video, b"".join(map(bytes, self._opening)))
            if proof is not None:
                self._go_live(proof)
                return
        self._check_limits(now)

    def _go_live(self, proof: libav.Proof) -> None:
        self._cutter = Cutter(self._channel, self._video, self._audio, proof, self._timeline)
        self._channel.send(Phase("live"))
        self._channel.send(Ready(self._cutter.describe() | {"transport": self._transport()}))
        for packet in self._opening:
            self._cutter.video(packet)
        self._opening = []

    def _check_silence(self, now: float) -> None:
        if self._cutter is None:
            self._check_limits(now)
        elif now - self._packet_at > STALL_TIMEOUT:
            raise Fault("source-timeout", f"The camera has sent nothing for {STALL_TIMEOUT:.0f} s.", "live")

    def _check_limits(self, now: float) -> None:
        """The camera's own limits between PLAY and the first picture."""
        waited = now - self._played_at
        if self._packet_at == self._played_at and waited > self._camera.connect_timeout:
            raise Fault("source-no-media", "The camera accepted PLAY and sends no media.", "playing")
        if waited > self._camera.parameters_timeout and not libav.has_parameters(self._video):
            raise Fault("source-no-parameters", "The camera sends video without codec parameters.", "waiting-keyframe")
        if waited > self._camera.keyframe_timeout:
            raise Fault("source-no-keyframe", "The camera sent no decodable key frame in time.", "waiting-keyframe")

    def _tell_stats(self, now: float) -> None:
        elapsed = now - self._stats_at
        if elapsed < STATS_EVERY:
            return
        info = {
            "fps": round(self._frames / elapsed, 2),
            "bitrate": round(self._bytes * 8 / elapsed),
            "lastFrameAge": round(now - self._packet_at, 3),
        }
        self._channel.send(Stats(info))
        self._stats_at, self._frames, self._bytes = now, 0, 0

    def _pick_video(self) -> VideoStream:
        streams = self._container.streams.video
        if not streams:
            raise Fault("source-no-media", "The camera offers no video.", "setup")
        stream = streams[0]
        if stream.codec_context.name != "h264":
            raise Fault(
                "codec-unsupported", f"The camera sends {stream.codec_context.name}; only h264 can be played.", "setup"
            )
        return stream

    def _pick_audio(self) -> AudioStream | None:
        streams = self._container.streams.audio
        if not streams:
            return None
        stream = streams[0]
        if stream.codec_context.name != "aac" or not stream.codec_context.extradata:
            detail = f"The camera's audio ({stream.codec_context.name}) is left out: only AAC can be played."
            self._channel.send(Warned("audio-unsupported", detail))
            return None
        return stream

    def _transport(self) -> str:
        return "udp" if self._camera.transport == "udp" else "tcp"
