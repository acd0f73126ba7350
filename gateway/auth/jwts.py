"""JSON Web Tokens as keys: signed by somebody else, checked by public keys of a file; needs the extra `jwt`."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.auth.keys import Key, Scope

if TYPE_CHECKING:
    from jwt import PyJWK

# Kind of key -> the names of the one algorithm that is taken with it (RFC 8725, section 3.1): never what the token
# says, never one with a shared secret, never none. RFC 9864 has given EdDSA with this kind of key a name of its own.
ALGORITHMS: Final = {("RSA", ""): ("RS256",), ("EC", "P-256"): ("ES256",), ("OKP", "Ed25519"): ("EdDSA", "Ed25519")}
LEEWAY: Final = 10  # seconds that two clocks may differ by
LONGEST: Final = 8192  # characters
WEAKEST: Final = 2048  # bits of an RSA key
_KNOWN: Final = frozenset(str(scope) for scope in Scope)


class JwtError(Exception):
    """Tokens cannot be checked; the text says why."""


class Jwts:
    """Takes tokens of one issuer for one audience. `path` is a JWK Set (RFC 7517) or one public key in PEM."""

    def __init__(self, path: Path, issuer: str, audience: str) -> None:
        """Reads the keys. Raises `JwtError`."""
        try:
            import jwt
        except ImportError:
            raise JwtError("jwt_keys needs the extra: pip install 'reelgate[jwt]'") from None
        self._jwt = jwt
        self._path = path
        self._issuer = issuer
        self._audience = audience
        self._keys: list[tuple[str | None, str, PyJWK]] = []
        self.reload()

    def reload(self) -> None:
        """Reads the keys again. Raises `JwtError`, and then the old keys stay."""
        try:
            data = self._path.read_bytes()
            rows = json.loads(data)["keys"] if data.lstrip().startswith(b"{") else [self._jwk(data)]
            keys = [key for row in rows if row.get("use", "sig") == "sig" for key in self._checked(row)]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, self._jwt.PyJWTError) as error:
            raise JwtError(f"{self._path} holds no public keys that can be used: {error}") from None
        if not keys:
            raise JwtError(f"{self._path} holds no public key")
        self._keys = keys

    def find(self, text: str) -> Key | None:
        """Whom a token speaks for, as a key of that person alone; None for a token that is not to be believed.

        It must have `exp`, `iss`, `aud` and `sub`; `scope` (RFC 9068, section 2.2.3) holds the words of the scopes, and
        others that are not ours.
        """
        if text.count(".") != 2 or len(text) > LONGEST or not text.isascii():
            return None
        try:
            kid = self._jwt.get_unverified_header(text).get("kid")
        except self._jwt.PyJWTError:
            return None
        for name, algorithm, key in self._keys:
            if kid is None or name is None or kid == name:
                claims = self._claims(text, algorithm, key)
                if claims is not None and claims["sub"]:
                    return _key(claims)
        return None

    def _claims(self, text: str, algorithm: str, key: "PyJWK") -> dict[str, Any] | None:
        try:
            return self._jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError):
            return None

    def _checked(self, row: dict[str, Any]) -> "list[tuple[str | None, str, PyJWK]]":
        """One key of a set, once for each name of its algorithm. Raises `ValueError`."""
        if "d" in row or "k" in row:
            raise ValueError("it holds a private key or a secret; only public keys belong here")
        kind = (row.get("kty", ""), row.get("crv", ""))
        names = ALGORITHMS.get(kind, ())
        if not names or row.get("alg", names[0]) not in names:
            known = ", ".join(name for each in ALGORITHMS.values() for name in each)
            raise ValueError(f"a key of the kind {' '.join(filter(None, kind))!r} is not taken; there are {known}")
        return [(row.get("kid"), name, self._bound(row, names[0], name)) for name in names]

    def _bound(self, row: dict[str, Any], algorithm: str, name: str) -> "PyJWK":
        """The key for tokens that name its algorithm like this. The library knows an algorithm by its first name
        alone.
        """
        key = self._jwt.PyJWK(row, algorithm)
        if getattr(key.key, "key_size", WEAKEST) < WEAKEST and row["kty"] == "RSA":
            raise ValueError(f"an RSA key needs {WEAKEST} bits")
        key.algorithm_name = name
        return key

    def _jwk(self, data: bytes) -> dict[str, Any]:
        """A public key in PEM as a row of a set."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from jwt import algorithms

        key = load_pem_public_key(data)
        if isinstance(key, rsa.RSAPublicKey):
            return algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            return algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            return algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
        raise ValueError("it is a key of a kind that is not taken")


def _key(claims: dict[str, Any]) -> Key | None:
    subject, scopes = claims["sub"], claims.get("scope", "")
    words = scopes.split() if isinstance(scopes, str) else []
    found = tuple(Scope(word) for word in dict.fromkeys(words) if word in _KNOWN)
    # The jobs of a subject are its own, whichever token it comes with.
    key_id = "jwt-" + hashlib.sha256(f"{claims['iss']}\n{subject}".encode()).hexdigest()[:24]
    return Key(key_id, subject, found, "", 0.0, float(claims["exp"]))
