"""Signing what is sent to a receiver, by the scheme of Standard Webhooks (standardwebhooks.com, version 1)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "whsec_"
VERSION: Final = "v1"
FEWEST, MOST = 24, 64  # bytes of a secret
GIVEN: Final = 32  # bytes of one that is made here


def made() -> str:
    """A new secret, as the setting and the receiver's library want it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(GIVEN)).decode()


def secret_bytes(text: str) -> bytes:
    """The bytes of a secret. Raises `ValueError`, which does not quote it."""
    try:
        found = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not text.startswith(PREFIX) or not FEWEST <= len(found) <= MOST:
        raise ValueError(f"must be {PREFIX} and the base64 of {FEWEST} to {MOST} random bytes")
    return found


def headers(event_id: str, at: int, body: bytes, keys: tuple[bytes, ...]) -> dict[str, str]:
    """The three headers of one attempt at the Unix second `at`; one signature for each key, newest first."""
    signed = b".".join((event_id.encode(), str(at).encode(), body))
    signatures = (base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"{VERSION},{each}" for each in signatures),
    }
