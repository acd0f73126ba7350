"""Who may watch: Basic (RFC 7617) and Digest (RFC 2617, RFC 7616) for RTSP requests."""

import base64
import binascii
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from media.faultcamera.rtsp.message import CameraResponse, Request
from media.faultcamera.settings import Scheme

REALM: Final = "sample camera"
MAX_NONCES: Final = 1000  # the oldest is forgotten, which its owner sees as a stale one
HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
ALGORITHMS: Final[dict[Scheme, tuple[str, ...]]] = {
    "basic": (),
    "digest": ("MD5",),
    "digest-sha256": ("SHA-256",),
    "digest-any": ("SHA-256", "MD5"),  # in this order, RFC 7616, 3.7
}
_PARAMETER: Final = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]*))')


class Doorkeeper:
    """Checks requests against one user and password. `clock` gives seconds that only grow."""

    def __init__(self, scheme: Scheme, login: tuple[str, str], lifetime: float, clock: Callable[[], float]) -> None:
        self._scheme = scheme
        self._user, self._password = login
        self._lifetime = lifetime
        self._clock = clock
        self._nonces: OrderedDict[str, float] = OrderedDict()

    def refusal(self, request: Request) -> CameraResponse | None:
        """None for a request that may pass, else the 401 with its challenge; a good answer to an old nonce is stale."""
        if not self._user:
            return None
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if self._scheme == "basic":
            return None if scheme.lower() == "basic" and self._basic(rest) else self.challenge()
        given = parameters(rest) if scheme.lower() == "digest" else {}
        if not self._digest(request, given):
            return self.challenge()
        return None if self._fresh(given["nonce"]) else self.challenge(stale=True)

    def challenge(self, *, stale: bool = False) -> CameraResponse:
        """A 401 that says how to log in; for Digest with a new nonce."""
        if self._scheme == "basic":
            return CameraResponse(401, (("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'),))
        nonce = secrets.token_hex(16)
        self._nonces[nonce] = self._clock() + self._lifetime
        if len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        start = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth"' + (", stale=true" if stale else "")
        texts = [f"{start}, algorithm={algorithm}" for algorithm in ALGORITHMS[self._scheme]]
        return CameraResponse(401, tuple(("WWW-Authenticate", text) for text in texts))

    def forget_nonces(self) -> None:
        """Makes every nonce stale."""
        self._nonces.clear()

    def _fresh(self, nonce: str) -> bool:
        return self._nonces.get(nonce, float("-inf")) > self._clock()

    def _basic(self, text: str) -> bool:
        try:
            given = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            return False
        return secrets.compare_digest(given, f"{self._user}:{self._password}".encode())

    def _digest(self, request: Request, given: dict[str, str]) -> bool:
        algorithm = given.get("algorithm", "MD5").upper()
        if algorithm not in ALGORITHMS[self._scheme] or given.get("uri") != request.url or "nonce" not in given:
            return False

        def hashed(*parts: str) -> str:
            return HASHES[algorithm](":".join(parts).encode()).hexdigest()

        middle = [given["nonce"]]
        if "qop" in given:
            if given["qop"] != "auth":
                return False
            middle += [given.get("nc", ""), given.get("cnonce", ""), "auth"]
        secret = hashed(self._user, REALM, self._password)
        expected = hashed(secret, *middle, hashed(request.method, request.url))
        known = given.get("username") == self._user and given.get("realm") == REALM
        return known and secrets.compare_digest(given.get("response", "").lower().encode(), expected.encode())


def small(refusal: CameraResponse) -> CameraResponse:
    """The challenge with its algorithm in small letters: tokens have no case (RFC 7616, 3.3), and some clients mind."""
    headers = tuple((name, re.sub(r"algorithm=\S+", lambda it: it[0].lower(), text)) for name, text in refusal.headers)
    return CameraResponse(refusal.status, headers, refusal.body)


def parameters(text: str) -> dict[str, str]:
    """The `name=value` and `name="value"` list of an Authorization header, names in lower case."""
    found = _PARAMETER.findall(text)
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found}
