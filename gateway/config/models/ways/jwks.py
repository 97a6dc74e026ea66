"""Settings of an issuer's published keys (JWKS, RFC 7517)."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import (
    DAY,
    ConfigModel,
    Finding,
    Flag,
    LocalPath,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.forms import check_url, is_loopback


class JwksConfig(ConfigModel):
    """Where an issuer publishes its keys, and what asking for them may cost."""

    url: Annotated[str, AfterValidator(check_url)] = Field(
        description="URL of the key set, with https. Redirects are not followed.",
    )
    allow_http_on_loopback: Flag = Field(
        default=False,
        description="Whether the URL may be one of http where its host is this machine. Default: no.",
    )
    server_ca: LocalPath | None = Field(
        default=None,
        description=(
            "Path of a PEM file with the authorities from which the server's certificate must come. The "
            "default, null, is those that browsers know."
        ),
    )
    refresh_seconds: Number = Field(
        default=3600,
        ge=1,
        le=DAY,
        description="Seconds after which the keys are fetched again, in the background. Default: 3600.",
    )
    min_interval_seconds: Number = Field(
        default=10,
        gt=0,
        le=3600,
        description=(
            "Seconds that pass at least between two tries, however many tokens name an unknown key. "
            "Default: 10."
        ),
    )
    timeout_seconds: Number = Field(
        default=5,
        gt=0,
        le=60,
        description="Seconds that one try may take in all. Default: 5.",
    )
    max_bytes: WholeNumber = Field(
        default=262_144,
        ge=256,
        le=16_777_216,
        description="Most bytes of the key set. A longer one is no answer. Default: 262144.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_http_on_loopback and is_loopback(parts.hostname or "")):
            # Whoever sits between could give keys of their own.
            raise_findings("JwksConfig", [Finding(("url",), "not a url of https")])
        return self
