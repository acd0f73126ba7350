"""Opens a camera with FFmpeg: by which options and which way, within which time, and what its failures mean."""

import errno
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import av
from av.container import InputContainer

from media.camera.spec import CameraSpec
from media.camera.worker.ffmpeg_log import FfmpegLog
from media.camera.worker.relay import Relay
from media.camera.worker.tcp_handle import TcpHandle
from media.codecs import libav
from media.faults import Fault
from media.net import tls

REFUSED_IN: Final = {"OPTIONS": "options", "DESCRIBE": "describing", "SETUP": "setup", "PLAY": "playing"}
MAX_LOCATION: Final = 800  # characters; FFmpeg cuts a line of its log off at 1023
GOODBYE: Final = 0.5  # seconds that TEARDOWN may take to leave; a camera that has stopped reading is not waited for
UDP_OPTIONS: Final = {"reorder_queue_size": "500", "buffer_size": str(4 * 1024 * 1024), "max_delay": "300000"}


class OpenedCamera:
    """A camera from OPTIONS to PLAY and the first packet. Making one raises `Fault`, and then nothing is left open.

    `on_play` is told when FFmpeg asks for PLAY, `on_forbidden` when it is about to follow a redirect to another address
    than the checked one; it must not return. A camera with which FFmpeg cannot be left alone is opened by a `Relay`.
    """

    def __init__(self, camera: CameraSpec, on_play: Callable[[], None], on_forbidden: Callable[[Fault], None]) -> None:
        self._camera = camera
        self._on_play = on_play
        self._on_forbidden = on_forbidden
        self._played_at: float | None = None
        self._line: TcpHandle | None = None
        self.ffmpeg_log = FfmpegLog(self._play, self._redirected)
        self._relay = self._relayed()
        try:
            self.container: InputContainer = self._open()
        except _NotOpened as reason:
            if self._relay is not None:
                self._relay.close(0.0)
                if self._relay.redirected:
                    raise _elsewhere() from None
            raise reason.fault(self.ffmpeg_log.refused, playing=self._played_at is not None) from None
        self.ffmpeg_log.losses(wanted=camera.transport == "udp")
        if self._played_at is None:
            self._play()

    @property
    def played_at(self) -> float:
        """When PLAY was asked for, monotonic seconds."""
        return self._played_at or 0.0

    def check(self) -> None:
        """Raises `Fault` when FFmpeg is connected elsewhere than to the checked address, whatever it has said of it."""
        if self._relay is not None:
            return  # it has connected to nothing else
        self._line = TcpHandle.find()
        if self._line is not None and self._camera.address and not self._line.leads_to(self._camera.address):
            raise _elsewhere()

    def hang_up(self) -> None:
        """Ends the stream for a reader that waits for the camera; called in another thread. It touches nothing of
        FFmpeg's.

        PyAV's read timeout would not do: at each of its ends FFmpeg drops its parser, and the packets after it bear no
        time stamps. For a camera under five pictures a second these are all packets (measured).
        """
        if self._relay is not None:
            self._relay.hang_up()
        elif self._line is not None:
            self._line.hang_up()

    def cut(self) -> None:
        """Ends the stream for a camera that reads no more, in both directions; called in another thread. The camera
        hears nothing.
        """
        if self._relay is not None:
            self._relay.cut()
        elif self._line is not None:
            self._line.cut()

    def close(self, farewell: float) -> None:
        """Sends TEARDOWN and hears the camera out, in `farewell` seconds, or `GOODBYE` if that is more."""
        until = time.monotonic() + farewell
        limit = threading.Timer(max(farewell, GOODBYE), self.cut)
        limit.daemon = True
        with suppress(RuntimeError):  # no thread is to be had
            limit.start()
        self.container.close()  # waits for as long as the camera does not read
        limit.cancel()
        left = max(0.0, until - time.monotonic())
        if self._relay is not None:
            self._relay.close(left)
        if self._line is not None:
            self._line.hear_out(left)
            self._line.close()

    def _relayed(self) -> Relay | None:
        if not self._camera.relayed:
            return None
        try:
            return Relay(self._camera)
        except ssl.SSLError as error:
            raise tls.fault(error, "the camera", "TLS") from None
        except OSError as error:
            raise _NotOpened(error, isinstance(error, TimeoutError)).fault(None, playing=False) from None

    def _open(self) -> InputContainer:
        camera = self._camera
        udp = camera.transport == "udp"
        options = {
            "rtsp_transport": "udp" if udp else "tcp",
            "allowed_media_types": "video+audio" if camera.audio else "video",
            "analyzeduration": "0",
            "probesize": "32",
            "protocol_whitelist": _protocols(camera),
            "user_agent": "Reelgate",
            "codec_whitelist": libav.WHITELIST,
            "tls_verify": "0",  # FFmpeg 9 verifies unless it is told not to; what is to be verified comes by the relay
            **(UDP_OPTIONS if udp else {}),
        }
        url = self._relay.url if self._relay is not None else camera.url()
        limit = min(camera.connect_timeout, camera.silence_timeout)  # FFmpeg applies it once more to the first packet
        began = time.monotonic()
        try:
            return av.open(url, format="rtsp", options=options, timeout=(limit, None), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            elapsed = time.monotonic() - began
            # The exception's text holds the URL with its password: it goes nowhere.
            raise _NotOpened(error, elapsed >= limit * 0.95) from None

    def _play(self) -> None:
        self._played_at = time.monotonic()
        self._on_play()

    def _redirected(self, location: str) -> None:
        """FFmpeg follows redirects and resolves names by itself, so only the checked address may be behind one."""
        if self._camera.address and not stays(location, self._camera):
            self._on_forbidden(_elsewhere())


def _protocols(camera: CameraSpec) -> str:
    """The protocols that FFmpeg may use: by TCP no UDP. Without its own scheme in the list it follows no redirect."""
    if camera.relayed:
        return "tcp,rtp,udp" if camera.transport == "udp" else "tcp"
    return "rtsps,tcp,tls" if camera.encrypted else "rtsp,rtsps,tcp,tls"


def stays(location: str, camera: CameraSpec) -> bool:
    """Whether a redirect, in the words of FFmpeg's log, leads to the address that was checked, and no less encrypted.

    How FFmpeg reads an address must not matter: no userinfo, no blanks, no name, and no text that may be cut off.
    """
    host = f"[{camera.address}]" if ":" in camera.address else camera.address
    scheme = "rtsps" if camera.encrypted else "rtsps?"
    form = rf"{scheme}://{re.escape(host)}(:\d{{1,5}})?(/[!-?A-\[\]-~]*)?\n?"
    return len(location) <= MAX_LOCATION and re.fullmatch(form, location) is not None


def _elsewhere() -> Fault:
    detail = "The camera sends its viewer on to another address than the one that was checked."
    return Fault("source-forbidden", detail, "setup")


class _NotOpened(Exception):
    """FFmpeg gave up, with one of the few errors that it keeps distinct, or because its time was over."""

    def __init__(self, error: Exception, out_of_time: bool) -> None:
        super().__init__()
        self._error = error
        self._out_of_time = out_of_time

    def fault(self, refused: tuple[str, int] | None, *, playing: bool) -> Fault:
        """The fault, told apart by what was refused, by how far it came, and by the clock, before FFmpeg's error
        itself.
        """
        if playing and self._out_of_time:
            return Fault("source-no-media", "The camera accepted PLAY and sends no media.", "playing")
        if self._out_of_time:
            return Fault("source-timeout", "The camera did not answer in time while it was set up.", "setup")
        if refused is not None:
            return _refusal(*refused)
        code = getattr(self._error, "errno", None)
        if code == errno.ECONNREFUSED:
            return Fault("source-refused", "The camera's host refused the connection.", "connecting")
        if code in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return Fault("source-unreachable", "The camera's host cannot be reached.", "connecting")
        phase = "playing" if playing else "setup"
        return Fault("source-protocol-error", "The camera broke off or broke the protocol while it was opened.", phase)


def _refusal(method: str, status: int) -> Fault:
    """What a refusal means; the fault keeps the status."""
    fault = _meaning(method, status)
    fault.status = status
    return fault


def _meaning(method: str, status: int) -> Fault:
    phase = REFUSED_IN.get(method, "setup")
    if status == 401:
        return Fault("source-auth-failed", "The camera refused the user name or the password.", phase)
    if status == 404:
        return Fault("source-not-found", "The camera has no stream at this path.", phase)
    if status in (453, 503):
        detail = f"The camera answers {status} to {method}; it may be at its limit of sessions."
        return Fault("source-busy", detail, phase)
    if status == 461:
        return Fault("source-protocol-error", "The camera refuses this transport; try the other one.", phase)
    return Fault("source-protocol-error", f"The camera answers {status} to {method}.", phase)
