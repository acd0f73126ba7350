"""Keeps what holds passwords unreadable in the store: sealed with a key that lies beside it."""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from gateway.atomic import write_whole


class SealError(ValueError):
    """What was to be opened was sealed with another key, or has been changed."""


class KeyFileError(Exception):
    """The file of the key holds something else; the text says what to do."""


class Seal:
    """Seals and opens texts with one key.

    Whoever has the database alone, as in a backup or a bug report, reads no password. Who has the key too, does.
    """

    def __init__(self, key: bytes, path: Path | None = None) -> None:
        self._fernet = Fernet(key)
        self._key = key
        self._path = path

    @classmethod
    def at(cls, path: Path) -> "Seal":
        """The seal with the key of this file. A missing or empty file gets a new key, which only its owner may read:
        nothing was ever sealed with an empty key.

        Raises `OSError`, and `KeyFileError` for a file that is no key.
        """
        key = path.read_bytes() if path.exists() else b""
        if not key:
            key = Fernet.generate_key()
            write_whole(path, key)
        try:
            return cls(key, path)
        except ValueError:
            raise KeyFileError(
                f"{path} is no key. Put the right one back from a backup; or move it away, and a new one is made: "
                "streams from before then do not come back, and are started anew by their callers"
            ) from None

    def keep(self) -> None:
        """Writes the key's file once more if it is gone. Raises `OSError`."""
        if self._path is not None and not self._path.exists():
            write_whole(self._path, self._key)

    def close(self, text: str) -> str:
        """The text, sealed; the same text gives another result each time."""
        return self._fernet.encrypt(text.encode(errors="surrogatepass")).decode()

    def open(self, sealed: str) -> str:
        """The text again. Raises `SealError`."""
        try:
            return self._fernet.decrypt(sealed).decode(errors="surrogatepass")
        except (InvalidToken, ValueError):
            raise SealError("sealed with another key, or changed") from None
