"""The certificate that the server shows, if it speaks TLS itself."""

from __future__ import annotations

import ssl
from pathlib import Path

from engine.errors import ConfigurationError


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """A context for TLS 1.2 or later, or None if neither file is given.

    Args:
        certificate: the server's certificate and what signed it, in PEM format.
        key: its private key, without a passphrase; None if it is in the certificate's file.

    Raises:
        ConfigurationError: a file can't be read, is not what it should be, or they don't belong
            together.
    """
    if certificate is None:
        if key is not None:
            raise ConfigurationError("--tls-key is given without --tls-cert. Give both or neither.")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc
        files = f"{certificate} and {key}" if key else str(certificate)
        raise ConfigurationError(f"Can't use the TLS files {files}: {reason}.") from exc
    return context


def _no_passphrase() -> str:
    """Instead of asking on the terminal, which would hang a server."""
    raise ValueError("the key has a passphrase; give one without")
