"""What a sample camera is asked to be."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal
from urllib.parse import quote

Codec = Literal["h264", "h265", "mjpeg"]
CODECS: Final[tuple[Codec, ...]] = ("h264", "h265", "mjpeg")
SoundCodec = Literal["aac", "pcma", "pcmu", "g726", "l16", "opus"]
SOUNDS: Final[tuple[SoundCodec, ...]] = ("aac", "pcma", "pcmu", "g726", "l16", "opus")
Scheme = Literal["basic", "digest", "digest-sha256", "digest-any"]
SCHEMES: Final[tuple[Scheme, ...]] = ("basic", "digest", "digest-sha256", "digest-any")


@dataclass(frozen=True)
class ClipSettings:
    """The pictures and the sound. Equal settings make equal clips, so a clip is made once in a process.

    Sizes in pixels, even; `fps` frames a second, exact; `gop` seconds from key frame to key frame; `bitrate` bits a
    second of the video. `b_frames` are put between references, in closed GOPs. With `mjpeg` every picture is a key
    frame, all are of one quality, and sides are in whole eights, at most 2040 (RFC 2435). `sound` is the codec of the
    audio: AAC as mono at 48 kHz, the others as cameras have them. Raises `ValueError` on what an encoder or a receiver
    could not take.
    """

    width: int = 640
    height: int = 360
    fps: Fraction = Fraction(25)
    gop: float = 1.0
    bitrate: int = 800_000
    b_frames: int = 0
    audio: bool = True
    codec: Codec = "h264"
    sound: SoundCodec = "aac"

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"codec {self.codec!r}: must be one of {', '.join(CODECS)}")
        if self.sound not in SOUNDS:
            raise ValueError(f"sound {self.sound!r}: must be one of {', '.join(SOUNDS)}")
        for side in (self.width, self.height):
            if side % 2 or not 80 <= side <= 4096:
                raise ValueError(f"size {self.width}x{self.height}: each side must be even and from 80 to 4096")
        if self.codec == "mjpeg" and (self.width % 8 or self.height % 8 or max(self.width, self.height) > 2040):
            raise ValueError(f"size {self.width}x{self.height}: JPEG by RTP has sides in whole eights, at most 2040")
        if not Fraction(1, 10) <= self.fps <= 240:
            raise ValueError(f"fps {self.fps}: must be from 0.1 to 240")
        if not 0 < self.gop <= 60:
            raise ValueError(f"gop {self.gop}: must be over 0 and at most 60 seconds")
        if not 10_000 <= self.bitrate <= 100_000_000:
            raise ValueError(f"bitrate {self.bitrate}: must be from 10000 to 100000000 bits a second")
        if not 0 <= self.b_frames <= 4:
            raise ValueError(f"b_frames {self.b_frames}: must be from 0 to 4")

    @property
    def gop_frames(self) -> int:
        """Frames from key frame to key frame, at least one."""
        return max(1, round(self.gop * self.fps))


@dataclass(frozen=True)
class CameraSettings:
    """One camera. `port` 0 takes any free port. Without `user` nobody is asked for a password.

    `auth`: `digest` is MD5, the one kind of Digest that FFmpeg 8.1 knows; `digest-any` asks for SHA-256 and, second,
    for MD5 (RFC 7616, 3.7). `faults` are set before the first client comes, each `NAME` or `NAME=VALUE` of `FAULTS`.
    `session_timeout` (seconds) ends a session that sends neither a request nor RTCP. `nonce_lifetime` (seconds) is when
    a Digest nonce grows stale. `backlog_limit` (bytes) is what may wait for one client's socket before that client is
    dropped. `report_every` (seconds) is the time between RTCP sender reports.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = "/live"
    user: str = ""
    password: str = field(default="", repr=False)
    auth: Scheme = "digest"
    clip: ClipSettings = ClipSettings()
    faults: tuple[str, ...] = ()
    session_timeout: int = 60
    nonce_lifetime: float = 300.0
    backlog_limit: int = 1024 * 1024
    report_every: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port}: must be from 0 to 65535")
        if not self.path.startswith("/") or self.path.endswith("/") or not self.path.isascii() or " " in self.path:
            raise ValueError(f"path {self.path!r}: must start with a slash, not end with one, and hold no space")
        if self.auth not in SCHEMES:
            raise ValueError(f"auth {self.auth!r}: must be one of {', '.join(SCHEMES)}")
        if ":" in self.user:
            raise ValueError("user: RFC 7617 allows no colon in it")
        if self.password and not self.user:
            raise ValueError("password: is of no use without a user")

    def url(self, port: int, *, login: bool = False) -> str:
        """The address clients open; with `login` the user and password are in it, percent-encoded."""
        userinfo = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if login and self.user else ""
        return f"rtsp://{userinfo}{self.host}:{port}{self.path}"
