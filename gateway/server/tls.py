"""The TLS side of the listener."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.models import TlsConfig

__all__ = ["make_tls_context"]


def make_tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Make the context of a listener with a certificate.

    Raises:
        OSError: If a file cannot be read; `ssl.SSLError`, a kind of it, if it does not load.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    # WebSockets open with HTTP/1.1 here, so a client that offers h2 too has to be told.
    context.set_alpn_protocols(["http/1.1"])
    return context
