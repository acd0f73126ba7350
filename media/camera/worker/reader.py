"""A camera over RTSP: opens it, proves a picture, and cuts what it sends into chunks."""

import os
import time
from collections.abc import Iterator
from math import inf
from typing import Any, Final

import av
from av.packet import Packet
from av.video.stream import VideoStream

from media.camera.spec import CameraSpec
from media.camera.worker.opening import OpenedCamera
from media.camera.worker.read_pauses import PAUSE, WAITED, ReadPauses
from media.camera.worker.transcode_packets import PacketTranscoder
from media.camera.worker.watchdog import Watchdog
from media.codecs import libav
from media.codecs.aac_encoder import CameraSound, sound_of
from media.codecs.cutter import LONG_GOP, Cutter, Epoch
from media.faults import Fault
from media.mp4 import fmp4
from media.net.secrets import Secret
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Failed, Finished, Order, PhaseReached, Stats, TaskProgress, TaskReady, WarningRaised
from media.timing.clock import GapMeter

STALL_TIMEOUT: Final = 5.0  # seconds without a frame after which a live camera counts as gone
MISSED_FRAMES: Final = 3  # a camera of few frames a second may miss this many
FIRST_GAP: Final = 12.0  # seconds that a second frame may take: until then nobody knows how slow the camera is
COPIED: Final = frozenset({"h264", "hevc"})  # video that is passed on as it is, in FFmpeg's words
NICE: Final = 5  # a worker that transcodes has less priority than those that only copy
LEAVE_WAIT: Final = 3.0  # seconds for the gateway to say whether there is room to transcode; it answers at once
STATS_EVERY: Final = 0.95  # seconds: every second look
FAREWELL: Final = 2 / 3  # of the time that the gateway gives for the end: what a camera has to answer TEARDOWN


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """The task of a worker: reads the camera until it ends, fails, or the gateway says stop.

    `spec`: `camera` (the fields of a `CameraSpec`), and `epoch` and `notBefore` of a `Epoch`.
    """
    camera = CameraSpec(**{**spec["camera"], "password": Secret(spec["camera"]["password"])})
    channel.send(PhaseReached("setup"))

    def forbidden(fault: Fault) -> None:
        channel.send(Failed(fault.code, fault.phase, fault.detail))
        os._exit(0)  # FFmpeg is about to connect, and nothing else stops it

    opened = OpenedCamera(camera, on_play=lambda: channel.send(PhaseReached("playing")), on_forbidden=forbidden)
    try:
        opened.check()
        reader = _Reader(channel, camera, opened, Epoch(spec["epoch"], spec["notBefore"]))
        with Watchdog(channel, reader.look, opened) as watchdog:
            reader.read(watchdog)
    finally:
        opened.close(FAREWELL * channel.grace if channel.stopping else 0.0)
    channel.send(Finished({}))


class _Reader:
    """One open camera: from PLAY to the end."""

    def __init__(self, channel: GatewaySocket, camera: CameraSpec, opened: OpenedCamera, timeline: Epoch) -> None:
        self._channel = channel
        self._camera = camera
        self._container = opened.container
        self._timeline = timeline
        self._ffmpeg_log = opened.ffmpeg_log
        self._video = self._pick_video()
        self._transcoder = self._transcoder_of(self._video)
        self._sound = self._pick_sound()
        self._described = self._transcoder is not None or libav.has_parameters(self._video)
        self._played_at = opened.played_at
        self._frame_at = self._stats_at = time.monotonic()
        self._packet_at: float | None = None
        self._bytes = self._told = self._left_out = 0
        self._rate = inf  # bytes a second, once it was measured
        self._pauses = ReadPauses() if camera.transport != "udp" else None  # by UDP it would lose datagrams
        self._gaps = GapMeter()
        self._second = float(self._video.time_base or 0)  # what one step of the camera's stamps is in seconds
        self._cutter: Cutter | None = None
        self._opening: list[Packet[Any]] = []  # the packets of the key frame that may be the first picture

    def read(self, watchdog: Watchdog) -> None:
        """Reads until the camera ends or the gateway says stop. Raises `Fault`."""
        asked = time.monotonic()
        for packet in self._packets():
            if self._channel.stopping or watchdog.fault is not None:
                break
            now = time.monotonic()
            waited = now - asked
            self._take(packet, now, waited)
            if pause := self._pause(waited):
                self._channel.rest(pause)  # what comes meanwhile waits in the socket
            asked = time.monotonic()
        if not self._channel.stopping:
            phase = "live" if self._cutter else "playing"
            raise watchdog.fault or Fault("source-protocol-error", "The camera ended the stream.", phase)

    def _packets(self) -> Iterator["Packet[Any]"]:
        """Packets as they come; none after the end of the stream."""
        streams = [self._video, *self._container.streams.audio[:1]]
        try:
            for packet in self._container.demux(streams):
                if packet.size:  # an empty packet is PyAV's flush mark at the end
                    yield packet
        except (av.FFmpegError, OSError):
            return

    def _pause(self, waited: float) -> float:
        """Seconds for which nothing need be read, after a packet that took `waited` seconds to come."""
        if self._pauses is None or self._cutter is None or waited <= WAITED:
            return 0.0
        if self._transcoder is None:
            return self._pauses.due(time.monotonic(), waited, self._cutter.left, self._rate)
        return 0.0 if self._pauses.behind else PAUSE

    def _take(self, packet: "Packet[Any]", now: float, waited: float) -> None:
        """Takes one packet, which came at `now` after it was waited for so many seconds."""
        if self._packet_at is None:
            self._channel.send(PhaseReached("waiting-keyframe"))
        self._packet_at = now
        is_video = packet.stream is self._video
        if is_video:
            self._frame_at = now
            self._gaps.note(now)
            if self._pauses is not None and self._cutter is not None and packet.pts is not None:
                self._pauses.note(now, packet.pts * self._second, waited)
        if not is_video:
            self._bytes += packet.size
            if self._cutter is not None:
                self._cutter.audio(packet)
        elif self._transcoder is not None:
            late = self._pauses is not None and self._pauses.behind
            self._left_out += late
            for made in self._transcoder.packets(packet, skip=late):
                self._show(made, now)
        else:
            self._show(packet, now)

    def _show(self, packet: "Packet[Any]", now: float) -> None:
        """Takes one packet of video in a codec that is carried as it is."""
        self._bytes += packet.size
        if self._cutter is not None:
            self._cutter.video(packet)
        else:
            self._try_to_go_live(packet, now)

    def _try_to_go_live(self, packet: "Packet[Any]", now: float) -> None:
        data = bytes(packet)
        video = self._transcoder.stream if self._transcoder else self._video
        if not fmp4.goes_on(data):
            self._opening = []
        if packet.is_keyframe:
            self._opening.append(packet)
            proof = libav.prove_keyframe(video, b"".join(map(bytes, self._opening)))
            if proof is not None:
                self._go_live(video, proof, now)

    def _go_live(self, video: VideoStream, proof: libav.Proof, now: float) -> None:
        self._cutter = Cutter(self._channel, video, self._sound, proof, self._timeline)
        waited = now - self._played_at
        if waited > LONG_GOP:
            detail = f"The first key frame took {waited:.1f} s; every viewer may wait that long. 1 to 2 s are usual."
            self._channel.send(WarningRaised("long-gop", detail))
        self._channel.send(PhaseReached("live"))
        mode = {"mode": "transcode", "reason": self._transcoder.reason} if self._transcoder else None
        told = {"transport": self._transport(), "videoMode": mode}
        self._channel.send(TaskReady(self._cutter.describe() | told))
        for packet in self._opening:
            self._cutter.video(packet)
        self._opening = []

    def look(self, now: float) -> None:
        """Looks twice a second, in a thread of its own, while `read` may wait for the camera. Raises `Fault`."""
        self._check_silence(now)
        self._tell_stats(now)

    def _check_silence(self, now: float) -> None:
        """Raises `Fault` when a picture is overdue. Sound and answers to keep-alives do not count."""
        if self._cutter is None:
            self._check_limits(now)
            return
        usual = self._gaps.usual
        limit = FIRST_GAP if usual is None else max(STALL_TIMEOUT, MISSED_FRAMES * usual)
        if now - self._frame_at > limit:
            raise Fault("source-timeout", f"The camera has sent no picture for {limit:.0f} s.", "live")

    def _check_limits(self, now: float) -> None:
        """Raises `Fault` when one of the camera's own limits between PLAY and the first picture is over."""
        waited = now - self._played_at
        if self._packet_at is None and waited > self._camera.silence_timeout:
            raise Fault("source-no-media", "The camera accepted PLAY and sends no media.", "playing")
        late = waited > self._camera.parameters_timeout
        if late and not self._described:
            raise Fault("source-no-parameters", "The camera sends video without codec parameters.", "waiting-keyframe")
        if waited > self._camera.keyframe_timeout:
            raise Fault("source-no-keyframe", "The camera sent no decodable key frame in time.", "waiting-keyframe")

    def _tell_stats(self, now: float) -> None:
        elapsed = now - self._stats_at
        if elapsed < STATS_EVERY:
            return
        counted = self._bytes
        self._rate = (counted - self._told) / elapsed
        info: dict[str, Any] = {
            "bitrate": round(self._rate * 8),
            "gop": self._cutter.gop if self._cutter else None,
        }
        if self._camera.transport == "udp":
            info["loss"] = self._ffmpeg_log.missed
        self._channel.send(Stats(info))
        if self._left_out:
            detail = f"The machine is too slow to transcode the camera: {self._left_out} pictures were left out."
            self._channel.send(WarningRaised("overloaded", detail))
        self._stats_at, self._told = now, counted

    def _pick_video(self) -> VideoStream:
        streams = self._container.streams.video
        if not streams:
            raise Fault("source-no-media", "The camera offers no video.", "setup")
        return next((each for each in streams if _codec(each) in COPIED), streams[0])

    def _transcoder_of(self, video: VideoStream) -> PacketTranscoder | None:
        """The packet transcoder for this video; None for a codec that is carried as it is."""
        if _codec(video) in COPIED:
            return None
        os.nice(NICE)
        try:
            return PacketTranscoder(video, self._ask_leave)
        except ValueError as error:
            raise Fault("codec-unsupported", f"The camera's video cannot be decoded: {error}.", "setup") from None

    def _ask_leave(self, width: int, height: int, fps: float) -> None:
        """Asks the gateway for cores, which transcoding needs and only the gateway can promise. Raises `Fault` when it
        refuses.
        """
        self._channel.send(TaskProgress({"transcode": {"width": width, "height": height, "fps": fps}}))
        match self._channel.receive(LEAVE_WAIT):
            case Order({"refused": str(detail), "code": str(code)}):
                raise Fault(code, detail, "waiting-keyframe")
            case Order():
                return
        if not self._channel.stopping:
            raise Fault("internal", "The gateway did not say whether there is room to transcode.", "waiting-keyframe")

    def _pick_sound(self) -> CameraSound | None:
        streams = self._container.streams.audio
        if not streams:
            return None
        try:
            return sound_of(streams[0])
        except ValueError as error:
            self._channel.send(WarningRaised("audio-unsupported", f"The camera's audio is left out: {error}."))
            return None

    def _transport(self) -> str:
        return "udp" if self._camera.transport == "udp" else "tcp"


def _codec(video: VideoStream) -> str:
    return libav.codec_of(video) if video.codec_context is not None else ""
