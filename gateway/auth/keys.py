"""API keys: made, revoked and listed in one file, which holds hashes and no keys."""

import fcntl
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gateway.atomic import write_whole

PREFIX: Final = "rg"  # tells that a text is a key, wherever it is found
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32  # 256 bits of the system's randomness: nothing to guess, so one round of SHA-256 is enough
LONGEST_NAME: Final = 64
LOOK_AGAIN: Final = 1.0  # seconds until a change of the file is noticed
LOOK_LIMIT: Final = 0.2  # seconds that the event loop gives to one look; a disk that is well takes less than one ms
FOREVER: Final = 1e6  # seconds


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"
    PLAY = "play"


# What a scope brings with it.
IMPLIED: Final[dict[Scope, frozenset[Scope]]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.PLAY: frozenset({Scope.PLAY}),
    Scope.CONTROL: frozenset({Scope.CONTROL, Scope.READ, Scope.PLAY}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. `sha256` is that of the whole key; `created` and `expires` are Unix seconds."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: float
    expires: float | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether one of its scopes is this one or brings it with it."""
        return any(scope in IMPLIED[own] for own in self.scopes)

    def expired(self, now: float) -> bool:
        """Whether its time is over, at this time of day."""
        return self.expires is not None and now >= self.expires


class KeysError(Exception):
    """The file of keys cannot be used; the text says why."""


class KeyFile:
    """The file of keys, for the command line. Every change is written beside it and put in its place at once, under a
    lock.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall

    def make(self, name: str, scopes: tuple[Scope, ...], seconds: float | None = None) -> tuple[Key, str]:
        """A new key, and the text that is shown this once. `seconds`: how long it is good for; None: until revoked."""
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or not name.strip():
            raise KeysError(f"a key's name has 1 to {LONGEST_NAME} printable characters, and not blanks alone")
        if not scopes:
            raise KeysError("a key has at least one scope")
        with self._alone():
            keys = self.every()
            if any(key.name == name for key in keys):
                raise KeysError(f"there is a key named {name!r} already; revoke it, or choose another name")
            key_id = secrets.token_hex(ID_BYTES)
            text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
            now = self._wall()
            key = Key(key_id, name, scopes, digest(text), now, None if seconds is None else now + seconds)
            self._write([*keys, key])
        return key, text

    def revoke(self, which: str) -> Key:
        """Takes a key back, by its id or its name. Without any key left nobody gets in; the file stays."""
        with self._alone():
            keys = self.every()
            found = next((key for key in keys if which in (key.id, key.name)), None)
            if found is None:
                raise KeysError(f"there is no key {which!r}")
            self._write([key for key in keys if key is not found])
        return found

    def every(self) -> list[Key]:
        """All keys, oldest first. None when there is no file. Raises `KeysError` for a file that is none of ours."""
        try:
            return read(self._path)
        except FileNotFoundError:
            return []

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, keys: list[Key]) -> None:
        content = json.dumps({"version": 1, "keys": [asdict(key) for key in keys]}, indent=1)
        write_whole(self._path, content.encode())


class Keys:
    """The keys as the gateway asks for them; a change of the file is noticed within `LOOK_AGAIN` seconds.

    Once there is a file a key is needed, also when the file is gone again: it takes a restart to go without. A file
    that becomes unreadable lets nobody in.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._clock = clock
        self._wall = wall
        self._seen: object = None
        self._look_at = float("-inf")
        self._looking: _Look | None = None
        self._looked = False
        self._keys: dict[str, Key] = {}
        self.trouble = ""
        self._needed = False

    @property
    def needed(self) -> bool:
        """Whether a caller needs a key."""
        self._look()
        return self._needed

    def __len__(self) -> int:
        self._look()
        return len(self._keys)

    def find(self, text: str) -> Key | None:
        """The key with this text; None for one that is unknown, revoked or past its time.

        The row is found by the public id; what is secret is compared in constant time.
        """
        self._look()
        _, _, rest = text.partition("_")
        key = self._keys.get(rest.partition("_")[0])
        expected = key.sha256 if key is not None else digest("")
        if not hmac.compare_digest(digest(text), expected) or key is None or key.expired(self._wall()):
            return None
        return key

    def known(self, key_id: str) -> Key | None:
        """The key of that id, if it is still good; else None."""
        self._look()
        key = self._keys.get(key_id)
        return None if key is None or key.expired(self._wall()) else key

    def reload(self) -> None:
        """Looks at the file at the next question, even if it did so a moment ago."""
        self._look_at = float("-inf")
        self._seen = self._looking = None

    def _look(self) -> None:
        """Reads the file when it is time. A folder that hangs holds nobody: what was read last counts meanwhile."""
        patience = 0.0
        if self._looking is None:
            now = self._clock()
            if now < self._look_at:
                return
            self._look_at = now + LOOK_AGAIN
            try:
                self._looking = _Look(self._path, self._seen)
            except RuntimeError:  # there is no thread to be had just now
                if not self._looked:
                    raise
                return
            # At the first look there is no older result that could count meanwhile.
            patience = LOOK_LIMIT if self._looked else FOREVER
        found = self._looking.result(patience)
        if found is not None:
            self._looking, self._looked = None, True
            self._take(found)

    def _take(self, found: "_Found") -> None:
        if found.trouble:
            self._keys, self._seen, self.trouble, self._needed = {}, None, found.trouble, True
        elif found.seen is None:
            self._keys, self._seen = {}, None
        else:
            self._seen, self._needed = found.seen, True
            if found.keys is not None:
                self._keys, self.trouble = {key.id: key for key in found.keys}, ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look at the file has found: `seen` is None when there is none, `keys` when it is as it was."""

    seen: object = None
    keys: list[Key] | None = None
    trouble: str = ""


class _Look:
    """One look at the file, in a thread that nobody has to wait for, not even the end of the process."""

    def __init__(self, path: Path, seen: object) -> None:
        self._path = path
        self._before = seen
        self._found = _Found()
        self._done = threading.Event()
        threading.Thread(target=self._run, name="keys", daemon=True).start()

    def result(self, seconds: float) -> _Found | None:
        """What was found; None when it is not known yet after so many seconds."""
        return self._found if self._done.wait(seconds) else None

    def _run(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            self._found = _Found(seen, read(self._path) if seen != self._before else None)
        except FileNotFoundError:
            pass
        except (KeysError, OSError) as error:
            self._found = _Found(trouble=str(error))
        finally:
            self._done.set()


def digest(text: str) -> str:
    """The hash that is kept of a key."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def read(path: Path) -> list[Key]:
    """The keys of a file. Raises `FileNotFoundError`, or `KeysError` for one that is none of ours."""
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != 1:
            raise KeysError(f"{path} is of another version of Reelgate")
        return [_key(**each) for each in content["keys"]]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise KeysError(f"{path} cannot be read as a file of keys ({type(error).__name__})") from None


def _key(*, scopes: list[str], **rest: Any) -> Key:
    return Key(scopes=tuple(Scope(scope) for scope in scopes), **rest)
