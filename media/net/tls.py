"""TLS to cameras, which sign their certificates themselves."""

import ssl
from contextlib import suppress


def unverified() -> ssl.SSLContext:
    """A context that encrypts and **verifies nothing**."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(ssl.SSLError):  # cameras keep old ciphers and small keys
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
