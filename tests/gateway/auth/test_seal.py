"""What is sealed is unreadable without the key and tells when it was changed."""

import stat
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.seal import KeyFileError, Seal, SealError

KEY = b64encode(bytes(32))


@given(st.text(max_size=200))
def test_what_is_sealed_comes_out_again_and_never_twice_the_same(text: str) -> None:
    seal = Seal(KEY)
    assert seal.open(seal.close(text)) == text
    assert seal.close(text) != seal.close(text)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int) -> None:
    seal = Seal(KEY)
    data = bytearray(urlsafe_b64decode(seal.close("a password")))
    data[at % len(data)] ^= flip
    with pytest.raises(SealError):
        seal.open(urlsafe_b64encode(bytes(data)).decode())


@pytest.mark.parametrize("text", ["", "plain", "AAAA", "ä"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        Seal(KEY).open(text)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = Seal.at(path).close("a password")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Seal.at(path).open(sealed) == "a password"
    with pytest.raises(SealError):
        Seal.at(tmp_path / "another").open(sealed)
    path.write_bytes(b"short")
    with pytest.raises(KeyFileError, match="no key"):
        Seal.at(path)
