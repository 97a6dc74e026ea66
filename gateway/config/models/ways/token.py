"""Settings of the way `token`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from gateway.config.models.base import (
    EMPTY_WHEN_NULL,
    UNIQUE,
    ConfigModel,
    Finding,
    Name,
    raise_findings,
    refusal,
)
from gateway.config.models.bearer import KnownToken
from gateway.config.models.forms import check_group_name, has_jwt_form
from gateway.config.models.rules import repeat_findings


def _end(value: Any) -> datetime:
    """Read an end date: a moment with its zone, or a day, which ends as it ends in UTC."""
    if not isinstance(value, str):
        raise refusal("neither a date nor a date-time")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time.max, UTC)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise refusal("neither a date nor a date-time", value, ", as in 2030-12-31T23:59:59Z") from None
    if moment.tzinfo is None:
        raise refusal("date-time without its zone", value, ", as in 2030-12-31T23:59:59Z")
    return moment


class TokenKey(KnownToken):
    """A static token, or its hash, and the identity that it proves."""

    name: Name = Field(description="Name of the key, for the log.")
    user: Name = Field(description="User id of the identity that the token proves.")
    claims: Annotated[Mapping[str, Any], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        repr=False,
        description="Claims of the identity, for the handlers to read. Default: none.",
    )
    groups: Annotated[tuple[Annotated[Name, AfterValidator(check_group_name)], ...], UNIQUE] = Field(
        default=(),
        description="Groups that its connections join besides the route's. Default: none.",
    )
    expires_at: Annotated[datetime, BeforeValidator(_end)] | None = Field(
        default=None,
        description=(
            "When the key ends: a date-time with its zone, or a date, whose day still counts, in UTC. "
            "The default, null, is never."
        ),
    )

    @field_validator("token", mode="after")
    @classmethod
    def _no_jwt(cls, token: SecretStr) -> SecretStr:
        if has_jwt_form(token.get_secret_value()):
            raise refusal("token has the form of a jwt, which is left to the way jwt")
        return token


class TokenWayConfig(ConfigModel):
    """The built-in way `token`: clients present a static token."""

    keys: tuple[TokenKey, ...] = Field(
        default=(),
        description="Tokens that the way accepts. Default: none, and it accepts nobody.",
    )

    @property
    def active_keys(self) -> tuple[TokenKey, ...]:
        """The keys whose token is not empty."""
        return tuple(key for key in self.keys if key.digest is not None)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [key.name for key in self.keys]
        findings = repeat_findings(("keys",), "name", names, "key name taken")
        # One token for two users would make whoever is listed first; it may stand there in either form.
        digests = [None if key.digest is None else key.digest.hex() for key in self.keys]
        taken = repeat_findings(("keys",), "token", digests, "token taken", secret=True)
        findings += [self._at_its_form(finding) for finding in taken]
        raise_findings("TokenWayConfig", findings)
        return self

    def _at_its_form(self, finding: Finding) -> Finding:
        index = finding.path[1]
        assert isinstance(index, int)  # noqa: S101 - a place in the list of keys
        form = "hash" if "hash" in self.keys[index].model_fields_set else "token"
        return replace(finding, path=("keys", index, form))
