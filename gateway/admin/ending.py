"""`POST /api/disconnect` and `POST /api/revoke`: connections end, and identities are taken no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import pydantic
from pydantic import AfterValidator, Field

from gateway.admin.body import BadBodyError
from gateway.admin.publishing import GroupName, Text
from gateway.core.revocations import Revocation, TooManyRevocationsError
from gateway.core.selection import Selection
from gateway.protocol.close_codes import DISCONNECTED, may_be_sent

if TYPE_CHECKING:
    from gateway.core.node import Node

__all__ = ["DisconnectRequest", "RevokeRequest"]

_LAST_TIME: Final = 253_402_300_799  # the end of the year 9999: milliseconds by mistake are far beyond


def _sendable(code: int) -> int:
    if not may_be_sent(code):
        raise ValueError("no close code that may be sent (rfc 6455 section 7.4)")
    return code


def _json(claims: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(claims, allow_nan=False)
    except ValueError:
        raise ValueError("holds a number that json has no form for") from None
    return claims


class DisconnectRequest(pydantic.BaseModel):
    """The body of `POST /api/disconnect`: which connections end, and with what. All that is given fits."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    user: Text | None = Field(default=None, description="User id of the connections' identity.")
    connection: Text | None = Field(default=None, description="Id of the one connection.")
    route: Text | None = Field(default=None, description="Name of the connections' route.")
    group: GroupName | None = Field(default=None, description="Name of a group that they are members of.")
    claims: Annotated[dict[Text, Any], AfterValidator(_json)] | None = Field(
        default=None,
        min_length=1,
        description="Claims of their identity, by name; a claim that is a list has to hold the value.",
    )
    code: Annotated[int, AfterValidator(_sendable)] = Field(
        default=DISCONNECTED, description="Close code. Default: 4410, which says not to come back."
    )
    reason: str = Field(
        default="disconnected", max_length=123, description="Close reason. Default: `disconnected`."
    )

    @pydantic.model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.selection() == Selection():
            raise ValueError("at least one of user, connection, route, group and claims is needed")
        return self

    def selection(self) -> Selection:
        """Give the connections that it is about."""
        return Selection(self.user, self.connection, self.route, self.group, self.claims)

    def carry_out(self, node: Node) -> int:
        """Disconnect them on every node; give how many connections of this node it is about."""
        return node.orders.disconnect(self.selection(), self.code, self.reason)


class RevokeRequest(pydantic.BaseModel):
    """The body of `POST /api/revoke`: one token, or what was issued to a user up to a moment."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    jti: Text | None = Field(default=None, description="The token's `jti`, or the name of a static key.")
    user: Text | None = Field(default=None, description="User id: the user's tokens are refused.")
    issued_before: float | None = Field(
        default=None,
        ge=0,
        le=_LAST_TIME,
        description="Of the user's tokens, those issued then or earlier, in seconds since the epoch. "
        "Default: null, now.",
    )
    expires_at: float | None = Field(
        default=None,
        ge=0,
        le=_LAST_TIME,
        description="When the last of them would expire anyway, their `exp`, in seconds since the epoch. "
        "Default: null, as the configuration says.",
    )

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.jti is not None) == (self.user is not None):
            raise ValueError("exactly one of jti and user is needed")
        if self.jti is not None and self.issued_before is not None:
            raise ValueError("issued_before goes with user")
        return self

    def revocation(self, now: float, seconds: float, leeway: float) -> Revocation:
        """Give what is revoked.

        Args:
            now: Seconds since the epoch.
            seconds: How long it holds where the request does not say it.
            leeway: For how many seconds after their `exp` tokens are still good.

        Raises:
            BadBodyError: If it would have ended already.
        """
        until = now + seconds if self.expires_at is None else self.expires_at + leeway
        if until <= now:
            raise BadBodyError("expires_at: has passed")
        return Revocation(
            self.jti, self.user, now if self.issued_before is None else self.issued_before, until
        )

    @staticmethod
    def carry_out(node: Node, revocation: Revocation) -> int:
        """Revoke on every node; give how many connections of this node it ends.

        Raises:
            BadBodyError: 503, if there is no room for another revocation.
        """
        try:
            return node.orders.revoke(revocation)
        except TooManyRevocationsError as exc:
            raise BadBodyError(str(exc), 503, "too_many_revocations") from None
