"""TLS towards a broker. What is here reads files, and so belongs into a thread."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.broker.link import FileFaultError

if TYPE_CHECKING:
    from gateway.config import BrokerTlsConfig

__all__ = ["client_context", "show_certificate", "trusting_context"]


def client_context(tls: BrokerTlsConfig | None) -> ssl.SSLContext:
    """Make the context of a client that verifies its server.

    Args:
        tls: The settings; `None`: the system's authorities, and no certificate of our own.

    Raises:
        FileFaultError: If a file cannot be read or used.
    """
    context = trusting_context(tls)
    if tls is not None:
        show_certificate(context, tls)
    return context


def trusting_context(tls: BrokerTlsConfig | None) -> ssl.SSLContext:
    """Make the context with the authorities that the settings name.

    Raises:
        FileFaultError: If their file cannot be read or used.
    """
    try:
        return ssl.create_default_context(cafile=None if tls is None else tls.ca)
    except (OSError, ValueError) as exc:
        raise FileFaultError(("tls", "ca"), _fact(exc)) from None


def show_certificate(context: ssl.SSLContext, tls: BrokerTlsConfig) -> None:
    """Have a context show the certificate that the settings name, if they name one.

    Raises:
        FileFaultError: If its file, or its key's, cannot be read or used.
    """
    if tls.certificate is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except (OSError, ValueError) as exc:
            raise FileFaultError(("tls", "certificate"), _fact(exc)) from None


def _fact(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return "not pem, or not what it should be"
    return f"cannot be read: {(getattr(exc, 'strerror', None) or type(exc).__name__).lower()}"
