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
    PLAY to the first packet. Without `preflight` the camera is not asked before a worker opens it. `relay`: FFmpeg
    cannot be left alone with it. `options`: it answers OPTIONS. `tls_min`: the oldest TLS that may be spoken, a key of
    `tls.VERSIONS`. `tls_verify`: the certificate of an `rtsps://` camera must be good, by the CAs in the
    file `tls_ca` or ("") those that the system trusts.
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
    options: bool = True
    tls_verify: bool = False
    tls_ca: str = ""
    tls_min: str = "1.2"

    @property
    def relayed(self) -> bool:
        """Whether FFmpeg is to meet the camera through a relay only.

        By UDP, FFmpeg sends where the camera's answer to SETUP says. It verifies a certificate for the IP address that
        it is given, never for the name.
        """
        return self.relay or not self.options or self.transport == "udp" or (self.encrypted and self.tls_verify)

    @property
    def encrypted(self) -> bool:
        return self.uri.lower().startswith("rtsps:")

    def within(self, seconds: float) -> "CameraSpec":
        """The camera with no limit longer than this many seconds."""
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
