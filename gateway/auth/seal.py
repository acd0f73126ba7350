"""Keeps what holds passwords unreadable in the store: sealed with a key that lies beside it."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class SealError(ValueError):
    """What was to be opened was sealed with another key, or has been changed."""


class Seal:
    """Whoever has the database alone, as in a backup or a bug report, reads no password; who has the key too, does."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def at(cls, path: Path) -> "Seal":
        """With the key of this file, which is made, for its owner's eyes only, when missing. Raises `OSError`."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            try:
                return cls(path.read_bytes())
            except ValueError:
                raise OSError(f"{path.name} is no key; move it away, and cameras are asked for anew") from None
        key = Fernet.generate_key()
        with os.fdopen(fd, "wb") as file:
            file.write(key)
        return cls(key)

    def close(self, text: str) -> str:
        """The text, sealed; the same text gives another result each time."""
        return self._fernet.encrypt(text.encode(errors="surrogatepass")).decode()

    def open(self, sealed: str) -> str:
        """The text again. Raises `SealError`."""
        try:
            return self._fernet.decrypt(sealed).decode(errors="surrogatepass")
        except (InvalidToken, ValueError):
            raise SealError("sealed with another key, or changed") from None
