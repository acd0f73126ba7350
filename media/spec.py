"""What a source is asked to be: plain values that cross from the gateway to a worker."""

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

Transport = Literal["auto", "tcp", "udp"]

HIDDEN: Final = "***"  # what stands for a secret where an address is shown
_SECRET_KEY: Final = re.compile(
    r"pass|pwd|token|secret|auth|credential|signature|(?:^|[_-]|api)key$|^pw$", re.IGNORECASE
)


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


def shown_uri(uri: str) -> str:
    """The address fit for records and logs: no userinfo, and `***` for the value of a query key that names a secret.

    Cameras take `?user=admin&password=…` and `?token=…` as well as userinfo; what the keys are called is all there is
    to go by.
    """
    head, mark, query = uri.partition("?")
    scheme, colon, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{colon}{authority.rpartition('@')[2]}{slash}{path}"
    return f"{shown}{mark}{'&'.join(map(_shown_pair, query.split('&')))}"


def _shown_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and value and _SECRET_KEY.search(unquote(name)) else pair
