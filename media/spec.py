"""What a source is asked to be: plain values that cross from the gateway to a worker."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

Transport = Literal["auto", "tcp", "udp"]


class Secret:
    """A text that prints as `***`; `reveal()` is the one way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera to open. `uri` holds no userinfo; `address` is the checked IP address to connect to ("" = resolve).

    Limits are in seconds: to the answer of DESCRIBE, from PLAY to a decoded key frame, and to codec parameters.
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
