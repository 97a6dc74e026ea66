"""Settings of the way `forward`: which service is asked, about what, and what asking may cost."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import (
    UNIQUE,
    ConfigModel,
    Finding,
    Flag,
    LocalPath,
    Number,
    WholeNumber,
    raise_findings,
    refusal,
)
from gateway.config.models.forms import check_url, is_loopback

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
# What belongs to one hop (RFC 9110 section 7.6.1), and what the gateway says itself.
_NOT_FORWARDED: Final = re.compile(
    r"host|connection|upgrade|te|trailer|transfer-encoding|content-.*|keep-alive|expect|accept-encoding"
    r"|proxy-.*|sec-websocket-.*|forwarded|x-forwarded-.*|x-original-.*|x-real-ip|x-gateway-.*"
)


def _check_header(name: str) -> str:
    name = name.lower()
    if not _FIELD_NAME.fullmatch(name):
        raise refusal("not the name of a header", name)
    if _NOT_FORWARDED.fullmatch(name):
        raise refusal("header is never passed on: the gateway writes its own, or it is for one hop", name)
    return name


Header = Annotated[str, AfterValidator(_check_header)]
"""The name of a header that may be passed on, in lower case."""


class ForwardWayConfig(ConfigModel):
    """The built-in way `forward`: a service is asked who it is that opens a connection."""

    url: Annotated[str, AfterValidator(check_url)] = Field(
        description="URL of the service, with https; it is asked with GET. Redirects are not followed.",
    )
    allow_plain_http: Flag = Field(
        default=False,
        description=(
            "Whether the URL may be one of http though its host is not this machine, so that credentials "
            "cross the network in the clear. Default: no."
        ),
    )
    server_ca: LocalPath | None = Field(
        default=None,
        description=(
            "Path of a PEM file with the authorities from which the service's certificate must come. The "
            "default, null, is those that browsers know."
        ),
    )
    headers: Annotated[tuple[Header, ...], UNIQUE] = Field(
        default=("authorization",),
        min_length=1,
        description=(
            "Headers of the opening handshake that hold credentials, and are passed on. Without any of them "
            "the next way is asked. Default: `authorization`."
        ),
    )
    extra_headers: Annotated[tuple[Header, ...], UNIQUE] = Field(
        default=(),
        description="Headers that are passed on besides, and are no credentials. Default: none.",
    )
    forward_query: Flag = Field(
        default=False,
        description="Whether the query string is passed on behind the path. Default: no.",
    )
    timeout_seconds: Number = Field(
        default=5,
        gt=0,
        le=60,
        description="Seconds from the question to the end of its answer, waiting included. Default: 5.",
    )
    max_connections: WholeNumber = Field(
        default=50,
        ge=1,
        le=10_000,
        description="Most questions that the service is asked at once. Default: 50.",
    )
    max_waiting: WholeNumber = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Most questions that wait for their turn. Above it the answer is 503. Default: 1000.",
    )
    max_bytes: WholeNumber = Field(
        default=65_536,
        ge=256,
        le=16_777_216,
        description="Most bytes of an answer's body. A longer one is no answer. Default: 65536.",
    )
    cache_seconds: Number = Field(
        default=5,
        ge=0,
        le=3600,
        description="Seconds for which an identity is kept for the same question; 0: not at all. Default: 5.",
    )
    max_cached: WholeNumber = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Most identities that are kept; above it the oldest goes. Default: 10000.",
    )

    @property
    def forwards_cookies(self) -> bool:
        """Whether the Cookie header is passed on."""
        return "cookie" in self.headers or "cookie" in self.extra_headers

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings: list[Finding] = []
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_plain_http or is_loopback(parts.hostname or "")):
            findings.append(Finding(("url",), "not a url of https; allow_plain_http would allow it"))
        findings += [
            Finding(("extra_headers", index), "header stands in headers", name)
            for index, name in enumerate(self.extra_headers)
            if name in self.headers
        ]
        raise_findings("ForwardWayConfig", findings)
        return self
