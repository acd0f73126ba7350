"""Play tokens: a signed permission to watch one stream until a moment; nothing is kept of them."""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.atomic import write_whole

VERSION: Final = "p2"
SECRET_BYTES: Final = 32
LONGEST: Final = 1024  # characters of a token: a name of 128 characters has at most 512 bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token permits: to watch the stream of that name until a Unix second.

    `key` is the id of the API key that it was made with, and ends with; "" when there is none to be revoked.
    """

    name: str
    until: int
    key: str = ""


class PlayTokens:
    """Signs and checks with one secret. Another secret makes all tokens void."""

    def __init__(self, secret: bytes, path: Path | None = None) -> None:
        self._secret = secret
        self._path = path

    @classmethod
    def kept_in(cls, path: Path) -> "PlayTokens":
        """The signer with the secret of a file, which is made when missing; only its owner may read it. Raises
        `OSError`.
        """
        secret = path.read_bytes() if path.exists() else b""
        if len(secret) != SECRET_BYTES:  # missing, or cut short by something
            secret = secrets.token_bytes(SECRET_BYTES)
            write_whole(path, secret)
        return cls(secret, path)

    def keep(self) -> None:
        """Writes the secret's file once more if it is gone. Raises `OSError`."""
        if self._path is not None and not self._path.exists():
            write_whole(self._path, self._secret)

    def for_sessions(self) -> "PlayTokens":
        """The signer for sessions. Its secret is another one, made of the same file.

        So a play token never signs anybody in, and a session's cookie is no play token.
        """
        return PlayTokens(hmac.digest(self._secret, b"sessions", hashlib.sha256))

    def sign(self, name: str, until: int, key: str = "") -> str:
        """The token of a `Ticket`. Its characters need no escaping in a URL."""
        content = f"{VERSION}.{until}.{_text(name.encode())}.{key}"
        return f"{content}.{self._mac(content)}"

    def check(self, token: str, now: float) -> Ticket | None:
        """What a token permits; None for one that is forged, cut, of another version, or past its time."""
        content, _, mac = token[:LONGEST].rpartition(".")
        if not hmac.compare_digest(self._mac(content).encode(), mac.encode(errors="replace")):
            return None
        version, _, content = content.partition(".")
        if version != VERSION:
            return None
        until, name, key = content.split(".")
        return Ticket(_bytes(name).decode(), int(until), key) if now < int(until) else None

    def _mac(self, content: str) -> str:
        return _text(hmac.digest(self._secret, content.encode(errors="replace"), hashlib.sha256))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
