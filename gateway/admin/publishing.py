"""`POST /api/publish`: an authenticated call pushes a message from anywhere."""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import pydantic
from pydantic import AfterValidator, Field

from gateway.admin.body import BadBodyError
from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.core.groups import EVERYONE, user_group
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.core.node import Node

__all__ = ["GroupName", "NotPublishedError", "PublishRequest", "Text"]

_MOST_GROUPS: Final = 100


def _not_ours(group: str) -> str:
    if group.startswith("$"):
        raise ValueError("groups whose names begin with $ are the gateway's own")
    return group


Text = Annotated[str, Field(min_length=1, max_length=512)]
GroupName = Annotated[Text, AfterValidator(_not_ours), Field(json_schema_extra={"pattern": "^[^$]"})]


def _all_different(groups: list[str]) -> list[str]:
    if len(set(groups)) != len(groups):
        raise ValueError("a group is named twice")
    return groups


class NotPublishedError(GatewayError):
    """A publication to several groups that did not reach all of them.

    Args:
        cause: What happened in one of them.
        told: The same as the API tells it.
        groups: What became of it in each.
    """

    def __init__(
        self,
        cause: BrokerUnavailableError | MessageTooBigError,
        told: dict[str, str],
        groups: list[dict[str, Any]],
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.told = told
        self.groups = groups


def _fault(error: BrokerUnavailableError | MessageTooBigError) -> dict[str, str]:
    too_big = isinstance(error, MessageTooBigError)
    return {"error": "message_too_big" if too_big else "broker_unavailable", "message": str(error)}


class PublishRequest(pydantic.BaseModel):
    """The body of `POST /api/publish`: one target, and one form of data."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    group: GroupName | None = Field(default=None, description="Name of the group that gets the message.")
    groups: Annotated[list[GroupName], AfterValidator(_all_different)] | None = Field(
        default=None,
        min_length=1,
        max_length=_MOST_GROUPS,
        description="Names of several groups; who is in two of them gets it twice.",
    )
    user: Text | None = Field(
        default=None, description="User id: all connections of the user get the message."
    )
    everyone: bool = Field(default=False, description="Whether every connection gets the message.")
    data: Any = Field(
        default=None, description="The message: a text as it is, any other JSON value as its JSON text."
    )
    data_base64: str | None = Field(default=None, description="The message as binary, in base64.")
    idempotency_key: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Name of this publication: tried again with it, it is not published a second time.",
    )

    @pydantic.model_validator(mode="after")
    def _one_of_each(self) -> Self:
        targets = (self.group, self.groups, self.user, self.everyone or None)
        if sum(target is not None for target in targets) != 1:
            raise ValueError("exactly one of group, groups, user and everyone is needed")
        if ("data" in self.model_fields_set) + (self.data_base64 is not None) != 1:
            raise ValueError("exactly one of data and data_base64 is needed")
        return self

    def message(self) -> str | bytes:
        """Give the message as it goes out.

        Raises:
            BadBodyError: If `data_base64` is not base64, or `data` is a number that JSON has no form for.
        """
        if self.data_base64 is not None:
            try:
                return b64decode(self.data_base64, validate=True)
            except (binascii.Error, ValueError):
                raise BadBodyError("data_base64: not base64") from None
        if isinstance(self.data, str):
            return self.data
        try:
            return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            raise BadBodyError("data: holds a number that json has no form for") from None

    async def publish(self, node: Node) -> dict[str, Any]:
        """Publish the message; give what became of it, as the answer says it.

        Raises:
            BrokerUnavailableError: If it cannot be published now.
            MessageTooBigError: If it is too big for the way between nodes.
            NotPublishedError: If one of these happened in one of several groups.
        """
        message = self.message()
        if self.groups is not None:
            return await self._publish_to_each(node, self.groups, message)
        if self.everyone:
            group = EVERYONE
        elif self.user is not None:
            group = user_group(self.user)
        else:
            group = str(self.group)
        return await self._publish(node, group, message)

    async def _publish_to_each(self, node: Node, groups: list[str], message: str | bytes) -> dict[str, Any]:
        tries = [self._publish(node, group, message) for group in groups]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        told: list[dict[str, Any]] = []
        failed: BrokerUnavailableError | MessageTooBigError | None = None
        for group, outcome in zip(groups, outcomes, strict=True):
            if isinstance(outcome, BrokerUnavailableError | MessageTooBigError):
                failed = outcome
                told.append({"group": group, **_fault(outcome)})
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                told.append({"group": group, **outcome})
        if failed is not None:
            raise NotPublishedError(failed, _fault(failed), told)
        return {"connections": sum(one.get("connections", 0) for one in told), "groups": told}

    async def _publish(self, node: Node, group: str, message: str | bytes) -> dict[str, Any]:
        done = await node.publish_confirmed(group, message, idempotency_key=self.idempotency_key)
        answer: dict[str, Any] = {}
        if done.connections is not None:
            answer["connections"] = done.connections
        if done.position is not None:
            answer |= {"offset": done.position.offset, "epoch": done.position.epoch}
        if self.idempotency_key is not None:
            answer["repeated"] = done.repeated
        return answer
