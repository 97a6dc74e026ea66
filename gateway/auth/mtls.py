"""The way `mtls`: the client's certificate says who it is."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.auth.claims import user_of
from gateway.config.models import MtlsWayConfig
from gateway.core.identity import Identity
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.core.opening import Opening

__all__ = ["MtlsAuthenticator"]

_KINDS: Final = {"san_dns": "DNS", "san_email": "email", "san_uri": "URI"}


class MtlsAuthenticator(Authenticator[MtlsWayConfig]):
    """The way `mtls`. TLS has verified the certificate before anyone asks here."""

    def authenticate(self, opening: Opening) -> Identity | None:
        """Take the user from the certificate; `None` if the client showed none.

        Raises:
            Refused: `unauthorized`, if the certificate has ended, or does not name exactly one user.
        """
        certificate = opening.peer_certificate
        if not certificate:
            return None
        names = self._names(certificate)
        if len(names) != 1:
            raise refuse(
                "unauthorized", f"certificate has {len(names)} names of kind {self.options.user_from}"
            )
        # A TLS connection may serve requests for longer than the certificate is good.
        ends = _seconds(certificate, "notAfter")
        if ends is not None and ends <= time.time():
            raise refuse("unauthorized", "certificate has ended")
        serial = certificate.get("serialNumber")
        return Identity(
            user_of({"user": names[0]}, "user"),
            {
                "subject": _fields(certificate.get("subject", ())),
                "issuer": _fields(certificate.get("issuer", ())),
                "serial_number": serial,
            },
            expires_at=ends,
            proved_by="mtls",
            token_id=serial,
            issued_at=_seconds(certificate, "notBefore"),
        )

    def _names(self, certificate: Mapping[str, Any]) -> list[str]:
        if self.options.user_from == "common_name":
            return _fields(certificate.get("subject", ())).get("commonName", [])
        kind = _KINDS[self.options.user_from]
        return [value for name, value in certificate.get("subjectAltName", ()) if name == kind]


def _fields(name: Iterable[Iterable[tuple[str, str]]]) -> dict[str, list[str]]:
    """Give the parts of a distinguished name (RFC 5280 section 4.1.2.4), each of which may come again."""
    fields: dict[str, list[str]] = {}
    for part in name:
        for key, value in part:
            fields.setdefault(key, []).append(value)
    return fields


def _seconds(certificate: Mapping[str, Any], name: str) -> float | None:
    moment = certificate.get(name)
    return float(ssl.cert_time_to_seconds(moment)) if moment is not None else None
