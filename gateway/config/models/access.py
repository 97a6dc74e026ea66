"""Who may publish over HTTP and how clients prove who they are: `api:` and `authentication:`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from gateway.config.models.base import (
    DAY,
    EMPTY_WHEN_NULL,
    UNIQUE,
    ConfigModel,
    LocalPath,
    Name,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.bearer import KnownToken
from gateway.config.models.rules import api_findings, repeat_findings
from gateway.config.models.ways.cookie import CookieWayConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.ways.forward import ForwardWayConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.ways.jwt import JwtWayConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.ways.mtls import MtlsWayConfig
from gateway.config.models.ways.ticket import TicketWayConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.ways.token import TokenWayConfig

if TYPE_CHECKING:
    from collections.abc import Iterable


Scope = Literal["publish", "read", "metrics", "disconnect", "revoke"]
"""A part of the HTTP API."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


class ApiToken(KnownToken):
    """A token that opens the HTTP API, or its hash."""

    name: Name = Field(description="Name of whoever holds the token, for the log.")
    scopes: Annotated[tuple[Scope, ...], UNIQUE] = Field(
        default=SCOPES,
        description="What the token opens: publish, read (everything that is asked with GET), metrics "
        "(`/metrics` alone), disconnect, revoke. Default: all.",
    )


class ApiConfig(ConfigModel):
    """The HTTP API, off until a token is set."""

    tokens: tuple[ApiToken, ...] = Field(
        default=(),
        description="Bearer tokens that open the API. Default: none, and the API is off.",
    )
    authenticate: Annotated[tuple[Name, ...], UNIQUE] = Field(
        default=(),
        description="Ways that open the API besides, by the Authorization header. Default: none.",
    )
    required_claims: Annotated[Mapping[str, Any], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        repr=False,
        description="Claims that an identity of such a way has to have, by name. Default: none are set.",
    )
    scopes_claim: Name | None = Field(
        default=None,
        description="Claim of such an identity that says what it opens, a list of scopes or a text with "
        "spaces between them. The default, null, opens all.",
    )
    max_body_bytes: WholeNumber = Field(
        default=1_048_576,
        ge=1,
        le=1_073_741_824,
        description="Most bytes of a request's body. Above it the answer is 413.",
    )

    @property
    def active_tokens(self) -> tuple[ApiToken, ...]:
        """The tokens that are not empty."""
        return tuple(token for token in self.tokens if token.digest is not None)

    @property
    def enabled(self) -> bool:
        """Whether the API is on: at least one token is not empty, or a way opens it."""
        return bool(self.active_tokens or self.authenticate)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [token.name for token in self.tokens]
        findings = repeat_findings(("tokens",), "name", names, "token name taken")
        findings += api_findings(self.authenticate, claims=bool(self.required_claims))
        raise_findings("ApiConfig", findings)
        return self


class RevocationConfig(ConfigModel):
    """What is done with revoked identities."""

    seconds: Number = Field(
        default=86_400,
        gt=0,
        le=3_660 * DAY,
        description="Seconds that a revocation holds if the call does not say it: as long as tokens live.",
    )
    file: LocalPath | None = Field(
        default=None,
        description="Path of a file that keeps revocations over a restart. Default: null, they are lost.",
    )


class AuthenticationConfig(ConfigModel):
    """Settings of the ways that a route may name in `authenticate`.

    Other keys than the built-in ways' are settings of plugins' ways, which only the plugins can check.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Mapping[str, Any]] = Field(init=False)

    token: Annotated[TokenWayConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=TokenWayConfig,
        description="Settings of the way `token`. Default: no keys.",
    )

    jwt: JwtWayConfig | None = Field(
        default=None,
        description="Settings of the way `jwt`. The default, null, believes no issuer.",
    )
    cookie: CookieWayConfig | None = Field(
        default=None,
        description="Settings of the way `cookie`. The default, null, takes no cookie.",
    )
    forward: ForwardWayConfig | None = Field(
        default=None,
        description="Settings of the way `forward`. The default, null, asks no service.",
    )
    ticket: TicketWayConfig | None = Field(
        default=None,
        description="Settings of the way `ticket`. The default, null, gives and takes no tickets.",
    )
    mtls: Annotated[MtlsWayConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=MtlsWayConfig,
        description="Settings of the way `mtls`. Default: the common name is the user.",
    )

    @property
    def longest_leeway_seconds(self) -> float:
        """For how many seconds after its `exp` a token of some way may be good; 0 if there is no leeway."""
        ways = [self.jwt, *([] if self.cookie is None else [self.cookie.jwt, self.cookie.signed])]
        return max((way.leeway_seconds for way in ways if way is not None), default=0)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Settings of a plugin's way may hold secrets that only the plugin's model knows to be some.
        return [(name, getattr(self, name)) for name in type(self).model_fields]
