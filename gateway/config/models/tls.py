"""TLS of the listener: `listen: tls:` of `gateway.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import DAY, UNIQUE, ConfigModel, LocalPath, Number, raise_findings
from gateway.config.models.forms import check_server_name
from gateway.config.models.rules import client_certificate_findings, server_name_findings

ServerName = Annotated[str, AfterValidator(check_server_name)]


class CertificateFiles(ConfigModel):
    """A certificate and its key. A path that is not absolute is taken from the folder of the file."""

    certificate: LocalPath = Field(
        description="Path of the PEM file with the certificate, followed by its intermediate certificates.",
    )
    key: LocalPath = Field(
        description="Path of the PEM file with the certificate's private key, not encrypted."
    )


class NamedCertificate(CertificateFiles):
    """A further certificate, for clients that ask for one of its server names."""

    server_names: Annotated[tuple[ServerName, ...], UNIQUE] | None = Field(
        default=None,
        min_length=1,
        description="Names for which the certificate is shown, as `example.com` or `*.example.com`. "
        "The default, null, takes them from the certificate.",
    )


class TlsConfig(CertificateFiles):
    """The certificates with which the port serves `https` and `wss` instead of `http` and `ws`.

    The files are looked at again and again: what has changed is used for new TLS connections.
    """

    more_certificates: tuple[NamedCertificate, ...] = Field(
        default=(),
        description="Certificates for other server names. Default: none, the one certificate is for all.",
    )
    min_version: Literal["1.2", "1.3"] = Field(
        default="1.2",
        description="Lowest version of TLS that is spoken: `1.2`, with modern ciphers only, or `1.3`.",
    )
    client_certificates: Literal["none", "optional", "required"] = Field(
        default="none",
        description="Whether clients are asked for a certificate: `none`, `optional`, or `required`, which "
        "ends TLS with a client that has none.",
    )
    client_ca: LocalPath | None = Field(
        default=None,
        description="Path of the PEM file with the authorities that clients' certificates must come from. "
        "Needed where they are asked for. Default: none.",
    )
    reload_seconds: Number = Field(
        default=10,
        ge=0.1,
        le=DAY,
        description="Seconds between two looks at the files. A change is used once two looks have seen it.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = client_certificate_findings(
            asked=self.client_certificates, given=self.client_ca is not None
        )
        findings += server_name_findings([entry.server_names for entry in self.more_certificates])
        raise_findings("TlsConfig", findings)
        return self
