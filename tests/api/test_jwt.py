"""Tokens of an identity provider: what is believed, what is not, and whose jobs are whose."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from gateway.app import Gateway
from gateway.auth.jwts import LEEWAY, JwtError, Jwts
from gateway.auth.keys import Scope
from gateway.settings import Settings
from tests.api.test_access import BASE, Guarded
from tests.api.test_bad_input import check_problem

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RS256": (RSA, RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)),
    "ES256": (EC, ECAlgorithm.to_jwk(EC.public_key(), as_dict=True)),
    "EdDSA": (ED, OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True)),
}


def pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def token(algorithm: str = "ES256", *, kid: str | None = None, **claims: Any) -> str:
    """A good token, but for what is given; None leaves a claim out."""
    good = {"iss": "https://login.example", "aud": "reelgate", "sub": "ann", "scope": "read", "exp": time.time() + 60}
    said = {name: value for name, value in {**good, **claims}.items() if value is not None}
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(said, SIGNERS[algorithm][0], algorithm, headers=headers)


def jwks(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"keys": rows}).encode()


@pytest.fixture
def jwts(tmp_path: Path) -> Callable[[bytes], Jwts]:
    """Checks tokens by a file of this content."""

    def made(content: bytes) -> Jwts:
        (tmp_path / "keys").write_bytes(content)
        return Jwts(tmp_path / "keys", "https://login.example", "reelgate")

    return made


@pytest.mark.parametrize("algorithm", list(SIGNERS))
def test_a_token_is_believed_by_its_public_key_alone(jwts: Callable[[bytes], Jwts], algorithm: str) -> None:
    private, row = SIGNERS[algorithm]
    for content in (pem(private), jwks(row), jwks({**row, "kid": "new"}, {**SIGNERS["ES256"][1], "kid": "old"})):
        found = jwts(content).find(token(algorithm, scope="openid control read control"))
        assert found is not None
        assert (found.name, found.scopes) == ("ann", (Scope.CONTROL, Scope.READ))
    others = [each[1] for name, each in SIGNERS.items() if name != algorithm]
    assert jwts(jwks(*others)).find(token(algorithm)) is None


@pytest.mark.parametrize("said", [None, "EdDSA", "Ed25519"])
def test_the_two_names_of_one_algorithm_are_taken_in_keys_and_in_tokens(
    jwts: Callable[[bytes], Jwts], said: str | None
) -> None:
    checked = jwts(jwks(SIGNERS["EdDSA"][1] | ({"alg": said} if said else {})))
    claims = json.dumps({"iss": "https://login.example", "aud": "reelgate", "sub": "ann", "exp": NOW + 3600}).encode()
    for name in ("EdDSA", "Ed25519", "Ed448", "ed25519", "ES256"):
        head = json.dumps({"alg": name, "typ": "JWT"}).encode()
        text = ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (head, claims))
        signed = f"{text}.{base64.urlsafe_b64encode(ED.sign(text.encode())).rstrip(b'=').decode()}"
        assert (checked.find(signed) is not None) == (name in ("EdDSA", "Ed25519")), name
        forged = f"{text}.{base64.urlsafe_b64encode(ed25519.Ed25519PrivateKey.generate().sign(text.encode())).decode()}"
        assert checked.find(forged) is None


NOW = time.time()


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": NOW - LEEWAY - 60},
        {"exp": "soon"},
        {"nbf": NOW + 3600},
        {"iss": None},
        {"iss": "https://evil.example"},
        {"aud": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
)
def test_a_token_that_lacks_something_or_is_for_others_is_not_believed(
    jwts: Callable[[bytes], Jwts], claims: dict[str, Any]
) -> None:
    try:
        text = token(**claims)
    except TypeError:  # the library does not make it, so by hand
        good = {"iss": "https://login.example", "aud": "reelgate", "sub": "ann", "exp": NOW + 3600}
        payload = json.dumps({**good, **claims}).encode()
        text = jwt.api_jws.encode(payload, EC, "ES256")
    assert jwts(pem(EC)).find(text) is None


def test_the_token_does_not_choose_how_it_is_checked(jwts: Callable[[bytes], Jwts]) -> None:
    claims: dict[str, Any] = {"iss": "https://login.example", "aud": "reelgate", "sub": "ann", "exp": NOW + 3600}
    checked = jwts(jwks(SIGNERS["ES256"][1], SIGNERS["RS256"][1]))
    assert checked.find(jwt.encode(claims, "", "none")) is None
    # The public key as the secret of a MAC: by hand, as the library refuses to make it.
    head, body, _ = token("RS256", **claims).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    mac = hmac.digest(pem(RSA), f"{head}.{body}".encode(), hashlib.sha256)
    assert checked.find(f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}") is None
    for other in ("RS384", "RS512", "PS256"):
        assert checked.find(jwt.encode(claims, RSA, other)) is None
    good = token("ES256")
    for at in range(0, len(good), 7):
        changed = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        assert checked.find(changed) is None


@pytest.mark.parametrize("text", ["", "..", "a.b.c", "é.é.é", "." * 9000, "a" * 9000 + "..", "\ud800.a.b"])
def test_what_is_no_token_is_not_believed(jwts: Callable[[bytes], Jwts], text: str) -> None:
    assert jwts(pem(EC)).find(text) is None


def test_a_key_is_chosen_by_its_id(jwts: Callable[[bytes], Jwts]) -> None:
    checked = jwts(jwks({**SIGNERS["ES256"][1], "kid": "a"}, {**SIGNERS["RS256"][1], "kid": "b"}))
    assert checked.find(token("RS256", kid="b")) is not None
    assert checked.find(token("RS256", kid="a")) is None
    assert checked.find(token("RS256", kid="c")) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"none",
        b"{}",
        b'{"keys": []}',
        b'{"keys": [7]}',
        jwks({"kty": "oct", "k": "c2VjcmV0"}),
        jwks(ECAlgorithm.to_jwk(EC, as_dict=True)),
        jwks({**SIGNERS["RS256"][1], "alg": "HS256"}),
        jwks({**SIGNERS["ES256"][1], "use": "enc"}),
        jwks({**SIGNERS["EdDSA"][1], "alg": "Ed448"}),
        jwks({**SIGNERS["ES256"][1], "alg": "Ed25519"}),
        jwks(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)),
        pem(ec.generate_private_key(ec.SECP384R1())),
    ],
)
def test_a_file_without_public_keys_that_are_taken_is_refused_and_at_a_reload_the_old_ones_stay(
    jwts: Callable[[bytes], Jwts], tmp_path: Path, content: bytes
) -> None:
    checked = jwts(pem(EC))
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(JwtError, match="public key"):
        checked.reload()
    assert checked.find(token()) is not None
    with pytest.raises(JwtError, match="public key"):
        jwts(content)


def test_keys_of_tokens_need_an_issuer_and_an_audience() -> None:
    with pytest.raises(ValidationError, match="jwt_issuer and jwt_audience"):
        Settings.model_validate({"jwt_keys": "x.pem", "jwt_issuer": "https://login.example"})


async def test_a_caller_with_a_token_has_its_scopes_and_the_jobs_of_its_subject(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "jwt.pem").write_bytes(pem(EC))
    named = {"jwt_keys": tmp_path / "jwt.pem", "jwt_issuer": "https://login.example", "jwt_audience": "reelgate"}
    texts = {
        "ann": token(scope="control", exp=time.time() + 600),
        "ann again": token(scope="control", exp=time.time() + 900),
        "bob": token(scope="control", sub="bob", exp=time.time() + 600),
        "reader": token(scope="read", sub="cleo", exp=time.time() + 600),
        "nobody": token(scope="", sub="dan", exp=time.time() + 600),
        "late": token(exp=time.time() - 60),
    }
    async with Gateway(settings.model_copy(update=named)) as gateway, aiohttp.ClientSession() as session:
        guarded = Guarded(gateway, session, texts)
        check_problem(await guarded.ask("GET", f"{BASE}/jobs/find_all"), 401, "unauthorized")
        check_problem(await guarded.ask("GET", f"{BASE}/jobs/find_all", "late"), 401, "unauthorized")
        check_problem(await guarded.ask("GET", f"{BASE}/jobs/find_all", "nobody"), 403, "forbidden")
        body = {"watermark": "logo.png"}
        check_problem(await guarded.ask("POST", f"{BASE}/watermark/startup", "reader", body), 403, "forbidden")
        made = await guarded.ask("POST", f"{BASE}/watermark/startup", "ann", body)
        job = f"{BASE}/jobs/{made.headers['Job-Id']}"
        statuses = {who: (await guarded.ask("GET", job, who)).status for who in ("ann", "ann again", "bob", "reader")}
        assert statuses == {"ann": 200, "ann again": 200, "bob": 404, "reader": 404}
        (tmp_path / "jwt.pem").write_bytes(pem(RSA))
        gateway.reload()
        check_problem(await guarded.ask("GET", job, "ann"), 401, "unauthorized")
