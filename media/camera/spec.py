"""What a source is asked to be: plain values that cross from the gateway to a worker."""

from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from media.net.secrets import Secret

Transport = Literal["auto", "tcp", "udp"]


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera to open. `uri` holds no userinfo; `address` is the checked IP address to connect to ("" = resolve).

    Limits are in seconds: to the answer of DESCRIBE, from PLAY to a decoded key frame, to codec parameters, and from
    PLAY to the first packet. Without `preflight` the camera is not asked before a worker opens it. `relay`: it wants a
    login that FFmpeg cannot do.
    """

    uri: str
    username: str = ""
    password: Secret = field(default_factory=Secret)
    transport: Transport = "auto"
    audio: bool = True
    address: str = ""
    connect_timeout: float = 5.0
    keyframe_timeout: float = 20.0
    parameters_timeout: float = 10.0
    preflight: bool = True
    silence_timeout: float = 5.0
    relay: bool = False

    def within(self, seconds: float) -> "CameraSpec":
        """The same, with no limit longer than this."""
        return replace(
            self,
            connect_timeout=min(self.connect_timeout, seconds),
            keyframe_timeout=min(self.keyframe_timeout, seconds),
            parameters_timeout=min(self.parameters_timeout, seconds),
            silence_timeout=min(self.silence_timeout, seconds),
        )

    def url(self) -> str:
        """The address for FFmpeg, with the credentials and the pinned address: a secret, never to be logged."""
        parts = urlsplit(self.uri)
        host = self.address or parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        netloc = f"{host}:{parts.port}" if parts.port else host
        if self.username or self.password:
            netloc = f"{quote(self.username, safe='')}:{quote(self.password.reveal(), safe='')}@{netloc}"
        return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
