"""Policies of groups: `groups:` of `gateway.yaml`, and the tokens by which clients resume."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway.config.models.base import (
    UNIQUE,
    ConfigModel,
    Name,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.forms import check_group_pattern
from gateway.config.models.group_rules import presence_findings
from gateway.config.models.limits import Overflow  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.secrets import SigningSecretOrNone  # noqa: TC001  (pydantic evaluates annotations)


def _presence_word(value: Any) -> Any:
    # YAML's true and false stand for two of the three.
    if value is True:
        return "members"
    return "off" if value is False or value is None else value


class HistoryConfig(ConfigModel):
    """How many of a group's publications are kept, and for how long: whatever ends first."""

    size: WholeNumber = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Most publications that are kept of each group.",
    )
    seconds: Number = Field(
        default=300.0,
        ge=1,
        le=2_592_000,
        description="For how long a publication is kept, at most 30 days.",
    )


class GroupPolicy(ConfigModel):
    """What holds for the groups whose name matches a pattern."""

    pattern: Annotated[Name, AfterValidator(check_group_pattern)] = Field(
        description="Names of the groups that the policy is for; `*` stands for any characters.",
    )
    overflow: Overflow | None = Field(
        default=None,
        description="What happens at a member's full send queue. The default, null, leaves it to the route.",
    )
    history: HistoryConfig | None = Field(
        default=None,
        description="What is kept of each group, so that a client that comes back gets what it missed; `{}` "
        "turns it on. The default, null, keeps nothing.",
    )
    presence: Annotated[Literal["off", "members", "count"], BeforeValidator(_presence_word)] = Field(
        default="off",
        description="Whether all nodes know who is in each group: `true` for its users, `count` for no more "
        "than how many there are, for large groups. Default: `false`.",
    )
    presence_claims: Annotated[tuple[Name, ...], UNIQUE] = Field(
        default=(),
        description="Claims of an identity that presence shows besides the user id. Default: none.",
    )
    presence_grace_seconds: Number = Field(
        default=5.0,
        ge=0,
        le=600,
        description="Seconds that a user may be away before the group is told that they have left.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = {key for key in self.model_fields_set if key != "presence_claims" or self.presence_claims}
        raise_findings("GroupPolicy", presence_findings(self.presence, given))
        return self


class ResumeConfig(ConfigModel):
    """The tokens by which a client that comes back says what it has."""

    key: SigningSecretOrNone = Field(
        default=SecretStr(""),
        repr=False,
        description="Secret with which they are signed, of 32 bytes or more, from the environment and alike "
        "on all machines. Default: empty, one is made up at each start.",
    )
    seconds: Number = Field(
        default=300.0,
        ge=10,
        le=2_592_000,
        description="How long a token is good, though never longer than its groups keep their history.",
    )
