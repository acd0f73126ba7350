"""Basic and Digest: who passes, who does not, and when a nonce is stale."""

import base64
import hashlib
import re
from dataclasses import dataclass

import pytest

from media.faultcamera.rtsp.auth import MAX_NONCES, Doorkeeper, parameters
from media.faultcamera.rtsp.message import CameraResponse, Request
from media.faultcamera.settings import Scheme

USER, PASSWORD = "öl", 'p@:/%#?ß"'
URL = "rtsp://a/live"


@dataclass
class Hand:
    """A clock that is set by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def doorkeeper(scheme: Scheme, clock: Hand | None = None) -> Doorkeeper:
    return Doorkeeper(scheme, (USER, PASSWORD), 10.0, clock or Hand())


def ask(authorization: str = "", method: str = "DESCRIBE", url: str = URL) -> Request:
    return Request(method, url, {"authorization": authorization} if authorization else {})


def nonce_of(refusal: CameraResponse | None) -> str:
    assert refusal is not None
    assert refusal.status == 401
    found = re.search(r'nonce="(\w+)"', refusal.headers[0][1])
    assert found
    return found[1]


def digest(nonce: str, algorithm: str = "MD5", *, password: str = PASSWORD, qop: bool = True, url: str = URL) -> str:
    """RFC 7616, 3.4: what a client says."""
    name = {"MD5": "md5", "SHA-256": "sha256"}[algorithm]

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    middle = f"{nonce}:00000001:c:auth" if qop else nonce
    response = hashed(f"{hashed(f'{USER}:sample camera:{password}')}:{middle}:{hashed(f'DESCRIBE:{url}')}")
    text = f'Digest username="{USER}", realm="sample camera", nonce="{nonce}", uri="{url}", response="{response}"'
    return text + f", algorithm={algorithm}" + (', qop=auth, nc=00000001, cnonce="c"' if qop else "")


def test_without_a_user_everybody_passes() -> None:
    assert Doorkeeper("digest", ("", ""), 1, Hand()).refusal(ask()) is None


def test_basic_takes_the_right_password_alone() -> None:
    keeper = doorkeeper("basic")

    def basic(password: str) -> Request:
        return ask("Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode())

    assert keeper.refusal(basic(PASSWORD)) is None
    for wrong in (basic("x"), ask("Basic !"), ask("Bearer x"), ask()):
        assert keeper.refusal(wrong) == CameraResponse(
            401, (("WWW-Authenticate", 'Basic realm="sample camera", charset="UTF-8"'),)
        )


@pytest.mark.parametrize(
    ("scheme", "algorithm"),
    [("digest", "MD5"), ("digest-sha256", "SHA-256"), ("digest-any", "MD5"), ("digest-any", "SHA-256")],
)
@pytest.mark.parametrize("qop", [True, False])
def test_digest_takes_the_right_password_alone(scheme: Scheme, algorithm: str, qop: bool) -> None:
    keeper = doorkeeper(scheme)
    nonce = nonce_of(keeper.refusal(ask()))

    assert keeper.refusal(ask(digest(nonce, algorithm, qop=qop))) is None
    assert keeper.refusal(ask(digest(nonce, algorithm, password="x", qop=qop))) is not None


def test_a_digest_holds_for_its_method_and_url_alone() -> None:
    keeper = doorkeeper("digest")
    good = digest(nonce_of(keeper.refusal(ask())))

    assert keeper.refusal(ask(good, method="SETUP")) is not None
    assert keeper.refusal(ask(good, url="rtsp://a/other")) is not None
    assert keeper.refusal(ask(good.replace("MD5", "SHA-256"))) is not None
    assert keeper.refusal(ask(good.replace("qop=auth", "qop=auth-int"))) is not None


def test_a_nonce_grows_stale_and_the_refusal_says_so_to_who_knows_the_password() -> None:
    clock = Hand()
    keeper = doorkeeper("digest", clock)
    nonce = nonce_of(keeper.refusal(ask()))
    clock.now = 10.5

    stale = keeper.refusal(ask(digest(nonce)))
    wrong = keeper.refusal(ask(digest(nonce, password="x")))

    assert keeper.refusal(ask(digest(nonce_of(stale)))) is None
    assert stale is not None
    assert "stale=true" in stale.headers[0][1]
    assert wrong is not None
    assert "stale" not in wrong.headers[0][1]


def test_the_oldest_nonces_are_forgotten() -> None:
    keeper = doorkeeper("digest")
    first = nonce_of(keeper.refusal(ask()))
    assert keeper.refusal(ask(digest(first))) is None
    for _ in range(MAX_NONCES):
        keeper.challenge()

    assert keeper.refusal(ask(digest(first))) is not None


def test_parameters_may_be_quoted_escaped_and_bare() -> None:
    assert parameters(r'Realm="a, \"b\"", nc = 1,x="",uri="rtsp://h/p?q=1"') == {
        "realm": 'a, "b"',
        "nc": "1",
        "x": "",
        "uri": "rtsp://h/p?q=1",
    }


def test_any_digest_asks_for_the_stronger_first() -> None:
    asked = [text for _, text in doorkeeper("digest-any").challenge().headers]

    assert [re.findall(r"algorithm=(\S+)", text) for text in asked] == [["SHA-256"], ["MD5"]]
