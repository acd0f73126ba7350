"""TLS to cameras: which certificates are believed, and what a failure of it means."""

import ssl
import warnings
from contextlib import suppress
from typing import Final

from media.faults import Fault

BROKEN: Final = (ssl.SSLError, ConnectionError)  # a handshake that failed: some just close the connection
VERSIONS: Final = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}
OLD: Final = {"SSLv3": "SSL 3.0", "TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1"}


def context(*, verify: bool, ca: str = "", oldest: str = "1.2") -> ssl.SSLContext:
    """A context for TLS of the version `oldest` or newer; what is below 1.2 is for who permits it (RFC 8996).

    With `verify` it trusts only a certificate for the name that was asked for, by a CA of the file `ca`, or of the
    system if that is "". Without `verify` it encrypts and **verifies nothing**: most cameras sign their certificates
    themselves. Raises `OSError` for a file that cannot be read or holds no certificate.
    """
    if verify:
        made = ssl.create_default_context(cafile=ca or None)
    else:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    old = oldest != "1.2"
    if old or not verify:
        with suppress(ssl.SSLError):  # cameras keep old ciphers and small keys
            made.set_ciphers("DEFAULT:@SECLEVEL=0")
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it is what the operator permits
            made.minimum_version = VERSIONS[oldest]
    return made


def ancient() -> ssl.SSLContext:
    """A context for whatever version the other end speaks, to find out which; nothing may be said by it."""
    made = context(verify=False)
    made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return made


def fault(error: OSError, where: str, spoken: str = "") -> Fault:
    """What a failed handshake with `where` means; `spoken` is the version that it agreed to with `ancient`, if any."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = (
            f"{where} shows a certificate that is not trusted ({error.verify_message.rstrip('.')}); check the name in "
            "the address, give the certificate's CA as the setting tls_ca, or switch tlsVerify off"
        )
        return Fault("source-untrusted", detail)
    if spoken in OLD:
        detail = (
            f"{where} speaks {OLD[spoken]} at the most, which is too old to be trusted; update the camera, "
            "permit it by the setting tls_min, or use rtsp:// in a network that you trust"
        )
        return Fault("source-protocol-error", detail)
    if spoken:
        reason = getattr(error, "reason", None) or type(error).__name__
        return Fault("source-protocol-error", f"{where} speaks {spoken}, and broke off its handshake ({reason})")
    return Fault("source-protocol-error", f"{where} does not speak TLS; is it an rtsp:// address?")
