"""Answering a camera's challenge: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2069 where there is no qop)."""

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from media.faults import Fault
from media.net.secrets import Secret

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_ELEMENT: Final = re.compile(rf'({_TOKEN})\s*=\s*("(?:\\.|[^"\\])*"|[^,\s]*)|({_TOKEN})')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

# How FFmpeg 8.1 reads an algorithm: to the letter (libavformat/httpauth.c), and "" where the camera names none.
_FFMPEG_KNOWS: Final = ("", "MD5", "MD5-sess")

# Digest algorithms by strength. Basic, which hands over the password itself, is below all of them.
_STRENGTH: Final = {"sha-256-sess": 4, "sha-256": 4, "md5-sess": 3, "md5": 2}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a camera offers: `scheme` and the names of its parameters are in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "md5").lower()

    @property
    def qop(self) -> str:
        """`auth` where offered, "" where the camera knows none (RFC 2069)."""
        return "auth" if "auth" in self._qops() else ""

    @property
    def stale(self) -> bool:
        """Only the nonce was too old: the credentials were right (RFC 7616, section 3.3)."""
        return self.parameters.get("stale", "").lower() == "true"

    @property
    def strength(self) -> int:
        """How strong the scheme is; 0 if it cannot be answered: unknown scheme or algorithm, no nonce, or only
        `auth-int`.
        """
        if self.scheme == "basic":
            return 1
        if self.scheme != "digest" or not self.parameters.get("nonce"):
            return 0
        if self._qops() and not self.qop:
            return 0
        return _STRENGTH.get(self.algorithm, 0)

    def _qops(self) -> list[str]:
        return [word.strip().lower() for word in self.parameters.get("qop", "").split(",") if word.strip()]


def read_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges of all `WWW-Authenticate` headers, each of which may hold several; anything else is skipped."""
    challenges: list[Challenge] = []
    for value in values:
        for match in _ELEMENT.finditer(value):
            name, parameter, scheme = match.groups()
            if scheme:
                challenges.append(Challenge(scheme.lower(), {}))
            elif challenges:
                challenges[-1].parameters.setdefault(name.lower(), _unquoted(parameter))
    return challenges


@dataclass(slots=True)
class Authenticator:
    """What one camera is told about who asks. It never leaves the host it was made for."""

    username: str
    password: Secret = field(default_factory=Secret)
    beyond_ffmpeg: bool = False  # FFmpeg would choose a challenge that it cannot answer: the last one that is Digest
    _challenge: Challenge | None = None
    _requests: int = 0  # made with the nonce of `_challenge`

    def accept(self, values: Iterable[str]) -> None:
        """Take up the strongest of the challenges of a 401. Raises Fault `source-auth-failed` when that is no use.

        It is none without credentials, without a challenge that can be answered, and after credentials that were
        refused: repeating those locks accounts. A stale nonce is no refusal.
        """
        if not self.username and not self.password:
            raise Fault(
                "source-auth-failed", "the camera asks for a user name and a password, and none are given for it"
            )
        if not _encodable(self.username, self.password.reveal()):
            raise Fault("source-auth-failed", "the user name or the password holds characters that cannot be sent")
        offered = read_challenges(values)
        best = max(offered, key=lambda challenge: challenge.strength, default=None)
        if best is None or not best.strength:
            raise Fault("source-auth-failed", "the camera offers no way to authenticate that is known here")
        if self._requests and not best.stale:
            raise Fault("source-auth-failed", "the camera refused the user name or the password; check both")
        self._challenge = best
        self._requests = 0
        digests = [each.parameters.get("algorithm", "") for each in offered if each.scheme == "digest"]
        self.beyond_ffmpeg = bool(digests) and digests[-1] not in _FFMPEG_KNOWS

    @property
    def scheme(self) -> str:
        """The scheme in use: `basic`, a digest's algorithm (`md5`, `sha-256`, ...), "" while nobody has asked."""
        if self._challenge is None:
            return ""
        return "basic" if self._challenge.scheme == "basic" else self._challenge.algorithm

    def authorization(self, method: str, uri: str) -> str:
        """The value of the `Authorization` header, a secret; "" while nobody has asked for one."""
        if self._challenge is None:
            return ""
        self._requests += 1
        if self._challenge.scheme == "basic":
            pair = f"{self.username}:{self.password.reveal()}"
            return f"Basic {b64encode(pair.encode()).decode()}"
        return self._digest(self._challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        realm, nonce = challenge.parameters.get("realm", ""), challenge.parameters["nonce"]
        count, cnonce = f"{self._requests:08x}", secrets.token_hex(8)
        secret = _hash(challenge, f"{self.username}:{realm}:{self.password.reveal()}")
        if challenge.algorithm.endswith("-sess"):
            secret = _hash(challenge, f"{secret}:{nonce}:{cnonce}")
        request = _hash(challenge, f"{method}:{uri}")
        middle = f"{nonce}:{count}:{cnonce}:auth" if challenge.qop else nonce
        fields = {"username": self.username, "realm": realm, "nonce": nonce, "uri": uri}
        fields["response"] = _hash(challenge, f"{secret}:{middle}:{request}")
        if "opaque" in challenge.parameters:
            fields["opaque"] = challenge.parameters["opaque"]
        if challenge.qop or challenge.algorithm.endswith("-sess"):
            fields["cnonce"] = cnonce
        parts = [f"{name}={_quoted(value)}" for name, value in fields.items()]
        if "algorithm" in challenge.parameters:
            parts.append(f"algorithm={challenge.parameters['algorithm']}")
        if challenge.qop:
            parts += ["qop=auth", f"nc={count}"]
        return "Digest " + ", ".join(parts)


def _encodable(username: str, password: str) -> bool:
    """No half of a surrogate pair (its UnicodeEncodeError would quote the password), no end of line in a header."""
    try:
        (username + password).encode()
    except UnicodeEncodeError:
        return False
    return not _CONTROL.search(username)


def _hash(challenge: Challenge, text: str) -> str:
    name = "sha256" if challenge.algorithm.startswith("sha-256") else "md5"
    return hashlib.new(name, text.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
