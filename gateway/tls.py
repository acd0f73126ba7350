"""TLS: a context from the certificate's files, which takes new ones without a restart."""

import ssl
from pathlib import Path


class TlsError(Exception):
    """The certificate or its key cannot be used; the text says why."""


class Tls:
    """One server context. A renewed certificate is for the connections that come after `reload`."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.reload()

    def reload(self) -> None:
        """Reads the files again. Raises `TlsError`, and then the old certificate goes on."""
        try:
            # Into another context first: a certificate without its key would spoil the one in use. No password: a key
            # that has one is refused, and nobody is asked on a terminal.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self._cert, self._key, password="")
            self.context.load_cert_chain(self._cert, self._key, password="")
        except OSError as error:  # ssl.SSLError is one
            raise TlsError(f"{self._cert} and {self._key} are no certificate and its key: {error}") from None
