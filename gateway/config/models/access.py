"""Who may publish over HTTP and how clients prove who they are: `api:` and `authentication:`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from gateway.config.models.base import (
    EMPTY_WHEN_NULL,
    ConfigModel,
    Name,
    WholeNumber,
    raise_findings,
    refusal,
)
from gateway.config.models.forms import is_bearer_token
from gateway.config.models.rules import repeat_findings

if TYPE_CHECKING:
    from collections.abc import Iterable


def _no_token_when_null(value: Any) -> Any:
    # An unquoted `${NAME:-}` reads as null when NAME is unset: it means the same as the quoted form.
    return "" if value is None else value


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if text and not is_bearer_token(text):
        raise refusal("token has a character that no authorization header can carry (rfc 6750 section 2.1)")
    return token


Token = Annotated[SecretStr, BeforeValidator(_no_token_when_null), AfterValidator(_check_token)]
"""A bearer token, never shown. Empty means that there is none."""


class ApiToken(ConfigModel):
    """A token that opens the HTTP API."""

    name: Name = Field(description="Name of whoever holds the token, for the log.")
    token: Token = Field(description="The secret itself. With an empty one this entry opens nothing.")


class ApiConfig(ConfigModel):
    """The HTTP API, off until a token is set."""

    tokens: tuple[ApiToken, ...] = Field(
        default=(),
        description="Bearer tokens that open the API. Default: none, and the API is off.",
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
        return tuple(token for token in self.tokens if token.token.get_secret_value())

    @property
    def enabled(self) -> bool:
        """Whether the API is on: at least one token is not empty."""
        return bool(self.active_tokens)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [token.name for token in self.tokens]
        raise_findings("ApiConfig", repeat_findings(("tokens",), "name", names, "token name taken"))
        return self


class TokenKey(ConfigModel):
    """A static token and the identity that it proves."""

    name: Name = Field(description="Name of the key, for the log.")
    user: Name = Field(description="User id of the identity that the token proves.")
    token: Token = Field(description="The secret itself. With an empty one this entry proves nothing.")
    claims: Annotated[Mapping[str, Any], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        repr=False,
        description="Claims of the identity, for the handlers to read. Default: none.",
    )


class TokenWayConfig(ConfigModel):
    """The built-in way `token`: clients present a static token."""

    keys: tuple[TokenKey, ...] = Field(
        default=(),
        description="Tokens that the way accepts. Default: none, and it accepts nobody.",
    )

    @property
    def active_keys(self) -> tuple[TokenKey, ...]:
        """The keys whose token is not empty."""
        return tuple(key for key in self.keys if key.token.get_secret_value())

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [key.name for key in self.keys]
        tokens = [key.token.get_secret_value() or None for key in self.keys]
        findings = repeat_findings(("keys",), "name", names, "key name taken")
        # One token for two users would make whoever is listed first.
        findings += repeat_findings(("keys",), "token", tokens, "token taken", secret=True)
        raise_findings("TokenWayConfig", findings)
        return self


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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Settings of a plugin's way may hold secrets that only the plugin's model knows to be some.
        return [(name, getattr(self, name)) for name in type(self).model_fields]
