"""What gateway.yaml may say about the handler."""

from __future__ import annotations

import re
import ssl
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from gateway import Options
from gateway_webhook.signing import key_of

if TYPE_CHECKING:
    from pydantic import ValidationInfo

__all__ = ["Event", "WebhookOptions"]

# RFC 3986 section 2: no spaces, no control characters, nothing beyond ASCII.
_URL: Final = re.compile(r"[\x21-\x7e]+")


class Event(StrEnum):
    """The kinds of events."""

    OPEN = "open"
    MESSAGE = "message"
    CLOSE = "close"


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise PydanticCustomError("url", "not a url") from None
    sound = _URL.fullmatch(url) and parts.scheme in {"http", "https"} and parts.hostname and port != 0
    if not sound or "@" in parts.netloc or parts.fragment:
        raise PydanticCustomError("url", "not a url of http or https without user and fragment")
    return url


def _check_secret(secret: SecretStr) -> SecretStr:
    key_of(secret.get_secret_value())
    return secret


def _check_authorities(path: Path, info: ValidationInfo) -> Path:
    # The gateway tells the folder of gateway.yaml; whoever makes the options without one may have none.
    folder = (info.context or {}).get("folder")
    path = path if folder is None else folder / path
    try:
        ssl.create_default_context(cafile=path)
    except OSError as exc:
        raise PydanticCustomError(
            "authorities", "authorities do not load: {fact}", {"fact": exc.strerror or "no certificates"}
        ) from None
    return path


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# RFC 9110 section 5.6.2, `token`.
Header = Annotated[
    str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$", max_length=100), AfterValidator(str.lower)
]
"""The name of a header; it is kept in lower case."""


class WebhookOptions(Options):
    """Options of the handler `webhook`, under a route."""

    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="URL of the service, with https; each event is a POST to it. Redirects are not followed."
    )
    allow_plain_http: bool = Field(
        default=False,
        description="Whether the URL may be one of http though its host is not this machine, so that "
        "messages cross the network in the clear.",
    )
    server_ca: Annotated[Path, AfterValidator(_check_authorities)] | None = Field(
        default=None,
        description="Path of a PEM file with the authorities from which the service's certificate must come; "
        "`null` for those that browsers know.",
    )
    secrets: tuple[Annotated[SecretStr, AfterValidator(_check_secret)], ...] = Field(
        min_length=1,
        max_length=4,
        description="Keys that sign each request: 24 to 64 bytes in base64, with or without `whsec_` before "
        "it. Several while a key is changed.",
    )
    events: tuple[Event, ...] = Field(
        default=(Event.OPEN, Event.MESSAGE, Event.CLOSE),
        min_length=1,
        description="Which events are sent: `open`, `message`, `close`.",
    )
    headers: tuple[Header, ...] = Field(
        default=(),
        max_length=50,
        description="Headers of the opening handshake that the open event tells.",
    )
    forward_query: bool = Field(
        default=False, description="Whether the open event tells the query string of the opening handshake."
    )
    claims: tuple[str, ...] = Field(
        default=(), max_length=50, description="Claims of the identity that each event tells."
    )
    timeout_seconds: float = Field(
        default=5, gt=0, le=300, description="Seconds from the beginning of one try to the end of its answer."
    )
    deadline_seconds: float = Field(
        default=20,
        gt=0,
        le=3600,
        description="Seconds for one event in all: waiting, tries, and the pauses between. Keep it below the "
        "route's `handler_timeout_seconds`.",
    )
    max_tries: int = Field(default=8, ge=1, le=100, description="Most tries of one event.")
    backoff_seconds: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="Pause after the first try; it doubles with each more, and up to half of it is left out "
        "by chance.",
    )
    max_backoff_seconds: float = Field(default=5, gt=0, le=300, description="Longest such pause.")
    max_connections: int = Field(
        default=50, ge=1, le=10_000, description="Most requests at once, of one process and this handler."
    )
    max_waiting: int = Field(
        default=500,
        ge=1,
        le=1_000_000,
        description="Most events under way, tries and pauses included; above it a connection gets 1013.",
    )
    max_waiting_bytes: int = Field(
        default=67_108_864,
        ge=1,
        le=17_179_869_184,
        description="Most bytes of them in all; above it a connection gets 1013.",
    )
    max_answer_bytes: int = Field(
        default=262_144, ge=256, le=67_108_864, description="Most bytes of an answer; a longer one is none."
    )

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that the secrets stand for."""
        return tuple(key_of(secret.get_secret_value()) for secret in self.secrets)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_plain_http or _is_loopback(parts.hostname or "")):
            raise PydanticCustomError(
                "plain_http", "url is not one of https; allow_plain_http would allow it"
            )
        if self.deadline_seconds < self.timeout_seconds:
            raise PydanticCustomError("deadline", "deadline_seconds is below timeout_seconds")
        return self
