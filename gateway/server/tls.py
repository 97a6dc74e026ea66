"""TLS as the listener speaks it: versions, ciphers, clients' certificates, and how a failure is told."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.config.certificates import load_pair

if TYPE_CHECKING:
    from gateway.config.models import CertificateFiles, TlsConfig

__all__ = ["LatestContext", "make_tls_context"]

# TLS 1.2 with forward secrecy and authenticated encryption only; those of TLS 1.3 are all so.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKED: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def make_tls_context(config: TlsConfig, files: CertificateFiles, authorities: bytes) -> ssl.SSLContext:
    """Make the context that shows one certificate.

    Args:
        config: What holds for every certificate of the listener.
        files: The certificate and its key.
        authorities: Certificates in DER form, from which clients' certificates must come; empty if clients
            are asked for none.

    Raises:
        gateway.config.certificates.CertificateFault: If the certificate and its key do not load.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _VERSIONS[config.min_version]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # WebSockets open with HTTP/1.1 here, so a client that offers h2 too has to be told.
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = _ASKED[config.client_certificates]
    if context.verify_mode is not ssl.CERT_NONE:
        context.load_verify_locations(cadata=authorities)
        # A resumed session is not verified again, so that none is to be had by a ticket. The session ids of
        # TLS 1.2 cannot be switched off; see `_Handshake`.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    load_pair(context, files.certificate, files.key)
    context.sslobject_class = _Handshake
    return context


class LatestContext(ssl.SSLContext):
    """The context that the event loop is given: each new TLS connection has the latest one behind it.

    A context whose certificate is loaded anew while it is in use is not safe: when the key does not fit, it
    is left without one. So a whole new context is made and put in place at once, and the old one lives as
    long as its connections. Sessions do not outlive it either: session ids and tickets are a context's own.
    """

    latest: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS on a connection; both event loops, uvloop's and Python's own, do it by this call."""
        made = self.latest.wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Handshake):
            made.outgoing = outgoing
        return made


class _Handshake(ssl.SSLObject):
    """One TLS connection, which tells the peer why its handshake failed.

    Both event loops drop what OpenSSL has to say at a failure, the alert, and close: the client would not
    learn that it needs a certificate. So a failure with an alert is told to the loop only when the peer has
    had the time to read it: at the peer's next bytes, at its end, or at the deadline.
    """

    outgoing: ssl.MemoryBIO
    # Its arguments only: an error that is kept keeps this object by its traceback, until a collection.
    _failure: tuple[Any, ...] | None = None

    def do_handshake(self, *arguments: Any) -> None:
        """Go on with the handshake.

        Raises:
            ssl.SSLError: If it waits for the peer (`ssl.SSLWantReadError`), or has failed.
        """
        if self._failure is not None:
            raise ssl.SSLError(*self._failure)
        try:
            super().do_handshake(*arguments)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            if not self.outgoing.pending:
                raise
            self._failure = failure.args
            raise ssl.SSLWantReadError from None
        if self.session_reused:
            self._check_end()

    def _check_end(self) -> None:
        """Refuse to resume a session whose certificate has ended since it was verified.

        Whatever else counts at the verification is the same as long as the context is.
        """
        certificate = self.getpeercert()
        if certificate and ssl.cert_time_to_seconds(str(certificate["notAfter"])) < time.time():
            raise ssl.SSLCertVerificationError("client certificate has ended")
