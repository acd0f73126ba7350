"""Keeps what holds passwords unreadable in the store: sealed with a key that lies beside it."""

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

KEY_SIZE: Final = 32  # bytes
NONCE_SIZE: Final = 16
TAG_SIZE: Final = 32


class SealError(ValueError):
    """What was to be opened was sealed with another key, or has been changed."""


class Seal:
    """Whoever has the database alone, as in a backup or a bug report, reads no password; who has the key too, does.

    A stream of HMAC-SHA-256 over nonce and counter is laid over the text (a pseudorandom function in counter mode, NIST
    SP 800-38A section 6.5), and an HMAC over nonce and result says that nobody has changed it (encrypt-then-MAC).
    """

    def __init__(self, key: bytes) -> None:
        self._cover = hashlib.sha256(b"cover" + key).digest()
        self._check = hashlib.sha256(b"check" + key).digest()

    @classmethod
    def at(cls, path: Path) -> "Seal":
        """With the key of this file, which is made, for its owner's eyes only, when missing. Raises `OSError`."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
            if len(key) != KEY_SIZE:
                raise OSError(f"{path.name} is no key of {KEY_SIZE} bytes") from None
            return cls(key)
        key = secrets.token_bytes(KEY_SIZE)
        with os.fdopen(fd, "wb") as file:
            file.write(key)
        return cls(key)

    def close(self, text: str) -> str:
        """The text, sealed; the same text gives another result each time."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        covered = nonce + self._covered(nonce, text.encode(errors="surrogatepass"))
        return b64encode(covered + self._tag(covered)).decode()

    def open(self, sealed: str) -> str:
        """The text again. Raises `SealError`."""
        try:
            data = b64decode(sealed, validate=True)
        except ValueError:
            raise SealError("not sealed text") from None
        covered, tag = data[:-TAG_SIZE], data[-TAG_SIZE:]
        if len(covered) < NONCE_SIZE or not hmac.compare_digest(tag, self._tag(covered)):
            raise SealError("sealed with another key, or changed")
        return self._covered(covered[:NONCE_SIZE], covered[NONCE_SIZE:]).decode(errors="surrogatepass")

    def _covered(self, nonce: bytes, data: bytes) -> bytes:
        blocks = range(-(-len(data) // 32))
        stream = b"".join(hmac.digest(self._cover, nonce + block.to_bytes(8), "sha256") for block in blocks)
        return bytes(a ^ b for a, b in zip(data, stream, strict=False))

    def _tag(self, covered: bytes) -> bytes:
        return hmac.digest(self._check, covered, "sha256")
